"""GPT-2 blocks over packed tokens: attention, dropout, GELU.

Shapes, also as suffixes of variables: T = packed tokens (patches or characters) of all sequences,
D = hidden size, H = heads, E = 64 = D / H (`HEAD_SIZE`), N = sequences of equal length L.
"""

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
"""Attention on queries, keys and values side by side, [T, 3·D] -> [T, D]."""

_QUERY_BLOCK = 128  # queries at a time in `_attention_with_dropout`

# gelu(x) = x·sigmoid(ax + bx³), where 2·√(2/π)·(x + 0.044715·x³) = ax + bx³.
_GELU_A = math.sqrt(8 / math.pi)
_GELU_B = 0.044715 * _GELU_A
_GELU_SMALL = 1 << 16  # elements below which one call of torch is faster than our four

_DROPOUT_STEPS = 1 << 16  # values of an int16


class Linear(Protocol):
    """A linear layer, however its weights are held."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """Apply it: [T, in] -> [T, out]."""


class Affine(NamedTuple):
    """Weight and bias of a linear layer, then callable, or of a layer norm."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the linear layer: [T, in] -> [T, out]."""
        return F.linear(x, self.weight, self.bias)


class BlockWeights(NamedTuple):
    """Parameters of one block, and the block's two halves as functions of them.

    Decoding takes the parameters out of the modules once: calling modules costs more than a third
    of the time of a small block that runs on a single token.
    """

    ln_1: Affine
    attn_in: Linear
    attn_out: Linear
    ln_2: Affine
    mlp_in: Linear
    mlp_out: Linear

    def project(self, x_TD: Tensor) -> Tensor:
        """Half before attention, layer norm and QKV projection: [T, D] -> [T, 3·D]."""
        return self.attn_in(F.layer_norm(x_TD, x_TD.shape[-1:], *self.ln_1))

    def finish(self, x_TD: Tensor, attended_TD: Tensor, drop: float = 0.0) -> Tensor:
        """Half after attention, output projection and MLP, both residual: [T, D] -> [T, D]."""
        x_TD = x_TD + dropout(self.attn_out(attended_TD), drop)
        inner = self.mlp_in(F.layer_norm(x_TD, x_TD.shape[-1:], *self.ln_2))
        return x_TD + dropout(self.mlp_out(gelu(inner)), drop)


class Block(nn.Module):
    """One GPT-2 layer, pre-norm: attention and an MLP of width 4·D, each with a residual."""

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
        """Return the block's parameters as they are now; LoRA adds its updates to them here."""
        return BlockWeights(
            ln_1=affine(self.ln_1),
            attn_in=affine(self.attn["c_attn"]),
            attn_out=affine(self.attn["c_proj"]),
            ln_2=affine(self.ln_2),
            mlp_in=affine(self.mlp["c_fc"]),
            mlp_out=affine(self.mlp["c_proj"]),
        )

    def forward(self, x_TD: Tensor, attend: Attend, drop: float = 0.0) -> Tensor:
        """Run the block, with dropout `drop` on both residual branches: [T, D] -> [T, D]."""
        weights = self.weights()
        return weights.finish(x_TD, attend(weights.project(x_TD)), drop)


def affine(module: nn.Module) -> Affine:
    """Weight and bias of a linear layer or a layer norm."""
    return Affine(cast(Tensor, module.weight), cast(Tensor, module.bias))


def detached(part: Linear) -> Affine:
    """Weight and bias without their gradients; they share memory with the parameters."""
    assert isinstance(part, Affine)
    return Affine(part.weight.detach(), part.bias.detach())


