"""Matrices in eight bits, for processors: a quarter of the memory to read, and not quite exact."""

import torch
from torch import Tensor

from notagen.model import native
from notagen.model.blocks import Affine

_STEPS = 127


class Int8:
    """A linear layer with one scale for each output; inputs are rounded to 12 bits as they come.

    In single precision a processor spends the time of small batches on reading weights;
    `tests/benchmarks` prints the time and the likelihood it costs.

    Args:
        affine: float32 [out, in] and [out], on a processor; `in` is a multiple of 64.

    Attributes:
        matrix: int8 [out, in], their scales [out], and the bias [out].
    """

    def __init__(self, affine: Affine) -> None:
        scales = affine.weight.abs().amax(1).clamp(min=1e-12) / _STEPS
        rounded = (affine.weight / scales[:, None]).round().to(torch.int8)
        self.matrix = rounded.numpy(), scales.numpy(), affine.bias.numpy()

    def __call__(self, x: Tensor) -> Tensor:
        """[.., in] -> [.., out]."""
        tokens = x.reshape(-1, x.shape[-1]).numpy()
        return torch.from_numpy(native.multiply(tokens, self.matrix)).view(*x.shape[:-1], -1)
