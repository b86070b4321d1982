"""GPT-2 blocks on a few tokens in machine code, for CPUs.

Calls of torch cost more than the arithmetic of a small block on one token, and its matrix products
read weights slowly for few tokens: at a hidden size of 256 a block takes half of the time here.
numba (`pip install notagen[fast]`) compiles these functions once per processor; where it is not
installed, torch computes the blocks. `tests/model/decoding` holds both to the same results.

Shapes, also as suffixes of variables: n = tokens of one call, B = rows of the cache,
P = positions of the cache, H = heads, E = 64 per head, D = H·E, the hidden size,
S = 16 characters of a patch, V = 128 character ids.
"""

import math

import numpy as np
import numpy.typing as npt

from notagen.model.config import HEAD_SIZE
from notagen.model.decoding.machine_code import compiled
from notagen.model.decoding.matmul import OPTIONS, Matrix, linear
from notagen.patches import PATCH_SIZE, VOCABULARY

Array = npt.NDArray[np.float32]
Norm = tuple[Array, ...]
"""Weight and bias of a layer norm, [D] each."""
Indices = npt.NDArray[np.int64]

MAX_ROWS = 32
"""Rows above which torch's matrix products are as fast."""

_SCALE = np.float32(1 / math.sqrt(HEAD_SIZE))
_HALF, _ONE, _EPSILON = np.float32(0.5), np.float32(1), np.float32(1e-5)
_LOG2_E, _LN_2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
_GELU = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)


machine_code = compiled(**OPTIONS)


@machine_code
def layer_norm(x_nD: Array, weight: Array, bias: Array) -> Array:
    """Layer norm over the last axis: [n, D] -> [n, D]."""
    y_nD = np.empty_like(x_nD)
    width = np.float32(x_nD.shape[1])
    for token in range(len(x_nD)):
        x, y = x_nD[token], y_nD[token]
        mean = x.sum() / width
        variance = np.float32(0)
        for i in range(len(x)):
            variance += (x[i] - mean) * (x[i] - mean)
        scale = _ONE / np.sqrt(variance / width + _EPSILON)
        for i in range(len(x)):
            y[i] = (x[i] - mean) * scale * weight[i] + bias[i]
    return y_nD


@machine_code
def gelu(x: Array) -> None:
    """GELU in place, in its tanh form: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    tanh is the quotient of polynomials of the Eigen library, exact to a few units in the last
    place; the C library's tanh is not vectorized and takes longer than the matrix product.
    """
    flat = x.reshape(-1)
    for i in range(len(flat)):
        v = flat[i]
        u = _GELU[0] * (v + _GELU[1] * v * v * v)
        u = min(max(u, np.float32(-7.9053111)), np.float32(7.9053111))  # tanh is ±1 beyond
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


@machine_code
def exponential(x: Array) -> None:
    """Exponential of numbers up to 0, in place: e^v = 2^k · e^r with |r| <= ln(2) / 2.

    e^r is its Taylor polynomial of degree 6; 2^k is made by its bits, with k + 127 as exponent.
    """
    for i in range(len(x)):
        v = max(x[i], np.float32(-87))  # below, 2^k would be no normal number
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


@machine_code
def attend(qkv: Array, cached_2BHPE: Array, rows: Indices, positions: Indices) -> Array:
    """Cache one token in each of n rows and attend: [n, 3·D] -> [n, D]."""
    # numba would not know of unpacked ones that they are contiguous, and use no vector units.
    keys, values = cached_2BHPE[0], cached_2BHPE[1]
    heads = keys.shape[1]
    hidden = heads * HEAD_SIZE
    attended_nD = np.zeros((len(qkv), hidden), np.float32)
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
            out = attended_nD[token, start : start + HEAD_SIZE]
            for past in range(end):
                probability = weights[past] / total
                for i in range(HEAD_SIZE):
                    out[i] += probability * value[past, i]
    return attended_nD


@machine_code
def embed(characters: Array, positional: Array, patches_nS: Indices, positions: Indices) -> Array:
    """Embed patches: [n, S] -> [n, D], `patch_embedding` plus the embedding of the position.

    Tables are of (slot, character), [S·V, D], and of positions, [P, D].
    """
    x_nD = np.empty((len(patches_nS), characters.shape[1]), np.float32)
    for token in range(len(patches_nS)):
        x_nD[token] = positional[positions[token]]
        for slot in range(PATCH_SIZE):
            x_nD[token] += characters[slot * VOCABULARY + patches_nS[token, slot]]
    return x_nD


@machine_code
def look_up(tables: tuple[Array, ...], slot: int, ids: Indices) -> tuple[Array, Array]:
    """Look up ids [n] of one slot in two tables, [S, V, width] each: [n, width] of each."""
    first = np.empty((len(ids), tables[0].shape[2]), np.float32)
    second = np.empty((len(ids), tables[1].shape[2]), np.float32)
    for token in range(len(ids)):
        first[token] = tables[0][slot, ids[token]]
        second[token] = tables[1][slot, ids[token]]
    return first, second


@machine_code
def multiply(x: Array, matrix: Matrix) -> Array:
    """Apply a linear layer: [n, in] -> [n, out]."""
    return linear(x, matrix)


@machine_code
def project(x: Array, norm: Norm, matrix: Matrix) -> Array:
    """Apply a layer norm and a linear layer: [n, in] -> [n, out]."""
    return linear(layer_norm(x, norm[0], norm[1]), matrix)


@machine_code
def finish(
    x_nD: Array,
    qkv: Array,
    cached_2BHPE: Array,
    rows: Indices,
    positions: Indices,
    weights: tuple[Matrix | Norm, ...],
) -> Array:
    """Run a block after its QKV projection, attention and MLP: [n, D] -> [n, D].

    Weights are those of attn_out, ln_2, mlp_in and mlp_out.
    """
    attn_out, ln_2, mlp_in, mlp_out = weights
    x_nD = x_nD + linear(attend(qkv, cached_2BHPE, rows, positions), attn_out)
    inner = project(x_nD, ln_2, mlp_in)
    gelu(inner)
    return x_nD + linear(inner, mlp_out)
