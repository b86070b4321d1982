"""Matrices in eight bits, for processors: a quarter of the memory to read, and not quite exact."""

import warnings

import torch
from torch import Tensor

from notagen.model.blocks import Affine

_STEPS = 127


class Int8:
    """A linear layer with one scale for each output; inputs are rounded to seven bits as they come.

    torch's dynamic quantisation (FBGEMM). In single precision a processor spends the time of small
    batches on reading weights; `tests/benchmarks` prints the time and the likelihood it costs.

    Args:
        affine: float32 [out, in] and [out], on a processor.
    """

    def __init__(self, affine: Affine) -> None:
        scales = affine.weight.abs().amax(1).clamp(min=1e-12).double() / _STEPS
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():  # no other type is taken by torch's kernel so far
            warnings.filterwarnings("ignore", message=".*quantize", category=UserWarning)
            rounded = torch.quantize_per_channel(affine.weight, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(rounded, affine.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """[tokens, in] -> [tokens, out]."""
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)
        return y
