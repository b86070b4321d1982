"""FSDP2 over all ranks, as a Lightning strategy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy


class FullySharded(ModelParallelStrategy):
    """Every rank holds a share of weights, gradients and optimizer state, and its own batches.

    Lightning's own takes a node for one data-parallel rank: with its defaults all devices of a
    node are given the same batches, and nothing complains. Here each device is one.

    Args:
        save_distributed_checkpoint: write a checkpoint as a folder with a file a rank, which needs
            no rank to hold the whole; else as the one file that other strategies write.
    """

    def __init__(self, save_distributed_checkpoint: bool = False) -> None:
        super().__init__(
            tensor_parallel_size=1, save_distributed_checkpoint=save_distributed_checkpoint
        )

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
