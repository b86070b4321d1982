"""Our model against the published program's answers, and its formulation written plainly."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.reference import Reference
from notagen.model import Decoder, ModelConfig, NotaGen
from notagen.model.published import to_published

CLOSE = {"rtol": 0, "atol": 1e-4}


def reference_of(model: NotaGen) -> Reference:
    reference = Reference(model.config).to(model.char_decoder.wte.weight.dtype)
    reference.load_state_dict(to_published(model.state_dict()))
    return reference.train(model.training)


def test_losses_are_the_published_ones(golden, golden_model, golden_pieces):
    single = [golden_model.loss([piece]).item() for piece in golden_pieces]
    assert golden_model.loss(golden_pieces).item() == pytest.approx(golden["loss_batch"], abs=1e-4)
    assert single == pytest.approx(golden["loss_single"], abs=1e-4)


def test_log_probabilities_are_the_published_ones(golden, golden_model, golden_pieces):
    found = golden_model.log_prob(golden_pieces).tolist()
    assert found == pytest.approx(golden["logp_sum"], rel=1e-6)


def test_hidden_state_is_the_published_one(golden, golden_model, golden_pieces):
    piece = golden_pieces[1]
    hidden = golden_model.patch_decoder(piece.long(), [len(piece)])[-1]
    torch.testing.assert_close(hidden, torch.tensor(golden["last_hidden"]), **CLOSE)


def test_next_character_distributions_are_the_published_ones(golden, golden_model, golden_pieces):
    """The k-th one follows the first k characters of `next_patch`."""
    decoder = Decoder(golden_model, rows=1)
    decoder.prefill(0, golden_pieces[1])
    logits = [decoder.begin_patch()]
    for character in golden["next_patch"][:5]:
        logits.append(decoder.next_char(torch.tensor([character])))
    found = torch.cat(logits).softmax(-1)
    torch.testing.assert_close(found, torch.tensor(golden["next_char_probs"]), **CLOSE)


def test_the_reference_writes_the_published_greedy_patches(golden, golden_model, golden_pieces):
    """Without a cache; so the cached decoder and this one agree."""
    reference = reference_of(golden_model)
    patches = golden_pieces[1]
    for expected in golden["greedy_patches"]:
        patch = reference.next_patch(patches, lambda probabilities: int(probabilities.argmax()))
        assert patch == expected
        patches = torch.cat([patches, torch.tensor([patch])])


def test_gradients_are_the_reference_s(model, pieces):
    model = model.double()
    reference = reference_of(model)
    model.loss(pieces).backward()
    reference.loss(pieces).backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found = to_published(grads)
    for name, parameter in reference.named_parameters():
        if parameter.grad is not None:
            scale = parameter.grad.abs().max()
            torch.testing.assert_close(
                found[name] / scale, parameter.grad / scale, rtol=0, atol=1e-6, msg=name
            )


def test_training_follows_the_reference(model, pieces):
    losses = []
    model = model.double()  # steps of Adam would make much of last bits
    for learner in (model, reference_of(model)):
        optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3)
        losses.append([])
        for _ in range(20):
            optimizer.zero_grad()
            loss = learner.loss(pieces)
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][-1] < losses[0][0] - 0.1


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("small", ModelConfig(12, 3, 768, 2048)),
        ("medium", ModelConfig(16, 3, 1024, 2048)),
        ("large", ModelConfig(20, 6, 1280, 1024)),
    ],
)
def test_sizes_are_the_published_ones(name, config):
    golden = Path(__file__).parents[1] / "golden" / "published_sizes.json"
    published = json.loads(golden.read_text())[name]
    with torch.device("meta"):
        model = NotaGen(config)
    assert sum(p.numel() for p in model.parameters()) == published["parameters"]
    shapes = {key: list(w.shape) for key, w in to_published(model.state_dict()).items()}
    expected = published["state_dict"]  # names and shapes, or for the larger ones their number
    assert (shapes if isinstance(expected, dict) else len(shapes)) == expected
