"""Cached decoding: one character at a time for many pieces at once.

Neither level computes anything twice. The decoder returns logits and takes character ids; how ids
are sampled, or forced (the rest of a prompt, a stream mark), is left to the caller.

Shapes, also as suffixes of variables: B = rows, the pieces decoded at once, n = patches or rows of
one call, S = 16 characters of a patch, V = 128 character ids, P = `patch_length`, D = hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from notagen.errors import UserError
from notagen.model.decoding.runner import CudaGraphRunner, LevelRunner, Quantize
from notagen.model.notagen import NotaGen
from notagen.patches import PATCH_SIZE


class Decoder:
    """Both levels of a model with their caches, for a batch of pieces of different lengths.

    ::

        decoder = Decoder(model, rows=1)
        decoder.prefill(0, patches)              # the finished patches of a prompt
        logits = decoder.begin_patch()           # for the first character of the next patch
        for _ in range(15):
            logits = decoder.next_char(ids)      # ids: the characters chosen for the last logits
        decoder.push(patch)                      # the whole patch, padded after its end

    All rows are at the same slot of their patches; rows whose patch has ended wait for the others.
    The model's weights must not change while the decoder is in use.

    Args:
        model: in eval mode.
        rows: number of pieces decoded at once.
        quantize: ``int8`` to round the matrices of the blocks; on a CPU only.
        cuda_graphs: replay each step as one CUDA graph.

    Attributes:
        lengths: patches in each row so far.

    Raises:
        ValueError: the model is in training mode.
        UserError: ``quantize`` or ``cuda_graphs`` is not possible on the model's device or with the
            type of its weights.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: NotaGen,
        rows: int,
        quantize: Quantize | None = None,
        *,
        cuda_graphs: bool = False,
    ) -> None:
        if model.training:
            raise ValueError("decoding needs a model in eval mode: call model.eval() first")
        config = model.config
        self.lengths = [0] * rows
        self.patch_length = config.patch_length
        patches, chars = model.patch_decoder, model.char_decoder
        embedding = patches.patch_embedding
        # One table of (slot, character), and one of positions, to which the bias is added here.
        self._tables = embedding.weight.detach(), embedding.bias + patches.wpe.weight
        self._head_VD = chars.wte.weight.detach()
        runner = select_runner(self._head_VD, quantize, cuda_graphs=cuda_graphs)
        self._patches = runner(patches.h, patches.ln_f, rows, config.patch_length)
        self._chars = runner(chars.h, chars.ln_f, rows, PATCH_SIZE)
        # The patch level's output at every patch: after `rewind` the last one is needed again.
        self._hidden_BPD = self._head_VD.new_zeros(rows, config.patch_length, config.hidden_size)
        self._last_hidden_BD: Tensor | None = None  # of the last patches; None: to be looked up
        self._start_D = chars.wpe.weight[0].detach()
        # The first char block's computation before attention depends on slot and character only.
        embedded_SVD = chars.wpe.weight[:PATCH_SIZE, None] + self._head_VD
        self._chars.precompute_first_block(embedded_SVD, self._head_VD)
        self._slot = 0

    @torch.no_grad()
    def prefill(self, row: int, patches: Tensor) -> None:
        """Append finished patches, integer [n, S], to one row.

        Raises:
            ValueError: they do not fit into the context.
        """
        start, end = self.lengths[row], self.lengths[row] + len(patches)
        self._require_room(end)
        x_nD = self._patches.embed(self._tables, patches, range(start, end))
        self._hidden_BPD[row, start:end] = self._patches.prefill(x_nD, row, start)
        self.lengths[row] = end
        self._last_hidden_BD = None

    def rewind(self, row: int, length: int) -> None:
        """Truncate one row to its first `length` patches.

        Raises:
            ValueError: the row has fewer.
        """
        if not 0 <= length <= self.lengths[row]:
            raise ValueError(f"row {row} holds {self.lengths[row]} patches, not {length}")
        self.lengths[row] = length
        self._last_hidden_BD = None

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, which are renumbered from 0."""
        self.lengths = [self.lengths[row] for row in rows]
        self._hidden_BPD = self._hidden_BPD[rows]
        self._last_hidden_BD = None
        self._patches.keep(rows)
        self._chars.keep(rows)

    @property
    def last_hidden(self) -> Tensor:
        """Output of the patch level at the last patch of every row, [B, D].

        Raises:
            ValueError: a row is empty.
        """
        if 0 in self.lengths:
            raise ValueError("a row is empty: prefill every row, at least with the bos patch")
        if self._last_hidden_BD is None:
            self._last_hidden_BD = self._hidden_BPD.flatten(0, 1).index_select(0, self._last())
        return self._last_hidden_BD

    def begin_patch(self) -> Tensor:
        """Logits [B, V] of the first character of every row's next patch."""
        self._slot = 0
        x_BD = self.last_hidden + self._start_D
        return self._chars.logits(x_BD, range(len(self.lengths)), self._slot)

    def next_char(self, ids: Tensor | Sequence[int], rows: Sequence[int] | None = None) -> Tensor:
        """Logits [n, V] after appending one character to each unfinished patch.

        Args:
            ids: the characters, integer [n].
            rows: the row of each, ascending; None for all rows.
        """
        self._slot += 1
        rows = range(len(self.lengths)) if rows is None else rows
        return self._chars.next_logits(ids, rows, self._slot)

    @torch.no_grad()
    def push(self, patches: Tensor) -> None:
        """Append one finished patch, integer [B, S], to every row.

        Raises:
            ValueError: a row is full: rewind it and prefill a shorter context.
        """
        self._require_room(max(self.lengths) + 1)
        x_BD = self._patches.embed(self._tables, patches, self.lengths)
        self._last_hidden_BD = self._patches.step(x_BD, range(len(self.lengths)), self.lengths)
        self.lengths = [length + 1 for length in self.lengths]
        self._hidden_BPD.view(-1, x_BD.shape[1]).index_copy_(0, self._last(), self._last_hidden_BD)

    def _last(self) -> Tensor:
        """Index of each row's last patch in the flattened [B·P], long [B]."""
        ends = (row * self.patch_length + length for row, length in enumerate(self.lengths))
        return torch.tensor([end - 1 for end in ends], device=self._head_VD.device)

    def _require_room(self, length: int) -> None:
        if length > self.patch_length:
            raise ValueError(
                f"{length} patches do not fit into a context of {self.patch_length}: "
                "rewind the row and prefill a shorter context"
            )


