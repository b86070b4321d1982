"""What M3 hides and restores."""

import pytest
import torch

from notagen.patches import EOS, PAD
from notagen.reward import bar_patches
from notagen.reward.bar_patches import Task
from notagen.reward.m3 import M3, BarCharDecoder, mask


@pytest.fixture(scope="module")
def patches(rows):
    return torch.cat([torch.from_numpy(bar_patches.encode(row["text"])) for row in rows])


def small_m3():
    torch.manual_seed(0)
    return M3(
        layers=1, hidden_size=64, feature_size=8, patch_length=32, dropout=0.0, conv_radius=4,
        decoder_layers=1, decoder_size=64, patches_per_step=8,
    )  # fmt: skip


def has_text(patches):
    return patches[:, 1] > EOS


def test_nearly_half_is_chosen_and_most_of_that_is_blanked(patches):
    torch.manual_seed(0)
    many = patches.repeat(10, 1)
    masked, chosen = mask(many, has_text(many))
    blank = (masked == PAD).all(dim=1)
    changed = (masked != many).any(dim=1)
    assert chosen.float().mean() == pytest.approx(0.45, abs=0.03)
    assert blank[chosen].float().mean() == pytest.approx(0.8, abs=0.03)
    assert (changed & ~blank)[chosen].float().mean() == pytest.approx(0.1, abs=0.03)
    assert not changed[~chosen].any()


def test_a_perturbed_patch_keeps_its_characters(patches):
    torch.manual_seed(0)
    masked, chosen = mask(patches, has_text(patches))
    shuffled = chosen & (masked != PAD).any(dim=1)
    assert torch.equal(masked[shuffled].sort(dim=1)[0], patches[shuffled].sort(dim=1)[0])


def test_an_excerpt_to_proofread_is_shown_whole(patches):
    eligible = torch.arange(len(patches)) % 3 == 0
    masked = mask(patches, eligible)
    assert masked.chosen[eligible].any()
    assert torch.equal(masked.patches[~eligible], patches[~eligible])


def test_the_char_decoder_gives_a_patch_the_same_in_any_company(patches):
    torch.manual_seed(0)
    decoder = BarCharDecoder(layers=1, hidden_size=64, encoder_size=32).eval()
    some, vectors = patches[:12], torch.randn(12, 32)
    together = decoder(vectors, some)
    alone = torch.cat([decoder(vectors[i : i + 1], some[i : i + 1]) for i in range(12)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    assert (together[some[:, 1:] == PAD] == 0).all()
    assert (together[some[:, 1:] != PAD] > 0).all()


def test_the_char_decoder_looks_back_only(patches):
    torch.manual_seed(0)
    decoder = BarCharDecoder(layers=1, hidden_size=64, encoder_size=32).eval()
    [bar] = patches[20:21]
    other = bar.clone()
    other[10] = ord("x")
    vector = torch.randn(1, 32)
    before, after = (decoder(vector, piece[None])[0] for piece in (bar, other))
    torch.testing.assert_close(before[:9], after[:9])
    assert not torch.allclose(before[9:12], after[9:12])


def test_every_weight_but_the_unused_one_is_trained(patches):
    model = small_m3()
    tasks = torch.tensor([Task.RESTORE] * 64 + [Task.INTACT, Task.MISPLACED] * 16)
    output = model(torch.cat([patches[:96], tasks.byte()[:, None]], dim=1), [32, 32, 32])
    (output.nll.mean() + output.misplaced_logits.mean()).backward()
    untouched = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert untouched == {
        "encoder.bert.embeddings.word_embeddings.weight",
        "encoder.projection.weight",  # fitted when training has ended
        "encoder.projection.bias",
    }
    assert len(output.patches) == 8
    assert len(output.misplaced_logits) == int(has_text(patches[64:96]).sum())
    assert 0 < output.misplaced_labels.sum() < len(output.misplaced_labels)


def test_nothing_is_hidden_of_an_excerpt_to_proofread(patches):
    model = small_m3()
    seen = []
    model.encoder.embedding.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    tasks = torch.full((32, 1), Task.INTACT, dtype=torch.uint8)
    output = model(torch.cat([patches[:32], tasks], dim=1), [32])
    assert torch.equal(seen[0], patches[:32].long())
    assert len(output.patches) == 0


def test_with_nothing_to_restore_every_weight_still_has_its_gradient(patches):
    """Of a batch in which all is to be proofread; DDP waits for all gradients of all ranks."""
    torch.manual_seed(0)
    decoder = BarCharDecoder(layers=1, hidden_size=64, encoder_size=32)
    nll = decoder(torch.randn(0, 32), patches[:0])
    assert nll.shape == (0, 63)
    nll.sum().backward()
    for name, weight in decoder.named_parameters():
        assert weight.grad is not None, name
        assert not weight.grad.any(), name
