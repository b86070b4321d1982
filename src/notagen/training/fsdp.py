"""FSDP2: a Lightning strategy, and spreading one model over many devices."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.constants import default_pg_timeout
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from notagen.model.notagen import NotaGen
from notagen.training.ranks import Patience, Rendezvous

BF16_MIXED = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
"""Weights are sent and used in bfloat16, and kept, like sums of gradients, in float32."""


class FullySharded(Rendezvous, ModelParallelStrategy):
    """Every rank holds a share of weights, gradients and optimizer state, and its own batches.

    Lightning's own takes a node for one data-parallel rank: with its defaults all devices of a
    node are given the same batches, and nothing complains. Here each device is one.

    Args:
        save_distributed_checkpoint: write a checkpoint as a folder with one file per rank, for
            which no rank must hold the whole; else as the one file of other strategies.
        startup_timeout: seconds that a rank waits for others to start.
        timeout: how long it waits for others in a step.
    """

    def __init__(
        self,
        save_distributed_checkpoint: bool = False,
        startup_timeout: Patience = 60,
        timeout: timedelta | None = default_pg_timeout,
    ) -> None:
        super().__init__(
            tensor_parallel_size=1,
            save_distributed_checkpoint=save_distributed_checkpoint,
            timeout=timeout,
        )
        self.startup_timeout = startup_timeout

    def setup_environment(self) -> None:
        """Start the ranks' communication; the number of devices is known by now."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; what was at ``filepath`` stays until it is complete.

        A folder cannot be replaced in one step, but a link to it can: there are two folders, and
        the one that the link does not name is written.
        """
        if not self._save_distributed_checkpoint:
            Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)
            return
        link = Path(filepath)
        folders = [link.with_name(f".{link.name}.{name}") for name in "ab"]
        if link.is_symlink() and link.resolve() == folders[0].resolve():
            folders.reverse()
        new, old = folders
        super().save_checkpoint(checkpoint, new)  # to the first rank's idea of it, on all
        self.barrier()
        if self.is_global_zero:
            unfinished = link.with_name(f".{link.name}.unfinished")
            unfinished.unlink(missing_ok=True)
            unfinished.symlink_to(new.name)
            unfinished.replace(link)
            shutil.rmtree(old, ignore_errors=True)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load weights and optimizer state, of shards or of a file of any strategy.

        A file numbers the weights that are trained; Lightning's own takes these for numbers of all
        weights of the model, and gives a weight the state of another.
        """
        path = Path(self.broadcast(checkpoint_path))
        if path.is_dir():
            return super().load_checkpoint(path, weights_only)
        assert self.model is not None
        contents: dict[str, Any] = torch.load(
            path, mmap=True, map_location="cpu", weights_only=True
        )
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(self.model, contents.pop("state_dict"), options=options)
        for optimizer, state in zip(self.optimizers, contents["optimizer_states"], strict=True):
            set_optimizer_state_dict(self.model, optimizer, _by_name(state), options=options)
        return contents


def _by_name(state: dict[str, Any]) -> dict[str, Any]:
    """Optimizer state by the names of weights, as a stage with a ``model`` has them."""
    groups = state["param_groups"]
    names = {
        number: f"model.{name}"
        for group in groups
        for number, name in zip(group["params"], group["param_names"], strict=True)
    }
    return {
        "state": {names[number]: moments for number, moments in state["state"].items()},
        "param_groups": [
            {**group, "params": [names[number] for number in group["params"]]} for group in groups
        ],
    }


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
        copy.adapt(model.lora)
    copy.load_state_dict(weights)
    return copy.to(model.char_decoder.wte.weight.device)
