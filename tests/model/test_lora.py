import pytest
import torch

from notagen.model import Decoder, ModelConfig, NotaGen, weights
from notagen.model.config import LoRAConfig
from tests.helpers.random_pieces import random_piece


@pytest.fixture
def model() -> NotaGen:
    torch.manual_seed(0)
    return NotaGen(ModelConfig(2, 2, 64, patch_length=32, dropout=0.0)).eval()


@pytest.fixture
def pieces():
    return [random_piece(length, seed=length) for length in (5, 9, 2)]


def learn(model, pieces, steps=3, char_chunk=None):
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(pieces, char_chunk).backward()
        optimizer.step()
    return trained


def test_adapters_start_as_nothing_and_learn_on_both_levels(model, pieces):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    plain = model.log_prob(pieces)
    model.adapt(LoRAConfig(rank=4, alpha=8))
    assert torch.equal(model.log_prob(pieces), plain)
    trained = learn(model, pieces)
    # Two levels of two blocks of four layers, a pair of matrices each.
    assert len(trained) == 2 * 2 * 4 * 2
    assert all(weight.grad.abs().sum() > 0 for weight in trained)
    assert not torch.allclose(model.log_prob(pieces), plain, atol=0.1)
    for name, weight in model.state_dict().items():
        if "lora" not in name:
            assert torch.equal(weight, before[name.replace("base_layer.", "")]), name


def test_merged_weights_answer_as_adapted_ones(model, pieces):
    names = set(model.state_dict())
    model.adapt(LoRAConfig(rank=4, alpha=8))
    learn(model, pieces)
    packed = model.pack(pieces)
    adapted, written = model(*packed), greedy(model)
    model.merge_adapters()
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(*packed), adapted, atol=1e-5, rtol=0)
    torch.testing.assert_close(greedy(model), written, atol=1e-5, rtol=0)


def greedy(model):
    """Logits of the decoder, which takes weights out of the blocks."""
    decoder = Decoder(model, rows=1)
    decoder.prefill(0, torch.full((1, 16), 1))
    return decoder.begin_patch()


def test_in_chunks_the_gradients_are_the_same(model, pieces):
    model.adapt(LoRAConfig(rank=4, alpha=8, levels=("char",)))
    learn(model, pieces, steps=1)
    found = {}
    for char_chunk in (None, 4):
        model.zero_grad()
        model.loss(pieces, char_chunk).backward()
        found[char_chunk] = [weight.grad for weight in model.parameters() if weight.requires_grad]
    for whole, chunked in zip(found[None], found[4], strict=True):
        torch.testing.assert_close(whole, chunked)


def test_saved_weights_are_plain(model, pieces, tmp_path):
    model.adapt(LoRAConfig(rank=4, alpha=8))
    learn(model, pieces)
    adapted = model.log_prob(pieces)
    weights.save(model, tmp_path / "model")
    again = NotaGen.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(again.log_prob(pieces), adapted)
