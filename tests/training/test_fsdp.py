from functools import partial

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from notagen.model import ModelConfig, NotaGen
from notagen.training.fsdp import shard
from tests.helpers.random_pieces import random_piece
from tests.helpers.ranks import run_on_ranks

RANKS = 2


def new_model():
    torch.manual_seed(0)
    return NotaGen(ModelConfig(2, 1, 64, 16, dropout=0.0))


def sharded_gradients(rank, folder, char_chunk):
    """Gradients of the mean over ranks, each with pieces of its own; rank 0 saves them."""
    model = new_model()
    shard(model, init_device_mesh("cpu", (RANKS,)))
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    model.loss([random_piece(9, seed=rank)], char_chunk=char_chunk).backward()
    gathered = {
        name: parameter.grad.full_tensor()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    if rank == 0:
        torch.save(gathered, folder / "grads.pt")


@pytest.mark.dist
@pytest.mark.parametrize("char_chunk", [None, 3])
def test_sharded_gradients_are_those_of_one_process(tmp_path, char_chunk):
    run_on_ranks(partial(sharded_gradients, char_chunk=char_chunk), tmp_path, RANKS)
    model = new_model()
    losses = [model.loss([random_piece(9, seed=rank)]) for rank in range(RANKS)]
    torch.stack(losses).mean().backward()
    found = torch.load(tmp_path / "grads.pt")
    assert found.keys() == dict(model.named_parameters()).keys() - {"patch_decoder.wte.weight"}
    for name, grad in found.items():
        torch.testing.assert_close(grad, model.get_parameter(name).grad, msg=name)
