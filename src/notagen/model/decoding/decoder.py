"""Cached decoding: one character at a time for many pieces at once.

Neither level computes anything twice. The sampler stays outside: it is given logits and answers
with characters, so forcing a character (the rest of a prompt, a mark) is just another answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from notagen.errors import UserError
from notagen.model.decoding.runner import CudaGraphRunner, LevelRunner, Quantize
from notagen.model.notagen import NotaGen
from notagen.patches import PATCH_SIZE


class Decoder:
    """Pieces being written, one a row, each with its own length.

    ::

        decoder = Decoder(model, rows=1)
        decoder.prefill(0, patches)              # the finished patches of a prompt
        logits = decoder.begin_patch()           # for the first character of the next patch
        for _ in range(15):
            logits = decoder.next_char(ids)      # ids: the characters chosen for the last logits
        decoder.push(patch)                      # the whole patch, padded after its end

    All rows write the same slot of their patch at the same time; those that have ended it wait for
    the others. The model's weights must not change meanwhile.

    Args:
        model: in eval mode.
        rows: how many pieces are written at once.
        quantize: what matrices are rounded to; only on a processor.
        cuda_graphs: whether each step is one CUDA graph.

    Attributes:
        lengths: patches in each row so far.

    Raises:
        ValueError: when the model is in training mode.
        UserError: when that is not possible with the model's device or type.
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
        inputs, chars = model.patch_decoder, model.char_decoder
        embedding = inputs.patch_embedding
        self._inputs = embedding.weight.detach(), embedding.bias + inputs.wpe.weight
        self._head = chars.wte.weight.detach()
        runner = select_runner(self._head, quantize, cuda_graphs=cuda_graphs)
        self._patches = runner(inputs.h, inputs.ln_f, rows, config.patch_length)
        self._chars = runner(chars.h, chars.ln_f, rows, PATCH_SIZE)
        self._hidden = self._head.new_zeros(rows, config.patch_length, config.hidden_size)
        # What `push` put there, until rows change otherwise.
        self._last_hidden: Tensor | None = None
        self._start = chars.wpe.weight[0].detach()
        # What the first char block computes before attention depends on slot and character only.
        embedded = chars.wpe.weight[:PATCH_SIZE, None] + self._head
        self._chars.precompute_first_block(embedded, self._head)
        self._slot = 0

    @torch.no_grad()
    def prefill(self, row: int, patches: Tensor) -> None:
        """Append finished patches, integer [n, 16], to one row.

        Raises:
            ValueError: when they do not fit into the context.
        """
        start, end = self.lengths[row], self.lengths[row] + len(patches)
        self._require_room(end)
        x = self._patches.embed(self._inputs, patches, range(start, end))
        self._hidden[row, start:end] = self._patches.prefill(x, row, start)
        self.lengths[row] = end
        self._last_hidden = None

    def rewind(self, row: int, length: int) -> None:
        """Forget what one row holds after its first `length` patches."""
        if not 0 <= length <= self.lengths[row]:
            raise ValueError(f"row {row} holds {self.lengths[row]} patches, not {length}")
        self.lengths[row] = length
        self._last_hidden = None

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only; they are numbered anew from 0."""
        self.lengths = [self.lengths[row] for row in rows]
        self._hidden = self._hidden[rows]
        self._last_hidden = None
        self._patches.keep(rows)
        self._chars.keep(rows)

    @property
    def last_hidden(self) -> Tensor:
        """What the patch level says after the last patch of every row, [rows, hidden]."""
        if 0 in self.lengths:
            raise ValueError("a row is empty: prefill every row, at least with the bos patch")
        if self._last_hidden is None:
            self._last_hidden = self._hidden.flatten(0, 1).index_select(0, self._last())
        return self._last_hidden

    def begin_patch(self) -> Tensor:
        """Logits [rows, 128] of the first character of every row's next patch."""
        self._slot = 0
        x = self.last_hidden + self._start
        return self._chars.logits(x, range(len(self.lengths)), self._slot)

    def next_char(self, ids: Tensor | Sequence[int], rows: Sequence[int] | None = None) -> Tensor:
        """Given the characters just chosen, integer [n], the logits [n, 128] of the next.

        Args:
            ids: one for each row that goes on with its patch.
            rows: which these are, ascending; every row when None.
        """
        self._slot += 1
        rows = range(len(self.lengths)) if rows is None else rows
        return self._chars.next_logits(ids, rows, self._slot)

    @torch.no_grad()
    def push(self, patches: Tensor) -> None:
        """Append one finished patch, integer [rows, 16], to every row.

        Raises:
            ValueError: when a row is full: rewind it and prefill a shorter context.
        """
        self._require_room(max(self.lengths) + 1)
        x = self._patches.embed(self._inputs, patches, self.lengths)
        self._last_hidden = self._patches.step(x, range(len(self.lengths)), self.lengths)
        self.lengths = [length + 1 for length in self.lengths]
        self._hidden.view(-1, x.shape[1]).index_copy_(0, self._last(), self._last_hidden)

    def _last(self) -> Tensor:
        """Where each row's last patch stands among all places of all rows, long [rows]."""
        ends = (row * self.patch_length + length for row, length in enumerate(self.lengths))
        return torch.tensor([end - 1 for end in ends], device=self._head.device)

    def _require_room(self, length: int) -> None:
        if length > self.patch_length:
            raise ValueError(
                f"{length} patches do not fit into a context of {self.patch_length}: "
                "rewind the row and prefill a shorter context"
            )


def select_runner(
    weight: Tensor, quantize: Quantize | None, *, cuda_graphs: bool
) -> type[LevelRunner]:
    """How to compute with weights of this type on their device.

    Args:
        weight: one of them.
        quantize: what matrices are rounded to.
        cuda_graphs: whether with CUDA graphs.

    Raises:
        UserError: that is not possible there.
    """
    if quantize not in (None, "int8"):
        raise UserError(f"quantize must be int8 or null, not {quantize}")
    if cuda_graphs and not weight.is_cuda:
        raise UserError("cuda_graphs=true needs a CUDA device")
    single = weight.device.type == "cpu" and weight.dtype == torch.float32
    if quantize and not (single and find_spec("numba")):
        raise UserError(
            "quantize=int8 needs weights in float32 on a processor, and numba "
            "(pip install notagen[fast])"
        )
    if single and find_spec("numba"):
        from notagen.model.decoding.numba_runner import Int8Runner, NumbaRunner

        return Int8Runner if quantize else NumbaRunner
    return CudaGraphRunner if cuda_graphs else LevelRunner
