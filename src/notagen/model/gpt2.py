"""GPT-2 blocks over packed tokens: attention, dropout, GELU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from notagen.model.config import HEAD_SIZE

Attend = Callable[[Tensor], Tensor]
"""Queries, keys and values side by side, [tokens, 3·hidden] -> [tokens, hidden]."""

_QUERY_ROWS = 128  # queries at a time, where the scores of all would be kept for the backward pass

_GELU_LINEAR = math.sqrt(8 / math.pi)
_GELU_CUBIC = 0.044715 * _GELU_LINEAR
_GELU_SMALL = 1 << 16  # elements for which one call is faster than four

DROPOUT_LEVELS = 1 << 16


class Linear(Protocol):
    """A linear layer, however its weights are held."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """[tokens, in] -> [tokens, out]."""


class Affine(NamedTuple):
    """Weight and bias of a linear layer, which it can be called as, or of a layer norm."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[tokens, in] -> [tokens, out]."""
        return F.linear(x, self.weight, self.bias)


class BlockWeights(NamedTuple):
    """The tensors of one block and what is computed with them.

    Decoding takes them out of the modules once: calling modules costs more than a third of the
    time of a small block that runs on a single token.
    """

    ln_1: Affine
    attn_in: Linear
    attn_out: Linear
    ln_2: Affine
    mlp_in: Linear
    mlp_out: Linear

    def project(self, x: Tensor) -> Tensor:
        """The half before attention: [tokens, hidden] -> [tokens, 3·hidden]."""
        return self.attn_in(F.layer_norm(x, x.shape[-1:], *self.ln_1))

    def finish(self, x: Tensor, attended: Tensor, drop: float = 0.0) -> Tensor:
        """The half after attention, with both residual additions: [tokens, hidden], twice."""
        x = x + dropout(self.attn_out(attended), drop)
        inner = self.mlp_in(F.layer_norm(x, x.shape[-1:], *self.ln_2))
        outer = self.mlp_out(gelu(inner))
        return x + dropout(outer, drop)


class Block(nn.Module):
    """One GPT-2 layer over packed tokens [tokens, hidden]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(hidden)
        self.attn = nn.ModuleDict(
            {"c_attn": nn.Linear(hidden, 3 * hidden), "c_proj": nn.Linear(hidden, hidden)}
        )
        self.ln_2 = nn.LayerNorm(hidden)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(hidden, 4 * hidden), "c_proj": nn.Linear(4 * hidden, hidden)}
        )

    def weights(self) -> BlockWeights:
        """The block's parameters as they are now."""
        return BlockWeights(
            ln_1=affine(self.ln_1),
            attn_in=affine(self.attn["c_attn"]),
            attn_out=affine(self.attn["c_proj"]),
            ln_2=affine(self.ln_2),
            mlp_in=affine(self.mlp["c_fc"]),
            mlp_out=affine(self.mlp["c_proj"]),
        )

    def forward(self, x: Tensor, attend: Attend, drop: float = 0.0) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]; `drop` is the dropout of the residual branches."""
        weights = self.weights()
        return weights.finish(x, attend(weights.project(x)), drop)


def affine(module: nn.Module) -> Affine:
    """Weight and bias of a linear layer or a layer norm."""
    return Affine(cast(Tensor, module.weight), cast(Tensor, module.bias))


class Blocks(nn.ModuleList):
    """The layers of one level, as GPT-2 starts them.

    Matrices are normal(0.02), biases zero, and the two projections that end in a residual
    addition are scaled by 1/sqrt(2·layers).
    """

    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__(Block(hidden) for _ in range(layers))
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def __iter__(self) -> Iterator[Block]:
        return cast(Iterator[Block], super().__iter__())


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
    for start in range(0, shape[2], _QUERY_ROWS):
        rows = query[:, start : start + _QUERY_ROWS]
        end = start + rows.shape[1]
        future = rows.new_full((rows.shape[1], end), -math.inf).triu(start + 1)
        scores = torch.baddbmm(future, rows, key[:, :end].mT, alpha=HEAD_SIZE**-0.5)
        attended.append(dropout(scores.softmax(-1), p) @ value[:, :end])
    return torch.cat(attended, dim=1).view(shape)


def gelu(x: Tensor) -> Tensor:
    """The tanh form (arXiv 1606.08415, section 2), `F.gelu(x, approximate="tanh")`.

    Since 1 + tanh(u) = 2·sigmoid(2u), it is x·sigmoid(ax + bx³). On a CPU torch's exponential is
    fast and its tanh is slow: this takes six tenths of the time, forward and backward.
    """
    if x.device.type != "cpu" or x.numel() < _GELU_SMALL:
        return F.gelu(x, approximate="tanh")
    y: Tensor = _SigmoidGELU.apply(x)  # type: ignore[no-untyped-call]
    return y


class _SigmoidGELU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        sigmoid = (
            torch.addcmul(x.new_tensor(_GELU_LINEAR), x, x, value=_GELU_CUBIC).mul_(x).sigmoid_()
        )
        ctx.save_for_backward(x, sigmoid)
        return x * sigmoid

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        x, sigmoid = ctx.saved_tensors
        # With s the sigmoid, the derivative is s + x(a + 3bx²)·s(1 - s).
        inner = torch.addcmul(x.new_tensor(_GELU_LINEAR), x, x, value=3 * _GELU_CUBIC).mul_(x)
        slope: Tensor = torch.ops.aten.sigmoid_backward(inner, sigmoid)
        return slope.add_(sigmoid).mul_(outer[0])


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability p and scale the others by 1/(1 - p); p = 0 is free.

    A CPU draws four elements from each 64-bit random number, so p is rounded to 1/65536; this
    takes less than half the time of torch's own.
    """
    if not p:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = (
        draws.view(torch.int16)[: x.numel()].view(x.shape)
        >= round(p * DROPOUT_LEVELS) - DROPOUT_LEVELS // 2
    )
    return x * kept.to(x.dtype).mul_(1 / (1 - p))


def detached(part: Linear) -> Affine:
    """The same tensors without their gradients."""
    assert isinstance(part, Affine)
    return Affine(part.weight.detach(), part.bias.detach())
