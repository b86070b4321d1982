"""Causal attention inside each sequence of a packed batch, without padding or masks."""

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from notagen.model.config import HEAD_SIZE
from notagen.model.dropout import dropout

_ROWS = 128  # queries at a time, where the scores of all would be kept for the backward pass


class PackedAttention:
    """Causal attention over sequences that lie one after another in one packed tensor.

    Neighbours of equal length are computed together, so sort short sequences by length.

    Args:
        lengths: tokens of each sequence, in packed order; zero is allowed.
        dropout: probability of dropping an attention weight.
        device: where the packed tensor lives.
    """

    def __init__(self, lengths: Sequence[int], dropout: float, device: torch.device) -> None:
        self.dropout = dropout
        self.lengths = lengths
        self.runs = [(sum(1 for _ in run), n) for n, run in groupby(lengths) if n]
        if device.type == "cuda":
            ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
            self.boundaries = ends.to(device)

    def __call__(self, qkv: Tensor) -> Tensor:
        """Attend: [tokens, 3·hidden] -> [tokens, hidden]."""
        if qkv.is_cuda and qkv.dtype != torch.float32 and not self.dropout:
            return self._varlen(qkv)
        parts = torch.split(qkv, [count * length for count, length in self.runs])
        runs = zip(parts, self.runs, strict=True)
        return torch.cat([self._dense(part.view(*run, 3, -1, HEAD_SIZE)) for part, run in runs])

    def _dense(self, qkv: Tensor) -> Tensor:
        """Sequences of one length: [count, length, 3, heads, 64] -> [count·length, hidden]."""
        # `unbind` and not slices: its backward is one stack instead of three zero-filled copies.
        query, key, value = qkv.transpose(1, 3).unbind(2)
        if self.dropout and qkv.device.type == "cpu":
            attended = _dropping(query, key, value, self.dropout)
        else:
            attended = F.scaled_dot_product_attention(
                query, key, value, is_causal=True, dropout_p=self.dropout
            )
        return attended.transpose(1, 2).flatten(2).flatten(0, 1)

    def _varlen(self, qkv: Tensor) -> Tensor:
        """One flash-attention kernel for all lengths; half precision only, and without dropout.

        Written after the documentation of torch 2.13 and not yet run or measured on a GPU.
        """
        from torch.nn.attention.varlen import varlen_attn

        query, key, value = qkv.view(len(qkv), 3, -1, HEAD_SIZE).unbind(1)
        longest = max(self.lengths)
        bounds = (self.boundaries, self.boundaries, longest, longest)
        attended = varlen_attn(query, key, value, *bounds, window_size=(-1, 0))  # causal
        assert isinstance(attended, Tensor)
        return attended.flatten(1)


def _dropping(query: Tensor, key: Tensor, value: Tensor, p: float) -> Tensor:
    """Causal attention that drops weights, on a CPU: [count, heads, length, 64] -> the same.

    torch has no kernel for it: it computes and keeps the scores of all keys. Here a few queries
    at a time see the keys up to the last of them.
    """
    shape = query.shape
    query, key, value = (x.flatten(0, 1) for x in (query, key, value))
    attended = []
    for start in range(0, shape[2], _ROWS):
        rows = query[:, start : start + _ROWS]
        end = start + rows.shape[1]
        future = rows.new_full((rows.shape[1], end), -math.inf).triu(start + 1)
        scores = torch.baddbmm(future, rows, key[:, :end].mT, alpha=HEAD_SIZE**-0.5)
        attended.append(dropout(scores.softmax(-1), p) @ value[:, :end])
    return torch.cat(attended, dim=1).view(shape)
