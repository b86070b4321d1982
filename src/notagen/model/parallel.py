"""One model on many devices: the only place that knows FSDP2."""

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from notagen.model.network import NotaGen


def shard(model: NotaGen, mesh: DeviceMesh, precision: MixedPrecisionPolicy | None = None) -> None:
    """Spread parameters, gradients and optimizer state over a 1-d mesh, in place.

    Each patch-level block is gathered when it runs, everything else once a step: the char level
    is small, and run in chunks it is needed many times over. Weights are gathered in `forward`
    only, so train through `model(...)` or `model.loss(...)`, which calls it.
    """
    policy = precision or MixedPrecisionPolicy()
    for block in model.patch_decoder.h:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
