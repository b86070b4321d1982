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

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

MOST_ROWS = 32
"""From here on a matrix product of torch is as fast."""

_ROWS = 64  # of a matrix; with 64·768 floats they stay in the second cache
_SCALE = np.float32(1 / math.sqrt(HEAD_SIZE))
_HALF, _ONE, _EPSILON = np.float32(0.5), np.float32(1), np.float32(1e-5)
_GELU = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)


def compiled(function: Function) -> Function:
    """Sums may be taken in any order, so that they use vector units; NaN and infinity count."""
    order = {"reassoc", "contract", "nsz", "arcp"}
    return cast(Function, numba.njit(cache=True, error_model="numpy", fastmath=order)(function))


@compiled
def linear(x: Array, weight: Array, bias: Array) -> Array:
    """[tokens, in] times [out, in], plus [out] -> [tokens, out]."""
    y = np.empty((len(x), len(weight)), np.float32)
    if len(x) == 1:
        for row in range(len(weight)):
            total = bias[row]
            for column in range(weight.shape[1]):
                total += weight[row, column] * x[0, column]
            y[0, row] = total
        return y
    last = len(x) - 1
    for start in range(0, len(weight), _ROWS):
        # Four tokens at a time, so that each weight is read once for all; the last one is
        # computed again in the place of those that are missing.
        for token in range(0, len(x), 4):
            a, b, c, d = token, min(token + 1, last), min(token + 2, last), min(token + 3, last)
            xa, xb, xc, xd = x[a], x[b], x[c], x[d]
            for row in range(start, min(start + _ROWS, len(weight))):
                ya = yb = yc = yd = bias[row]
                for column in range(weight.shape[1]):
                    w = weight[row, column]
                    ya += w * xa[column]
                    yb += w * xb[column]
                    yc += w * xc[column]
                    yd += w * xd[column]
                y[a, row], y[b, row], y[c, row], y[d, row] = ya, yb, yc, yd
    return y


@compiled
def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    """[tokens, hidden], twice."""
    y = np.empty_like(x)
    for token in range(len(x)):
        centred = x[token] - x[token].sum() / np.float32(x.shape[1])
        variance = (centred * centred).sum() / np.float32(x.shape[1])
        y[token] = centred * (_ONE / np.sqrt(variance + _EPSILON)) * weight + bias
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
            best = weights.max()
            total = np.float32(0)
            for past in range(end):
                weights[past] = np.exp(weights[past] - best)
                total += weights[past]
            out = attended[token, start : start + HEAD_SIZE]
            for past in range(end):
                share = weights[past] / total
                for i in range(HEAD_SIZE):
                    out[i] += share * value[past, i]
    return attended


@compiled
def project(x: Array, norm: tuple[Array, Array], affine: tuple[Array, Array]) -> Array:
    """A layer norm and a matrix: [tokens, in] -> [tokens, out]."""
    return linear(layer_norm(x, norm[0], norm[1]), affine[0], affine[1])


@compiled
def finish(
    x: Array,
    qkv: Array,
    cached: Array,
    rows: Indices,
    positions: Indices,
    weights: tuple[tuple[Array, Array], ...],
) -> Array:
    """A block from its projection on: attention, and the half after it; [n, hidden], twice.

    Weights are those of attn_out, ln_2, mlp_in and mlp_out.
    """
    attn_out, ln_2, mlp_in, mlp_out = weights
    x = x + linear(attend(qkv, cached, rows, positions), attn_out[0], attn_out[1])
    inner = project(x, ln_2, mlp_in)
    gelu(inner)
    return x + linear(inner, mlp_out[0], mlp_out[1])
