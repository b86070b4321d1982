"""A matrix times a few tokens in machine code, in floats or in eight bits.

Reading weights is what takes the time: each is read once for up to eight tokens.
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
"""float32 [out, in] and [out]; or int8 [out, in], their scales [out], and float32 [out]."""

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
"""Sums may be taken in any order, so that they use vector units; NaN and infinity count."""

_ROWS = 64  # of a matrix: for one group of tokens after another they stay in the second cache
_REGISTERS = 96  # of each token: for one row after another, those of a group stay in the first
_STEPS = np.float32(2047)  # of inputs; 127 times as much, 8,000 times, is still an int32


def linear(x: Array, matrix: Matrix) -> Array:
    """[tokens, in] -> [tokens, out] where it is compiled; `in` is a multiple of 64."""
    raise NotImplementedError


@overload(linear, jit_options=OPTIONS)  # type: ignore[untyped-decorator]
def _linear(x: Array, matrix: Matrix) -> Callable[..., Array]:
    return _in_floats if len(matrix) == 2 else _in_eight_bits


def _in_floats(x: Array, matrix: Matrix) -> Array:
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


def _in_eight_bits(x: Array, matrix: Matrix) -> Array:
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
    """Not kept by numba by itself, but as a part of what calls it."""
    return cast(Function, numba.njit(**OPTIONS)(function))


@_compiled
def _sums(x: Array, weight: Array, zero: Any) -> Array:
    """[tokens, in] times [out, in] -> [groups, out, 8], of the type of `zero`.

    Both are float32, or x is int16 and weights are int8. Groups are of eight tokens.
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
    """[tokens, in] -> [groups, in / lanes, together, lanes]: in the order in which it is read."""
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
    """Add to [out, 8] what a matrix makes of one token, [1, in]."""
    width = lanes(x)
    columns = weight.shape[1]
    none = zero(x)
    for row in range(len(weight)):
        a = b = c = d = none
        for column in range(0, columns, 4 * width):
            place = row * columns + column
            a = add_products(a, load(weight, place), load(x, column))
            b = add_products(b, load(weight, place + width), load(x, column + width))
            c = add_products(c, load(weight, place + 2 * width), load(x, column + 2 * width))
            d = add_products(d, load(weight, place + 3 * width), load(x, column + 3 * width))
        add_totals(sums, 8 * row, (a, b, c, d, none, none, none, none))


@_compiled
def _add_four(x: Array, weight: Array, sums: Array, start: int, end: int) -> None:
    """Add to [out, 8] what rows of a matrix from start to end make of [in / lanes, 4, lanes]."""
    width = lanes(x)
    columns = weight.shape[1]
    none = zero(x)
    for row in range(start, end):
        a = b = c = d = none
        for register in range(len(x)):
            place, token = row * columns + register * width, 4 * register * width
            prefetch(weight, place + columns)
            w = load(weight, place)
            a = add_products(a, w, load(x, token))
            b = add_products(b, w, load(x, token + width))
            c = add_products(c, w, load(x, token + 2 * width))
            d = add_products(d, w, load(x, token + 3 * width))
        add_totals(sums, 8 * row, (a, b, c, d, none, none, none, none))


@_compiled
def _add_eight(
    x: Array, weight: Array, sums: Array, start: int, end: int, first: int, last: int
) -> None:
    """The same of the registers from first to last of [in / lanes, 8, lanes]."""
    width = lanes(x)
    columns = weight.shape[1]
    for row in range(start, end):
        a = b = c = d = e = f = g = h = zero(x)
        for register in range(first, last):
            place, token = row * columns + register * width, 8 * register * width
            prefetch(weight, place + columns)
            w = load(weight, place)
            a = add_products(a, w, load(x, token))
            b = add_products(b, w, load(x, token + width))
            c = add_products(c, w, load(x, token + 2 * width))
            d = add_products(d, w, load(x, token + 3 * width))
            e = add_products(e, w, load(x, token + 4 * width))
            f = add_products(f, w, load(x, token + 5 * width))
            g = add_products(g, w, load(x, token + 6 * width))
            h = add_products(h, w, load(x, token + 7 * width))
        add_totals(sums, 8 * row, (a, b, c, d, e, f, g, h))
