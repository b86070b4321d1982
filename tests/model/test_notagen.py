import numpy as np
import pytest
import torch

from notagen.model import ModelConfig, NotaGen, predicted
from notagen.patches import PAD
from tests.helpers.random_pieces import random_piece


def test_a_piece_alone_and_in_a_batch_are_worth_the_same(model, pieces):
    alone = torch.cat([model.log_prob([piece]) for piece in pieces])
    torch.testing.assert_close(model.log_prob(pieces), alone)
    torch.testing.assert_close(model.log_prob(pieces[::-1]), alone.flip(0))


def test_arrays_and_tensors_of_any_integers_are_pieces(model, pieces):
    wide = [np.asarray(piece, dtype=np.int64) for piece in pieces]
    assert model.loss(wide).item() == model.loss(pieces).item()


def test_loss_is_the_mean_over_predicted_characters(model, pieces):
    characters = sum(int((piece[1:] != PAD).sum()) for piece in pieces)
    expected = -model.log_prob(pieces).sum().item() / characters
    assert model.loss(pieces).item() == pytest.approx(expected, rel=1e-5)


def test_only_predicted_characters_have_a_likelihood(model, pieces):
    patches, lengths = model.pack(pieces)
    nll = model(patches, torch.tensor(lengths))
    counted = predicted(patches, lengths)
    assert nll.shape == patches.shape
    assert (nll[counted] > 0).all()
    assert (nll[~counted] == 0).all()


def test_a_new_model_knows_nothing(model, pieces):
    assert model.loss(pieces).item() == pytest.approx(np.log(128), abs=0.1)


@pytest.mark.parametrize(("patch", "slot"), [(0, 3), (4, 0), (4, 7), (4, 15), (8, 2)])
def test_a_character_changes_nothing_before_it(model, patch, slot):
    piece = random_piece(9, seed=5)
    piece[1:] = piece[1:].clamp(min=32)  # every patch full
    changed = piece.clone()
    changed[patch, slot] = 3
    model = model.double()  # in which what moves moves by more than rounding
    before, after = (model(patches, [len(piece)]).flatten() for patches in (piece, changed))
    moved = (before - after).abs() > 1e-10
    first = patch * 16 + slot
    assert not moved[:first].any()
    assert moved[max(first, 16) :].all(), "except that nothing is said of the first patch"


def test_every_parameter_but_the_idle_ones_learns(model, pieces):
    model.loss(pieces).backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert idle == {"patch_decoder.wte.weight"}
    for name, parameter in model.named_parameters():
        assert name in idle or parameter.grad.abs().sum() > 0, name


def test_dropout_disturbs_training_only(model, pieces):
    model.config.dropout = 0.5
    torch.manual_seed(1)
    first, second = model.loss(pieces), model.loss(pieces)
    assert first.item() != second.item()
    model.eval()
    assert model.loss(pieces).item() == model.loss(pieces).item()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointing_changes_no_gradient(model, pieces, dropout):
    model.config.dropout = dropout
    found = []
    for model.config.checkpointing in (False, True):
        torch.manual_seed(1)
        model.zero_grad()
        model.loss(pieces, char_chunk=7).backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(*found)


def test_checkpointing_keeps_less(model, pieces):
    kept = []
    patches, lengths = model.pack(pieces)
    for model.config.checkpointing in (False, True):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: (sizes.append(tensor.numel()), tensor)[1], lambda x: x
        ):
            model.patch_decoder(patches, lengths)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def test_initial_weights_are_spread_as_gpt2_s():
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(8, 2, 256, 32))
    weights = model.state_dict()
    assert weights["patch_decoder.h.3.mlp.c_fc.weight"].std() == pytest.approx(0.02, rel=0.03)
    deep = weights["patch_decoder.h.3.mlp.c_proj.weight"].std()
    shallow = weights["char_decoder.h.1.attn.c_proj.weight"].std()
    assert deep == pytest.approx(0.02 / 4, rel=0.03)
    assert shallow == pytest.approx(0.02 / 2, rel=0.03)
    assert not weights["char_decoder.h.0.attn.c_attn.bias"].any()


@pytest.mark.parametrize(
    ("patches", "lengths", "reason"),
    [
        (torch.zeros(4, 16), [1, 3], "2 to 24 patches"),
        (torch.zeros(25, 16), [25], "2 to 24 patches"),
        (torch.zeros(5, 16), [2, 2], "do not hold"),
        (torch.zeros(4, 15), [2, 2], "do not hold"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(model, patches, lengths, reason):
    with pytest.raises(ValueError, match=reason):
        model(patches.to(torch.uint8), lengths)


def test_a_width_that_cannot_be_split_into_heads_is_refused():
    with pytest.raises(ValueError, match="multiple of 64"):
        ModelConfig(1, 1, 100, 32)


def test_a_model_is_built_from_its_sizes():
    model = NotaGen.with_sizes(patch_layers=1, char_layers=2, hidden_size=64, patch_length=32)
    assert model.config == ModelConfig(1, 2, 64, 32, dropout=0.1, checkpointing=False)
    with pytest.raises(ValueError, match="multiple of 64"):
        NotaGen.with_sizes(patch_layers=1, char_layers=1, hidden_size=100, patch_length=32)
