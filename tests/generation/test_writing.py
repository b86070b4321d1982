import pytest
import torch

from notagen.generation import Ending, Sampling, generate
from notagen.model import ModelConfig, NotaGen

HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\n"


@pytest.fixture(scope="module")
def model() -> NotaGen:
    torch.manual_seed(0)
    return NotaGen(ModelConfig(2, 1, 64, patch_length=64, dropout=0.0)).eval()


def texts(model, prompts, **options) -> dict[int, str]:
    pieces = generate(model, prompts, most_patches=40, **options)
    return {piece.index: piece.text for piece in pieces}


def test_a_piece_does_not_depend_on_its_batch(model):
    prompts = [HEADER, "", HEADER + "[r:0/2][V:1]C2 D", "%Baroque\n"]
    together = texts(model, prompts, rows=4, seed=5)
    in_turn = texts(model, prompts, rows=1, seed=5)
    by_twos = texts(model, prompts, rows=2, seed=5)
    assert together == in_turn == by_twos
    assert texts(model, prompts, rows=4, seed=6) != together


def test_every_prompt_is_continued(model):
    prompts = [HEADER, HEADER + "[r:0/2][V:1]C2 D", HEADER + "[r:0/2][V:1]C8|\n"]
    for index, text in texts(model, prompts).items():
        assert text.startswith(prompts[index])
        assert len(text) > len(prompts[index])


def test_no_control_character_reaches_the_text(model):
    for text in texts(model, [""] * 4).values():
        assert min(map(ord, text)) > 2


def test_an_untrained_model_is_stopped(model):
    [piece] = generate(model, [""], Sampling(), most_patches=30)
    assert piece.ending is Ending.TOO_LONG


def test_a_piece_longer_than_the_context_goes_on(model):
    prompt = HEADER + "[r:0/30][V:1]C8|\n" + "".join(
        f"[r:{i}/{30 - i}][V:1]C8|\n" for i in range(1, 20)
    )
    [piece] = generate(model, [prompt], Sampling(), most_patches=150)
    assert piece.text.startswith(prompt)
    assert len(piece.text) > len(prompt) + 64 * 8


def test_nothing_asked_nothing_written(model):
    assert list(generate(model, [])) == []
