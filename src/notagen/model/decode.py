"""Cached decoding: one character at a time for many pieces at once.

Neither level computes anything twice. The sampler stays outside: it is given logits and answers
with characters, so forcing a character (the rest of a prompt, a mark) is just another answer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from notagen.model.blocks import affine
from notagen.model.cache import KeyValueCache
from notagen.model.network import NotaGen
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

    All rows write the same slot of their patch at the same time; a row that has ended its patch
    may be given anything until the others have. The model's weights must not change meanwhile.

    Args:
        model: in eval mode.
        rows: how many pieces are written at once.

    Attributes:
        lengths: patches in each row so far.

    Raises:
        ValueError: when the model is in training mode.
    """

    @torch.inference_mode()
    def __init__(self, model: NotaGen, rows: int) -> None:
        if model.training:
            raise ValueError("decoding needs a model in eval mode: call model.eval() first")
        config = model.config
        self.lengths = [0] * rows
        self.patch_length = config.patch_length
        self._patches, self._chars = model.patch_decoder, model.char_decoder
        weight = self._chars.wte.weight
        # One slot more than the context: rows that are full and not pushed write into it.
        self._patch_cache = KeyValueCache(
            config.patch_layers, rows, config.patch_length + 1, weight
        )
        self._char_cache = KeyValueCache(config.char_layers, rows, PATCH_SIZE, weight)
        self._hidden = weight.new_zeros(rows, config.patch_length + 1, config.hidden_size)
        # What the first char block computes before attention depends on slot and character only:
        # [16, 128, hidden + 3·hidden], the embedding and its projection side by side.
        embedded = self._chars.wpe.weight[:PATCH_SIZE, None] + weight
        self._patch_blocks = [block.weights() for block in self._patches.h]
        self._char_blocks = [block.weights() for block in self._chars.h]
        self._char_norm = affine(self._chars.ln_f)
        self._inputs = torch.cat([embedded, self._char_blocks[0].project(embedded)], dim=-1)
        self._slot = 0

    @torch.inference_mode()
    def prefill(self, row: int, patches: Tensor) -> None:
        """Append finished patches, integer [n, 16], to one row.

        Raises:
            ValueError: when they do not fit into the context.
        """
        start, end = self.lengths[row], self.lengths[row] + len(patches)
        self._require_room(end)
        level = self._patches
        x = level.patch_embedding(patches.long()) + level.wpe.weight[start:end]
        for layer, block in enumerate(self._patch_blocks):
            x = block.finish(x, self._patch_cache.extend(layer, row, start, block.project(x)))
        self._hidden[row, start:end] = level.ln_f(x)
        self.lengths[row] = end

    def rewind(self, row: int, length: int) -> None:
        """Forget what one row holds after its first `length` patches."""
        if not 0 <= length <= self.lengths[row]:
            raise ValueError(f"row {row} holds {self.lengths[row]} patches, not {length}")
        self.lengths[row] = length

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only; they are numbered anew from 0."""
        self.lengths = [self.lengths[row] for row in rows]
        self._hidden = self._hidden[rows]
        self._patch_cache.keep(rows)
        self._char_cache.keep(rows)

    @property
    def last_hidden(self) -> Tensor:
        """What the patch level says after the last patch of every row, [rows, hidden]."""
        if 0 in self.lengths:
            raise ValueError("a row is empty: prefill every row, at least with the bos patch")
        return self._hidden[range(len(self.lengths)), [length - 1 for length in self.lengths]]

    @torch.inference_mode()
    def begin_patch(self) -> Tensor:
        """Logits [rows, 128] of the first character of every row's next patch."""
        self._slot = 0
        x = self.last_hidden + self._chars.wpe.weight[0]
        return self._char_step(x, self._char_blocks[0].project(x))

    @torch.inference_mode()
    def next_char(self, ids: Tensor) -> Tensor:
        """Given the characters just chosen, long [rows], the logits [rows, 128] of the next."""
        self._slot += 1
        inputs = self._inputs[self._slot].index_select(0, ids)
        hidden = self._hidden.shape[-1]
        return self._char_step(inputs[:, :hidden], inputs[:, hidden:])

    @torch.inference_mode()
    def push(self, patches: Tensor, rows: Sequence[int] | None = None) -> None:
        """Append one finished patch, integer [rows, 16], to every row, or only to `rows`.

        Raises:
            ValueError: when a row is full: rewind it and prefill a shorter context.
        """
        advancing = range(len(self.lengths)) if rows is None else rows
        self._require_room(max(self.lengths[row] + 1 for row in advancing))
        level, positions = self._patches, self.lengths
        places = torch.tensor(positions, device=patches.device)
        x = level.patch_embedding(patches.long())
        x = x + level.wpe(places.clamp(max=self.patch_length - 1))
        for layer, block in enumerate(self._patch_blocks):
            x = block.finish(x, self._patch_cache.step(layer, positions, block.project(x)))
        self._hidden[range(len(positions)), positions] = level.ln_f(x)
        for row in advancing:
            self.lengths[row] += 1

    def _char_step(self, x: Tensor, qkv: Tensor) -> Tensor:
        """One slot of the char level: inputs and the first block's projections -> logits."""
        positions = [self._slot] * len(x)
        for layer, block in enumerate(self._char_blocks):
            if layer:
                qkv = block.project(x)
            x = block.finish(x, self._char_cache.step(layer, positions, qkv))
        return F.linear(F.layer_norm(x, x.shape[-1:], *self._char_norm), self._chars.wte.weight)

    def _require_room(self, length: int) -> None:
        if length > self.patch_length:
            raise ValueError(
                f"{length} patches do not fit into a context of {self.patch_length}: "
                "rewind the row and prefill a shorter context"
            )