@cache
def has_numba() -> bool:
    """Return True if numba is installed and not disabled; cached, since every draw asks."""
    if find_spec("numba") is None:
        return False
    import numba

    return not numba.config.DISABLE_JIT  # NUMBA_DISABLE_JIT=1


def select_runner(
    weight: Tensor, quantize: Quantize | None, *, cuda_graphs: bool
) -> type[LevelRunner]:
    """Choose the class that runs both levels, by device and type of the weights.

    Machine code on a CPU in float32, if numba is installed; else torch.

    Args:
        weight: any weight of the model.
        quantize: ``int8`` or None.
        cuda_graphs: replay each step as one CUDA graph.

    Raises:
        UserError: ``quantize`` or ``cuda_graphs`` is not possible there.
    """
    if quantize not in (None, "int8"):
        raise UserError(f"quantize must be int8 or null, not {quantize}")
    if cuda_graphs and not weight.is_cuda:
        raise UserError("cuda_graphs=true needs a CUDA device")
    machine_code = weight.device.type == "cpu" and weight.dtype == torch.float32 and has_numba()
    if quantize and not machine_code:
        raise UserError(
            "quantize=int8 needs weights in float32 on a processor, and numba "
            "(pip install notagen[fast])"
        )
    if machine_code:
        from notagen.model.decoding.numba_runner import Int8Runner, NumbaRunner

        return Int8Runner if quantize else NumbaRunner
    return CudaGraphRunner if cuda_graphs else LevelRunner
