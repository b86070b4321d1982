import re

import pytest
import torch

from notagen.errors import UserError
from notagen.generation import FinishReason, Form, Prompt, Sampling, generate
from notagen.model import ModelConfig, NotaGen
from notagen.notation import Tune
from notagen.notation.parser import declared_voices
from notagen.scores import to_musicxml
from tests.helpers.scripted import DUET, SCALE

HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\n"
FREE = Sampling(align="off")
BARS = "C8|[V:2]C8|\n[r:1/18][V:1]D8|[V:2]D8|\n"


def texts(model, prompts, sampling=FREE, **options) -> dict[int, str]:
    pieces = generate(model, prompts, sampling, max_patches=60, **options)
    return {piece.index: piece.text for piece in pieces}


def test_a_piece_does_not_depend_on_its_batch(model):
    prompts = [DUET.format(3), "", DUET.format(19) + "C", "%Baroque\n", DUET.format(19) + BARS]
    together = texts(model, prompts, batch_size=5, seed=1)
    in_turn = texts(model, prompts, batch_size=1, seed=1)
    by_twos = texts(model, prompts, batch_size=2, seed=1)
    assert together == in_turn == by_twos
    assert texts(model, prompts, batch_size=5, seed=11) != together


@pytest.fixture(scope="module")
def untrained() -> NotaGen:
    torch.manual_seed(0)
    return NotaGen(ModelConfig(2, 1, 64, patch_length=64, dropout=0.0)).eval()


def test_every_prompt_is_continued(untrained):
    prompts = [HEADER, HEADER + "[r:0/2][V:1]C2 D", HEADER + "[r:0/2][V:1]C8|\n"]
    for index, text in texts(untrained, prompts).items():
        assert text.startswith(prompts[index])
        assert len(text) > len(prompts[index])


def test_no_control_character_reaches_the_text(untrained):
    for text in texts(untrained, [""] * 4).values():
        assert min(map(ord, text)) > 2


def test_a_piece_that_does_not_end_is_stopped(model):
    [piece] = generate(model, [""], FREE, max_patches=30)
    assert piece.finish_reason is FinishReason.TOO_LONG
    assert piece.stats.kept_patches == 29, "and the start patch"


def up_the_scale(text: str) -> bool:
    """Whether both voices of all 20 bars are as the model writes them that has seen it all."""
    notes = [re.findall(rf"\[V:{voice}\](.)", text) for voice in (1, 2)]
    return notes == [[*SCALE, *SCALE, *SCALE][:20]] * 2


@pytest.mark.parametrize("bars", [0, 5, 18])
def test_a_piece_longer_than_the_context_goes_on(model, bars):
    prompt = DUET.format(19)
    for bar, note in zip(range(bars), SCALE * 3, strict=False):
        prompt += f"{note}8|[V:2]{note}8|\n[r:{bar + 1}/{18 - bar}][V:1]"
    [piece] = generate(model, [prompt], FREE)
    assert piece.text.startswith(prompt)
    assert piece.finish_reason is FinishReason.COMPLETE
    assert up_the_scale(piece.text)


def test_nothing_asked_nothing_written(model):
    assert list(generate(model, [])) == []


def test_a_whole_piece_is_not_gone_on_with(model):
    whole = HEADER + "[r:0/1][V:1]C8|\n[r:1/0][V:1]C8|]\n"
    first, second = generate(model, [HEADER, whole], FREE, max_patches=20)
    assert (first.index, first.text, first.finish_reason) == (1, whole, FinishReason.COMPLETE)
    assert second.index == 0


def aligned(text: str) -> list[bool]:
    return Tune.parse(text).complete_rests().aligned_bars()


def test_enforced_bars_agree_where_reported_ones_do_not(model):
    prompts = [DUET.format(7)] * 3
    reported = list(generate(model, prompts, Sampling(align="report")))
    for piece in reported:
        assert (
            piece.stats.misaligned_first_draft
            == piece.stats.misaligned_bars
            == aligned(piece.text).count(False)
            > 0
        )
    enforced = list(generate(model, prompts))
    assert any(0 < piece.stats.misaligned_first_draft < piece.stats.resamples for piece in enforced)
    for piece in enforced:
        assert aligned(piece.text) == [True] * 8
        assert piece.finish_reason is FinishReason.COMPLETE
        assert piece.stats.misaligned_bars == piece.stats.repairs == 0
        assert piece.stats.sampled_patches >= piece.stats.kept_patches + piece.stats.resamples


