from dataclasses import replace

import pytest
import torch

from notagen.generation import FinishReason, Sampling, generate
from notagen.model import ModelConfig, NotaGen
from notagen.notation import Tune

HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\n"
FREE = Sampling(align="off")
DUET = "%%score 1 2\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n[r:0/{}][V:1]"
WILD = Sampling(top_k=4, top_p=1.0, temperature=3.0)


@pytest.fixture(scope="module")
def model() -> NotaGen:
    torch.manual_seed(0)
    return NotaGen(ModelConfig(2, 1, 64, patch_length=64, dropout=0.0)).eval()


def texts(model, prompts, sampling=FREE, **options) -> dict[int, str]:
    pieces = generate(model, prompts, sampling, max_patches=40, **options)
    return {piece.index: piece.text for piece in pieces}


def test_a_piece_does_not_depend_on_its_batch(model):
    prompts = [HEADER, "", HEADER + "[r:0/2][V:1]C2 D", "%Baroque\n"]
    together = texts(model, prompts, batch_size=4, seed=5)
    in_turn = texts(model, prompts, batch_size=1, seed=5)
    by_twos = texts(model, prompts, batch_size=2, seed=5)
    assert together == in_turn == by_twos
    assert texts(model, prompts, batch_size=4, seed=6) != together


def test_every_prompt_is_continued(model):
    prompts = [HEADER, HEADER + "[r:0/2][V:1]C2 D", HEADER + "[r:0/2][V:1]C8|\n"]
    for index, text in texts(model, prompts).items():
        assert text.startswith(prompts[index])
        assert len(text) > len(prompts[index])


def test_no_control_character_reaches_the_text(model):
    for text in texts(model, [""] * 4).values():
        assert min(map(ord, text)) > 2


def test_an_untrained_model_is_stopped(model):
    [piece] = generate(model, [""], Sampling(), max_patches=30)
    assert piece.finish_reason is FinishReason.TOO_LONG


def test_a_piece_longer_than_the_context_goes_on(model):
    prompt = (
        HEADER + "[r:0/30][V:1]C8|\n" + "".join(f"[r:{i}/{30 - i}][V:1]C8|\n" for i in range(1, 20))
    )
    [piece] = generate(model, [prompt], FREE, max_patches=150)
    assert piece.text.startswith(prompt)
    assert len(piece.text) > len(prompt) + 64 * 8


def test_nothing_asked_nothing_written(model):
    assert list(generate(model, [])) == []


def test_a_whole_piece_is_not_gone_on_with(model):
    whole = HEADER + "[r:0/1][V:1]C8|\n[r:1/0][V:1]C8|]\n"
    first, second = generate(model, [HEADER, whole], FREE, max_patches=20)
    assert (first.index, first.text, first.finish_reason) == (1, whole, FinishReason.COMPLETE)
    assert second.index == 0


def aligned(text: str) -> list[bool]:
    return Tune.parse(text).complete_rests().aligned_bars()


def test_enforced_bars_agree_where_reported_ones_do_not(learned):
    prompts = [DUET.format(7)] * 3
    reported = list(generate(learned, prompts, replace(WILD, align="report")))
    assert sum(piece.stats.misaligned_bars for piece in reported) > 0
    for piece in reported:
        assert piece.stats.misaligned_first_draft == piece.stats.misaligned_bars
    enforced = list(generate(learned, prompts, WILD))
    assert sum(piece.stats.resamples for piece in enforced) > 0
    assert any(0 < piece.stats.misaligned_first_draft < piece.stats.resamples for piece in enforced)
    assert any(piece.finish_reason is FinishReason.COMPLETE for piece in enforced)
    for piece in enforced:
        assert all(aligned(piece.text))
        assert piece.stats.misaligned_bars == 0
        assert piece.stats.sampled_patches > piece.stats.kept_patches


def test_redrawn_pieces_do_not_depend_on_their_batch(learned):
    piece = DUET.format(19)  # longer than the context of 64 patches
    prompts = [piece, piece, piece + "C2 E2 G2 ", piece]
    sampling = replace(WILD, temperature=2.0)
    together = list(generate(learned, prompts, sampling, batch_size=4))
    alone = list(generate(learned, prompts, sampling, batch_size=1))
    assert sorted(together, key=lambda piece: piece.index) == alone
    for piece in alone:
        assert piece.text.startswith(prompts[piece.index])
        assert all(aligned(piece.text))
        assert (len(aligned(piece.text)) == 20) == (piece.finish_reason is FinishReason.COMPLETE)


def test_without_tries_bars_are_repaired(learned):
    pieces = list(generate(learned, [DUET.format(7)] * 3, replace(WILD, max_resamples=0)))
    assert sum(piece.stats.repairs for piece in pieces) > 0
    for piece in pieces:
        assert piece.stats.resamples == 0
        assert piece.stats.repairs <= piece.stats.misaligned_first_draft <= piece.stats.repairs + 1
        assert piece.finish_reason is FinishReason.UNREADABLE or all(aligned(piece.text))


def test_enforcing_changes_nothing_that_agrees(learned):
    [greedy] = generate(learned, [""], Sampling(top_k=1, align="off"))
    [enforced] = generate(learned, [""], Sampling(top_k=1))
    assert all(aligned(greedy.text))
    assert enforced.text == greedy.text
    assert enforced.stats.sampled_patches == enforced.stats.kept_patches


def test_a_bar_of_the_prompt_that_cannot_be_right_ends_the_piece_honestly(learned):
    prompt = "L:1/8\nK:C\nV:1 treble\nV:2 bass\n[r:0/3][V:1]C2|[V:1]C2|[V:2]C4"
    [piece] = generate(learned, [prompt], Sampling(max_resamples=2), max_patches=200)
    assert piece.finish_reason is FinishReason.UNREADABLE
    assert prompt.startswith(piece.text)
