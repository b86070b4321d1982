"""Text to patches and back: the tokenizer of NotaGen (paper, section 3.1).

A patch is 16 ASCII codes. Each header line, and each bar of a body line, is cut into patches of
its own, so that a patch never holds characters of two bars. The last patch of a line or bar that
is not a multiple of 16 long ends in ``EOS`` and is filled with ``PAD``. A bar reaches from one
barline (included: it opens the bar) to the next; the barline and line end that close a body line
belong to its last bar.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

PATCH_SIZE: Final = 16
VOCABULARY: Final = 128
PAD: Final = 0
BOS: Final = 1
EOS: Final = 2

Patches = npt.NDArray[np.uint8]
"""[n, 16] character ids."""

_BOS_PATCH = np.array([BOS] * (PATCH_SIZE - 1) + [EOS], dtype=np.uint8)
_EOS_PATCH = np.array([BOS] + [EOS] * (PATCH_SIZE - 1), dtype=np.uint8)

_STREAM_MARK = "[r:"
_NEWLINE = ord("\n")
_BODY = re.compile(r"^\[[Vr]:", re.MULTILINE)  # where its first line starts

# What starts at a character, by it and the next one: a barline of one or two signs, a line end.
_ONE, _TWO, _LINE_END = 1, 2, 3
_STARTING = np.zeros((VOCABULARY, VOCABULARY), dtype=np.uint8)
_STARTING[ord("|")] = _ONE
_STARTING[_NEWLINE] = _LINE_END
for _sign, _next in ("::", ":|", "|:", "||", "|]", "[|"):
    _STARTING[ord(_sign), ord(_next)] = _TWO

_ANY: Final = 255  # where a character goes
_COLUMN, _FILLED = np.ogrid[:PATCH_SIZE, : PATCH_SIZE + 1]
_FORMS = np.select([_COLUMN < _FILLED, _COLUMN == _FILLED], [_ANY, EOS], PAD).T.astype(np.uint8)
"""[17, 16]: patches that hold 0 to 16 characters."""


def encode(text: str) -> Patches:
    """Patches of a whole piece, start and end patch included.

    Args:
        text: interleaved ABC, one line a bar. Stream marks ``[r:i/n]`` are put before the body
            lines when they are not there yet (a text for DPO carries its own).

    Returns:
        uint8 array [n, 16].

    Raises:
        ValueError: a character is not ASCII, or is one of the control codes 0, 1 and 2.
    """
    patches = _cut(_with_stream_marks(text))
    return np.concatenate([_BOS_PATCH[None], patches, _EOS_PATCH[None]])


def encode_prompt(text: str) -> tuple[Patches, npt.NDArray[np.uint8]]:
    """Patches of the beginning of a piece, for a model that goes on with it.

    Args:
        text: the beginning of a piece; body lines carry their stream marks already.

    Returns:
        The finished patches, uint8 [n, 16], and the characters of the unfinished one, uint8 [k]
        with k < 16; k is 0 where the text ends with a line.

    Raises:
        ValueError: as in :func:`encode`.
    """
    patches = np.concatenate([_BOS_PATCH[None], _cut(text)])
    if text == "" or text.endswith("\n"):
        return patches, np.empty(0, dtype=np.uint8)
    unfinished = patches[-1][patches[-1] > EOS]
    if len(unfinished) == PATCH_SIZE:
        return patches, np.empty(0, dtype=np.uint8)
    return patches[:-1], unfinished


def decode(patches: npt.ArrayLike) -> str:
    """Text of patches [n, 16]; start, end and padding leave no trace."""
    ids = np.asarray(patches, dtype=np.uint8).reshape(-1, PATCH_SIZE)
    open_ = np.cumsum(ids == EOS, axis=1) == 0
    text: bytes = ids[open_ & (ids > EOS)].tobytes()
    return text.decode("ascii")


def line_starts(patches: Patches) -> npt.NDArray[np.intp]:
    """Indices of the patches with which body lines start, ascending; [lines]."""
    after_line_end = np.flatnonzero((patches[:-1] == ord("\n")).any(axis=1)) + 1
    starts: npt.NDArray[np.intp] = after_line_end[patches[after_line_end, 0] == ord("[")]
    return starts


def window_starts(patches: Patches, length: int) -> npt.NDArray[np.intp]:
    """Body line starts from which a window of ``length`` patches may be taken.

    The first is the head of the body, the last its tail: the first line from which everything
    that follows fits. A piece that fits whole has only its head.
    """
    starts = line_starts(patches)
    if len(patches) <= length or len(starts) == 0:
        return starts[:1]
    overflow = len(patches) - length
    tail = int(np.searchsorted(starts - starts[0], overflow))
    return starts[: tail + 1]


def window(patches: Patches, length: int, rng: np.random.Generator) -> Patches:
    """The whole header and a part of the body, ``length`` patches at most.

    Head, tail, and a random middle are drawn with probability 1/3 each (a middle line uniformly),
    so far as the piece has them; a piece that fits is returned whole.
    """
    starts = window_starts(patches, length)
    if len(patches) <= length or len(starts) == 0:
        return patches[:length]
    choice = int(rng.integers(min(3, len(starts))))
    head, tail = 0, len(starts) - 1
    line = (head, tail)[choice] if choice < 2 else int(rng.integers(1, tail))
    return window_at(patches, length, int(starts[line]))


def window_at(patches: Patches, length: int, start: int) -> Patches:
    """Header and the body from patch ``start`` on, ``length`` patches at most."""
    header = int(line_starts(patches)[0])
    return np.concatenate([patches[:header], patches[start:]])[:length]


def _with_stream_marks(text: str) -> str:
    start = _body_start(text)
    if text.startswith(_STREAM_MARK, start):
        return text
    lines = text[start:].splitlines(keepends=True)
    last = len(lines) - 1
    return text[:start] + "".join([f"[r:{i}/{last - i}]{line}" for i, line in enumerate(lines)])


def _body_start(text: str) -> int:
    first = _BODY.search(text)
    return first.start() if first else len(text)


def _cut(text: str) -> Patches:
    """Cut header lines and bars into patches [n, 16], without start and end patch."""
    codes = _ascii(text if text.endswith("\n") else text + "\n")
    cuts = np.concatenate([[0], _cuts(codes, _body_start(text)), [len(text)]])
    lengths = cuts[1:] - cuts[:-1]
    lengths = lengths[lengths > 0]
    counts = (lengths + PATCH_SIZE - 1) // PATCH_SIZE
    filled = np.full(counts.sum(), PATCH_SIZE)
    filled[np.cumsum(counts) - 1] = lengths - PATCH_SIZE * (counts - 1)
    patches: Patches = _FORMS.take(filled, axis=0)
    patches[patches == _ANY] = codes[: len(text)]
    return patches


def _cuts(codes: npt.NDArray[np.uint8], body_start: int) -> npt.NDArray[np.intp]:
    """Where lines start, and in the body barlines that more of their line follows, ascending.

    Signs are read from left to right: of ``:||:``, ``:|`` is a barline and ``|:`` another. The
    last code, which ends a line, opens none.
    """
    wide = codes.astype(np.uint16)
    what = _STARTING.take(VOCABULARY * wide[:-1] + wide[1:])
    places = np.flatnonzero(what != 0)
    what = what[places]
    line_end = what == _LINE_END
    # The second sign of a barline starts none itself, so that a third one may again.
    taken = np.zeros_like(line_end)
    taken[1:] = (what[:-1] == _TWO) & (places[1:] - places[:-1] == 1) & ~line_end[1:]
    order = np.arange(len(places))
    since = order - np.maximum.accumulate(np.where(taken, 0, order))
    behind = places + np.where(line_end, 0, what)
    inside = (codes[behind] != _NEWLINE) & (places >= body_start)
    cut = line_end | (inside & (since % 2 == 0))
    starts: npt.NDArray[np.intp] = places[cut] + line_end[cut]
    return starts


def _ascii(text: str) -> npt.NDArray[np.uint8]:
    try:
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"character {text[error.start]!r} at {error.start} is not ASCII; "
            "clean the text first (notagen.notation.clean)"
        ) from None
    if len(codes) and codes.min() <= EOS:
        raise ValueError("the text holds a control character 0, 1 or 2, which NotaGen reserves")
    return codes
