"""Sizes of the model and of its LoRA adapters."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval, MinLen

from notagen.ranges import Depth, Length, Positive, Rate, Width

HEAD_SIZE = 64  # as in GPT-2 and BERT; the published checkpoints do not store it

Level = Literal["patch", "char"]


@dataclass
class ModelConfig:
    """Sizes of the hierarchical decoder; patch size and vocabulary are constants of `patches`.

    Args:
        patch_layers: GPT-2 blocks of the patch level.
        char_layers: GPT-2 blocks of the char level.
        hidden_size: width of both levels, a multiple of 64; there is one attention head per 64.
        patch_length: context in patches, the longest piece the model can read.
        dropout: probability in training, on embeddings, attention weights and residual branches.
        checkpointing: keep only the inputs of patch-level blocks for the backward pass, and
            recompute the rest there.

    Raises:
        ValueError: `hidden_size` is not a multiple of 64.
    """

    patch_layers: Depth
    char_layers: Depth
    hidden_size: Width
    patch_length: Length
    dropout: Rate = 0.1
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.hidden_size <= 0 or self.hidden_size % HEAD_SIZE:
            raise ValueError(
                f"hidden_size must be a multiple of {HEAD_SIZE}, one head each, "
                f"not {self.hidden_size}"
            )


@dataclass(frozen=True)
class LoRAConfig:
    """Low-rank adapters on the four linear layers of every block (Hu et al., arXiv 2106.09685).

    Args:
        rank: rank of each matrix's update.
        alpha: the update is scaled by ``alpha / rank``.
        levels: the adapted levels, ``patch``, ``char`` or both.
    """

    rank: Annotated[int, Interval(ge=1, le=2**16)]
    alpha: Positive
    levels: Annotated[tuple[Level, ...], MinLen(1)] = ("patch", "char")
