import pytest
import torch


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("char_chunk", [1, 7, 1000])
def test_chunks_change_neither_loss_nor_gradients(model, pieces, char_chunk):
    model = model.double()
    expected = model.loss(pieces)
    found = model.loss(pieces, char_chunk=char_chunk)
    torch.testing.assert_close(found, expected)
    found, expected = gradients(model, 3 * found), gradients(model, 3 * expected)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_frozen_weights_stay_without_gradients(model, pieces):
    model.char_decoder.wpe.requires_grad_(False)
    grads = gradients(model, model.loss(pieces, char_chunk=5))
    assert "char_decoder.wpe.weight" not in grads
    assert grads["char_decoder.wte.weight"].any()


def test_a_loss_that_weighs_characters_differently_is_refused(model, pieces):
    patches, lengths = model.pack(pieces)
    nll = model(patches, lengths, char_chunk=5)
    with pytest.raises(RuntimeError, match="every character must weigh the same"):
        (nll * torch.rand_like(nll)).sum().backward()


def test_chunks_mean_nothing_without_gradients(model, pieces):
    with torch.no_grad():
        assert torch.equal(model.loss(pieces, char_chunk=5), model.loss(pieces))
