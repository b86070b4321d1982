"""GPT-2 blocks (pre-norm, gelu_new), written over packed tokens.

Parameters are named as in the published checkpoints: ln_1, attn.c_attn, attn.c_proj, ln_2,
mlp.c_fc, mlp.c_proj.
A block does not know which tokens see each other: its caller hands it the attention.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, cast

from torch import Tensor, nn
from torch.nn import functional as F

from notagen.model.dropout import dropout
from notagen.model.gelu import gelu

Attend = Callable[[Tensor], Tensor]
"""Queries, keys and values side by side, [tokens, 3·hidden] -> [tokens, hidden]."""


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