class Blocks(nn.ModuleList):
    """The layers of one level, with GPT-2's initialization.

    Matrices are normal(0.02), biases zero, and the two projections that end in a residual
    addition are scaled by 1/sqrt(2·layers) (Radford et al. 2019, section 2.3).
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
    """Causal attention within each of several sequences packed into one tensor.

    Neighbours of equal length are computed in one call, so sort short sequences by length.

    Args:
        lengths: tokens of each sequence, in packed order; zero is allowed.
        dropout: probability of dropping an attention weight.
        device: of the packed tensor.
    """

    def __init__(self, lengths: Sequence[int], dropout: float, device: torch.device) -> None:
        self.dropout = dropout
        self.lengths = lengths
        # [5, 5, 0, 7] -> [(2, 5), (1, 7)]: (N, L) of each run of equal lengths.
        self.runs = [(sum(1 for _ in run), n) for n, run in groupby(lengths) if n]
        if device.type == "cuda":
            ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
            self.boundaries = ends.to(device)

    def __call__(self, qkv: Tensor) -> Tensor:
        """Attend: [T, 3·D] -> [T, D]."""
        qkv_T3HE = split_heads(qkv)
        if qkv.is_cuda and qkv.dtype != torch.float32 and not self.dropout:
            return self._varlen(qkv_T3HE)
        parts = torch.split(qkv_T3HE, [count * length for count, length in self.runs])
        runs = zip(parts, self.runs, strict=True)
        return torch.cat([self._dense(part.view(*run, *part.shape[1:])) for part, run in runs])

    def _dense(self, qkv_NL3HE: Tensor) -> Tensor:
        """Attention of sequences of one length: [N, L, 3, H, E] -> [N·L, D]."""
        # `unbind` and not slices: its backward is one stack instead of three zero-filled copies.
        query, key, value = qkv_NL3HE.transpose(1, 3).unbind(2)
        if self.dropout and query.device.type == "cpu":
            attended_NHLE = _attention_with_dropout(query, key, value, self.dropout)
        else:
            attended_NHLE = F.scaled_dot_product_attention(
                query, key, value, is_causal=True, dropout_p=self.dropout
            )
        return attended_NHLE.transpose(1, 2).flatten(2).flatten(0, 1)

    def _varlen(self, qkv_T3HE: Tensor) -> Tensor:
        """One flash-attention kernel for all lengths, untested on a GPU: [T, 3, H, E] -> [T, D].

        Half precision only, and without dropout.
        """
        from torch.nn.attention.varlen import varlen_attn  # as of torch 2.13

        query, key, value = qkv_T3HE.unbind(1)
        longest = max(self.lengths)
        bounds = (self.boundaries, self.boundaries, longest, longest)
        attended_THE = varlen_attn(query, key, value, *bounds, window_size=(-1, 0))  # causal
        assert isinstance(attended_THE, Tensor)
        return attended_THE.flatten(1)


def split_heads(qkv: Tensor) -> Tensor:
    """View a projection as queries, keys and values of each head: [T, 3·D] -> [T, 3, H, E]."""
    return qkv.view(len(qkv), 3, -1, HEAD_SIZE)


def _attention_with_dropout(query: Tensor, key: Tensor, value: Tensor, p: float) -> Tensor:
    """Causal attention that drops weights, on a CPU; each tensor is [N, H, L, E].

    torch 2.13 has no fused kernel for it: it keeps the scores [L, L] of every head for the
    backward pass. Here a block of queries sees only the keys up to its last query.
    """
    shape = query.shape
    query, key, value = (x.flatten(0, 1) for x in (query, key, value))
    attended = []
    for start in range(0, shape[2], _QUERY_BLOCK):
        queries = query[:, start : start + _QUERY_BLOCK]
        end = start + queries.shape[1]
        future = queries.new_full((queries.shape[1], end), -math.inf).triu(start + 1)
        scores = torch.baddbmm(future, queries, key[:, :end].mT, alpha=HEAD_SIZE**-0.5)
        attended.append(dropout(scores.softmax(-1), p) @ value[:, :end])
    return torch.cat(attended, dim=1).view(shape)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form (arXiv 1606.08415, section 2), `F.gelu(x, approximate="tanh")`.

    Since 1 + tanh(u) = 2·sigmoid(2u), it equals x·sigmoid(ax + bx³). On a CPU torch's exponential
    is fast and its tanh slow: this takes six tenths of the time, forward and backward.
    """
    if x.device.type != "cpu" or x.numel() < _GELU_SMALL:
        return F.gelu(x, approximate="tanh")
    y: Tensor = _SigmoidGELU.apply(x)  # type: ignore[no-untyped-call]
    return y


class _SigmoidGELU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        sigmoid = torch.addcmul(x.new_tensor(_GELU_A), x, x, value=_GELU_B).mul_(x).sigmoid_()
        ctx.save_for_backward(x, sigmoid)
        return x * sigmoid

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        x, sigmoid = ctx.saved_tensors
        # With s the sigmoid, the derivative is s + x(a + 3bx²)·s(1 - s).
        inner = torch.addcmul(x.new_tensor(_GELU_A), x, x, value=3 * _GELU_B).mul_(x)
        slope: Tensor = torch.ops.aten.sigmoid_backward(inner, sigmoid)
        return slope.add_(sigmoid).mul_(outer[0])


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability p and scale the others by 1/(1 - p); p = 0 is free.

    On a CPU four elements share a 64-bit random number, so p is rounded to 1/65536; this takes
    less than half the time of torch's own.
    """
    if not p:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p)
    # `random_(-(2**63), None)` fills all 64 bits; each of its four int16 is uniform.
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    threshold = round(p * _DROPOUT_STEPS) - _DROPOUT_STEPS // 2
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= threshold
    return x * kept.to(x.dtype).mul_(1 / (1 - p))
