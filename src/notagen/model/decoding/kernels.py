"""Blocks of a few tokens in machine code, for processors.

Calls of torch cost more than the arithmetic of a small block on one token, and the library behind
its matrix products reads weights slowly for so few tokens: at a width of 256 a block takes half
of the time here. numba compiles these functions once for each machine (`pip install
notagen[fast]`); where it is not installed, torch does the same.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from notagen.model.config import HEAD_SIZE
from notagen.model.decoding.matmul import OPTIONS, Matrix, linear
from notagen.patches import PATCH_SIZE, VOCABULARY

Array = npt.NDArray[np.float32]
Norm = tuple[Array, ...]
"""Weight and bias of a layer norm, [hidden] each."""
Indices = npt.NDArray[np.int64]

Function = TypeVar("Function", bound=Callable[..., Any])

IMPORTED = "4546780125b0c59b"
"""Of `matmul` and `simd`: numba compiles anew what it kept when this file has changed, and
does not look at others."""

MAX_ROWS = 32
"""From here on a matrix product of torch is as fast."""

_SCALE = np.float32(1 / math.sqrt(HEAD_SIZE))
_HALF, _ONE, _EPSILON = np.float32(0.5), np.float32(1), np.float32(1e-5)
_LOG2_E, _LN_2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
_GELU = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)


def compiled(function: Function) -> Function:
    """Once for each machine."""
    return cast(Function, numba.njit(cache=True, **OPTIONS)(function))


@compiled
def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    """[tokens, hidden], twice."""
    y = np.empty_like(x)
    width = np.float32(x.shape[1])
    for token in range(len(x)):
        own, normed = x[token], y[token]
        mean = own.sum() / width
        variance = np.float32(0)
        for i in range(len(own)):
            variance += (own[i] - mean) * (own[i] - mean)
        scale = _ONE / np.sqrt(variance / width + _EPSILON)
        for i in range(len(own)):
            normed[i] = (own[i] - mean) * scale * weight[i] + bias[i]
    return y


@compiled
def gelu(x: Array) -> None:
    """gelu_new in place: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    tanh is a quotient of polynomials (that of the Eigen library), exact to a few units in the
    last place; the C library's is no vector function and takes longer than the matrix product.
    """
    flat = x.reshape(-1)
    for i in range(len(flat)):
        v = flat[i]
        u = _GELU[0] * (v + _GELU[1] * v * v * v)
        u = min(max(u, np.float32(-7.9053111)), np.float32(7.9053111))
        s = u * u
        p = np.float32(-2.76076847742355e-16) * s + np.float32(2.00018790482477e-13)
        p = p * s + np.float32(-8.60467152213735e-11)
        p = p * s + np.float32(5.12229709037114e-08)
        p = p * s + np.float32(1.48572235717979e-05)
        p = p * s + np.float32(6.37261928875436e-04)
        p = p * s + np.float32(4.89352455891786e-03)
        q = np.float32(1.19825839466702e-06) * s + np.float32(1.18534705686654e-04)
        q = q * s + np.float32(2.26843463243900e-03)
        q = q * s + np.float32(4.89352518554385e-03)
        flat[i] = _HALF * v * (_ONE + u * p / q)


@compiled
def exponential(x: Array) -> None:
    """e to the power of numbers up to 0, in place."""
    for i in range(len(x)):
        v = max(x[i], np.float32(-87))
        halvings = np.rint(v * _LOG2_E)
        v -= halvings * _LN_2
        p = np.float32(1 / 720) * v + np.float32(1 / 120)
        p = p * v + np.float32(1 / 24)
        p = p * v + np.float32(1 / 6)
        p = p * v + _HALF
        p = p * v + _ONE
        p = p * v + _ONE
        exponent = np.int32((np.int32(halvings) + np.int32(127)) << np.int32(23))
        x[i] = p * exponent.view(np.float32)


@compiled
def attend(qkv: Array, cached: Array, rows: Indices, positions: Indices) -> Array:
    """Attend with one token in each of some rows: [n, 3·hidden] -> [n, hidden].

    It is written into the cache, [2, all rows, heads, length, 64].
    """
    keys, values = cached[0], cached[1]  # unpacking would lose that they are contiguous
    heads = keys.shape[1]
    hidden = heads * HEAD_SIZE
    attended = np.zeros((len(qkv), hidden), np.float32)
    for token in range(len(qkv)):
        row, end = rows[token], positions[token] + 1
        weights = np.empty(end, np.float32)
        for head in range(heads):
            start = head * HEAD_SIZE
            key, value = keys[row, head], values[row, head]
            query = qkv[token, start : start + HEAD_SIZE]
            key[end - 1] = qkv[token, hidden + start : hidden + start + HEAD_SIZE]
            value[end - 1] = qkv[token, 2 * hidden + start : 2 * hidden + start + HEAD_SIZE]
            for past in range(end):
                score = np.float32(0)
                for i in range(HEAD_SIZE):
                    score += query[i] * key[past, i]
                weights[past] = score * _SCALE
            weights -= weights.max()
            exponential(weights)
            total = weights.sum()
            out = attended[token, start : start + HEAD_SIZE]
            for past in range(end):
                share = weights[past] / total
                for i in range(HEAD_SIZE):
                    out[i] += share * value[past, i]
    return attended


@compiled
def embed(table: Array, places: Array, patches: Indices, positions: Indices) -> Array:
    """Patches [n, 16] as sums of a row of [16·128, hidden] a character, and one of `places`."""
    x = np.empty((len(patches), table.shape[1]), np.float32)
    for token in range(len(patches)):
        x[token] = places[positions[token]]
        for slot in range(PATCH_SIZE):
            x[token] += table[slot * VOCABULARY + patches[token, slot]]
    return x


@compiled
def look_up(tables: tuple[Array, ...], slot: int, ids: Indices) -> tuple[Array, Array]:
    """Rows of two tables, [slots, 128, width]: [n, width] of each."""
    first = np.empty((len(ids), tables[0].shape[2]), np.float32)
    second = np.empty((len(ids), tables[1].shape[2]), np.float32)
    for token in range(len(ids)):
        first[token] = tables[0][slot, ids[token]]
        second[token] = tables[1][slot, ids[token]]
    return first, second


@compiled
def multiply(x: Array, matrix: Matrix) -> Array:
    """A matrix: [tokens, in] -> [tokens, out]."""
    return linear(x, matrix)


@compiled
def project(x: Array, norm: Norm, matrix: Matrix) -> Array:
    """A layer norm and a matrix: [tokens, in] -> [tokens, out]."""
    return linear(layer_norm(x, norm[0], norm[1]), matrix)


@compiled
def finish(
    x: Array,
    qkv: Array,
    cached: Array,
    rows: Indices,
    positions: Indices,
    weights: tuple[Matrix | Norm, ...],
) -> Array:
    """A block from its projection on: attention, and the half after it; [n, hidden], twice.

    Weights are those of attn_out, ln_2, mlp_in and mlp_out.
    """
    attn_out, ln_2, mlp_in, mlp_out = weights
    x = x + linear(attend(qkv, cached, rows, positions), attn_out)
    inner = project(x, ln_2, mlp_in)
    gelu(inner)
    return x + linear(inner, mlp_out)
