"""One model on many devices: the only place that knows FSDP2."""

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from notagen.model.network import NotaGen

BF16_MIXED = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
"""Weights are sent and used in bfloat16, and kept, like sums of gradients, in float32."""


def shard(model: NotaGen, mesh: DeviceMesh, precision: MixedPrecisionPolicy | None = None) -> None:
    """Spread parameters, gradients and optimizer state over a 1-d mesh, in place, once.

    Each patch-level block is gathered when it runs, everything else once a step: the char level
    is small, and run in chunks it is needed many times over. Weights are gathered in `forward`
    only, so train through `model(...)` or `model.loss(...)`, which calls it.
    """
    if isinstance(model, FSDPModule):
        return
    policy = precision or MixedPrecisionPolicy()
    for block in model.patch_decoder.h:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def whole(model: NotaGen, first: bool) -> NotaGen | None:
    """The model with all of its weights, to decode with on the first rank alone.

    Every rank must call this. It is the model itself where that is not spread, else a copy.

    Args:
        model: spread or not.
        first: whether this is the first rank; the others get None.
    """
    if not isinstance(model, FSDPModule):
        return model if first else None
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(model, options=options)  # empty on all ranks but the first
    if not first:
        return None
    copy = NotaGen(model.config)
    if model.lora is not None:
        model.lora.adapt(copy)
    copy.load_state_dict(weights)
    return copy.to(model.char_decoder.wte.weight.device)
