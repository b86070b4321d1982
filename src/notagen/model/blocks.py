"""GPT-2 blocks (pre-norm, gelu_new), written over packed tokens.

Parameters are named as in the published checkpoints: ln_1, attn.c_attn, attn.c_proj, ln_2,
mlp.c_fc, mlp.c_proj.
A block does not know which tokens see each other: its caller hands it the attention.
"""

import math
from collections.abc import Callable, Iterator
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from notagen.model.dropout import dropout

Attend = Callable[[Tensor], Tensor]
"""Queries, keys and values side by side, [tokens, 3·hidden] -> [tokens, hidden]."""


class Attention(nn.Module):
    """The projections around attention."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(hidden, 3 * hidden)
        self.c_proj = nn.Linear(hidden, hidden)


class MLP(nn.Module):
    """The feed-forward half of a block."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(hidden, 4 * hidden)
        self.c_proj = nn.Linear(4 * hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        hidden: Tensor = self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return hidden


class Block(nn.Module):
    """One GPT-2 layer over packed tokens [tokens, hidden]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(hidden)
        self.attn = Attention(hidden)
        self.ln_2 = nn.LayerNorm(hidden)
        self.mlp = MLP(hidden)

    def forward(self, x: Tensor, attend: Attend, drop: float = 0.0) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]; `drop` is the dropout of the residual branches."""
        return self.finish(x, attend(self.project(x)), drop)

    def project(self, x: Tensor) -> Tensor:
        """The half before attention: [tokens, hidden] -> [tokens, 3·hidden]."""
        projected: Tensor = self.attn.c_attn(self.ln_1(x))
        return projected

    def finish(self, x: Tensor, attended: Tensor, drop: float = 0.0) -> Tensor:
        """The half after attention, with both residual additions."""
        x = x + dropout(self.attn.c_proj(attended), drop)
        return x + dropout(self.mlp(self.ln_2(x)), drop)


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
