"""Linear layers on a few tokens in machine code, in float32 or int8.

Reading the weights takes most of the time, so each weight is read once for up to eight tokens.

Shapes: n = tokens. A group is up to eight of them; a register is a vector register, of 8 floats
or 16 int16 (`lanes`).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from numba.extending import overload

from notagen.model.decoding.simd import add_products, add_totals, lanes, load, prefetch, zero

Array = npt.NDArray[Any]
Matrix = tuple[Array, ...]
"""float32 weight [out, in] and bias [out]; or int8 weight, float32 scales [out] and bias [out]."""

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
"""LLVM may reorder sums, so that they use vector units, but must respect NaN and infinity."""

_ROWS = 64  # rows of a matrix at a time: they stay in the L2 cache while all groups use them
_REGISTERS = 96  # registers of each token at a time: those of a group stay in the L1 cache
_STEPS = np.float32(2047)  # largest rounded input: 8,000 products with 127 still fit an int32


def linear(x: Array, matrix: Matrix) -> Array:
    """Apply a linear layer, in compiled code only: [n, in] -> [n, out]; `in` % 64 == 0."""
    raise NotImplementedError


@overload(linear, jit_options=OPTIONS)  # type: ignore[untyped-decorator]
def _linear(x: Array, matrix: Matrix) -> Callable[..., Array]:
    return _linear_float32 if len(matrix) == 2 else _linear_int8


def _linear_float32(x: Array, matrix: Matrix) -> Array:
    weight, bias = matrix
    y = np.empty((len(x), len(weight)), np.float32)
    if len(x) == 1:
        for row in range(len(weight)):
            total = bias[row]
            for column in range(weight.shape[1]):
                total += weight[row, column] * x[0, column]
            y[0, row] = total
        return y
    sums = _sums(x, weight, np.float32(0))
    for token in range(len(x)):
        for row in range(len(weight)):
            y[token, row] = sums[token // 8, row, token % 8] + bias[row]
    return y


def _linear_int8(x: Array, matrix: Matrix) -> Array:
    # Inputs are rounded to 12 bits, each token with a scale of its own.
    weight, scales, bias = matrix
    y = np.empty((len(x), len(weight)), np.float32)
    steps = np.empty(len(x), np.float32)
    rounded = np.empty(x.shape, np.int16)
    for token in range(len(x)):
        steps[token] = max(np.abs(x[token]).max(), np.float32(1e-12)) / _STEPS
        for column in range(x.shape[1]):
            rounded[token, column] = np.int16(np.rint(x[token, column] / steps[token]))
    sums = _sums(rounded, weight, np.int32(0))
    for token in range(len(x)):
        for row in range(len(weight)):
            total = sums[token // 8, row, token % 8]
            y[token, row] = np.float32(total) * (scales[row] * steps[token]) + bias[row]
    return y


def _compiled(function: Function) -> Function:
    """Compile without a cache of its own: the code becomes part of the kernel that calls it."""
    return cast(Function, numba.njit(**OPTIONS)(function))


@_compiled
def _sums(x: Array, weight: Array, zero: Any) -> Array:
    """Dot products of tokens [n, in] and rows [out, in]: [groups, out, 8], of the type of `zero`.

    Both are float32, or tokens are int16 and weights int8.
    """
    if len(x) == 1:
        sums = np.full((1, len(weight), 8), zero)
        _add_one(x, weight, sums[0])
        for row in range(len(weight)):
            sums[0, row, 0] += sums[0, row, 1] + sums[0, row, 2] + sums[0, row, 3]
        return sums
    together = 4 if len(x) <= 4 else 8
    packed = _packed(x, together)
    groups, registers = packed.shape[:2]
    sums = np.full((groups, len(weight), 8), zero)
    for start in range(0, len(weight), _ROWS):
        end = min(start + _ROWS, len(weight))
        if together == 4:
            _add_four(packed[0], weight, sums[0], start, end)
            continue
        for first in range(0, registers, _REGISTERS):
            last = min(first + _REGISTERS, registers)
            for group in range(groups):
                _add_eight(packed[group], weight, sums[group], start, end, first, last)
    return sums


@_compiled
def _packed(x: Array, together: int) -> Array:
    """Reorder tokens as they are read: [n, in] -> [groups, in / lanes, together, lanes]."""
    width = lanes(x)
    groups = (len(x) + together - 1) // together
    packed = np.zeros((groups, x.shape[1] // width, together, width), x.dtype)
    for token in range(len(x)):
        for register in range(packed.shape[1]):
            for lane in range(width):
                value = x[token, register * width + lane]
                packed[token // together, register, token % together, lane] = value
    return packed


@_compiled
def _add_one(x: Array, weight: Array, sums: Array) -> None:
    """Add the dot products of one token [1, in] to sums [out, 8], in four partial sums."""
    width = lanes(x)
    columns = weight.shape[1]
    none = zero(x)
    for row in range(len(weight)):
        a = b = c = d = none
        for column in range(0, columns, 4 * width):
            at = row * columns + column
            # Four sums, since each addition waits for the one before in the same register.
            a = add_products(a, load(weight, at), load(x, column))
            b = add_products(b, load(weight, at + width), load(x, column + width))
            c = add_products(c, load(weight, at + 2 * width), load(x, column + 2 * width))
            d = add_products(d, load(weight, at + 3 * width), load(x, column + 3 * width))
        add_totals(sums, 8 * row, (a, b, c, d, none, none, none, none))


@_compiled
def _add_four(x: Array, weight: Array, sums: Array, start: int, end: int) -> None:
    """Add the dot products of 4 tokens, packed, and rows start to end to sums [out, 8]."""
    width = lanes(x)
    columns = weight.shape[1]
    none = zero(x)
    for row in range(start, end):
        a = b = c = d = none
        for register in range(len(x)):
            at, token = row * columns + register * width, 4 * register * width
            prefetch(weight, at + columns)  # the next row's
            w = load(weight, at)
            a = add_products(a, w, load(x, token))
            b = add_products(b, w, load(x, token + width))
            c = add_products(c, w, load(x, token + 2 * width))
            d = add_products(d, w, load(x, token + 3 * width))
        add_totals(sums, 8 * row, (a, b, c, d, none, none, none, none))


@_compiled
def _add_eight(
    x: Array, weight: Array, sums: Array, start: int, end: int, first: int, last: int
) -> None:
    """Add the dot products of 8 tokens, packed, in registers first to last, as `_add_four`."""
    width = lanes(x)
    columns = weight.shape[1]
    for row in range(start, end):
        a = b = c = d = e = f = g = h = zero(x)
        for register in range(first, last):
            at, token = row * columns + register * width, 8 * register * width
            prefetch(weight, at + columns)
            w = load(weight, at)
            a = add_products(a, w, load(x, token))
            b = add_products(b, w, load(x, token + width))
            c = add_products(c, w, load(x, token + 2 * width))
            d = add_products(d, w, load(x, token + 3 * width))
            e = add_products(e, w, load(x, token + 4 * width))
            f = add_products(f, w, load(x, token + 5 * width))
            g = add_products(g, w, load(x, token + 6 * width))
            h = add_products(h, w, load(x, token + 7 * width))
        add_totals(sums, 8 * row, (a, b, c, d, e, f, g, h))