def test_redrawn_pieces_do_not_depend_on_their_batch(model):
    piece = DUET.format(19)  # longer than the context of 32 patches
    prompts = [piece, piece, piece + BARS + "[r:2/17][V:1]E6", piece]
    together = list(generate(model, prompts, batch_size=4))
    alone = list(generate(model, prompts, batch_size=1))
    assert sorted(together, key=lambda piece: piece.index) == alone
    for piece in alone:
        assert piece.text.startswith(prompts[piece.index])
        assert aligned(piece.text) == [True] * 20
        assert piece.stats.resamples > 0
        assert up_the_scale(piece.text)


def test_without_tries_bars_are_repaired(model):
    pieces = list(generate(model, [DUET.format(19)] * 3, Sampling(max_resamples=0)))
    for piece in pieces:
        assert piece.stats.resamples == 0
        assert piece.stats.repairs == piece.stats.misaligned_first_draft > 0
        assert aligned(piece.text) == [True] * 20


def test_enforcing_changes_nothing_that_agrees(model):
    [greedy] = generate(model, [DUET.format(7)], Sampling(top_k=1, align="off"))
    [enforced] = generate(model, [DUET.format(7)], Sampling(top_k=1))
    assert aligned(greedy.text) == [True] * 8
    assert enforced.text == greedy.text
    assert enforced.stats.sampled_patches == enforced.stats.kept_patches


def test_a_bar_of_the_prompt_that_cannot_be_right_ends_the_piece_honestly(model):
    prompt = "L:1/8\nK:C\nV:1 treble\nV:2 bass\n[r:0/3][V:1]C2|[V:1]C2|[V:2]C4"
    [piece] = generate(model, [prompt], Sampling(max_resamples=2), max_patches=200)
    assert piece.finish_reason is FinishReason.UNREADABLE
    assert prompt.startswith(piece.text)


def test_a_solo_costs_what_it_holds(model):
    solo = DUET.replace(" 2", "").replace("V:2 bass\n", "").format(9)
    [piece] = generate(model, [solo], Sampling(), max_patches=60)
    assert piece.finish_reason is FinishReason.COMPLETE
    assert piece.stats.repairs == piece.stats.resamples == 0
    assert len(Tune.parse(piece.text).bars) == 10


def test_labels_of_other_weights_are_refused(untrained):
    untrained.prompts = []
    with pytest.raises(UserError, match="trained without prompts; leave out the % lines"):
        next(generate(untrained, ["%Baroque\n%Bach, Johann Sebastian\n%Choral\n"]))
    untrained.prompts = [Prompt("Classical", "Haydn, Joseph", "Chamber")]
    with pytest.raises(UserError, match="not trained with Baroque, Bach, Johann Sebastian, Choral"):
        next(generate(untrained, ["%Baroque\n%Bach, Johann Sebastian\n%Choral\n"]))
    [piece] = generate(untrained, [str(untrained.prompts[0])], max_patches=8)
    untrained.prompts = None
    assert piece.text.startswith("%Classical\n")


def test_weights_that_are_no_numbers_are_refused():
    model = NotaGen(ModelConfig(1, 1, 64, patch_length=64, dropout=0.0))
    for weight in model.parameters():
        weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="the model predicts NaN"):
        next(generate(model, [""]))


@pytest.mark.parametrize("form", [Form(), Form(voices=2, metre="3/4", key="Dmin"), Form(voices=9)])
def test_random_weights_write_a_header_that_can_be_read(form):
    """They know nothing: it is the grammar that ends each line, and the header."""
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(1, 1, 64, patch_length=512, dropout=0.0)).eval()
    sampling = Sampling(max_resamples=2)
    for piece in generate(model, [""] * 4, sampling, max_patches=200, form=form):
        assert "[r:" in piece.text or piece.finish_reason is FinishReason.UNREADABLE
        header = piece.text.split("[r:")[0]
        tune = Tune.parse(f"{header}[V:{(*declared_voices(header.splitlines()), '1')[0]}]C8|\n")
        assert tune.unit_length
        assert tune.key
        assert to_musicxml(tune)
