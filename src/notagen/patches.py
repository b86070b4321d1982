"""Text to patches and back: the tokenizer of NotaGen (paper, section 3.1).

A patch is 16 ASCII codes. Each header line, and each bar of a body line, is cut into patches of
its own, so that a patch never holds characters of two bars. The last patch of a line or bar that
is not a multiple of 16 long ends in ``EOS`` and is filled with ``PAD``. A bar reaches from one
barline (included: it opens the bar) to the next. The barline that closes a body line belongs to the
bar before it, together with all that stands behind (an ending's number, the line end), unless that
holds the letter V: it is then a bar of its own, as the published program cuts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from notagen.notation.parser import STREAM_MARK_START

PATCH_SIZE: Final = 16
VOCABULARY: Final = 128  # ASCII; the control codes 0, 1 and 2 serve as PAD, BOS and EOS
PAD: Final = 0
BOS: Final = 1
EOS: Final = 2

Patches = npt.NDArray[np.uint8]
"""[n, 16] character ids."""

_BOS_PATCH = bytes([BOS] * (PATCH_SIZE - 1) + [EOS])
_EOS_PATCH = bytes([BOS] + [EOS] * (PATCH_SIZE - 1))
_FILLINGS = [b"", *(bytes([EOS]) + bytes(PATCH_SIZE - 1 - n) for n in range(1, PATCH_SIZE))]
"""End and padding after the last n characters of a line or bar, by n."""

_BODY = re.compile(r"^\[[Vr]:", re.MULTILINE)  # the first body line, [r:0/96][V:1]... or [V:1]...
_LINE = re.compile(rb"[^\n]+\n?|\n")  # a header line with its line end
# Signs are read from left to right: of `:||:`, `:|` is a barline and `|:` another.
_BARLINE = rb"(?:\|[:|\]]?|:[:|]|\[\|)"


def _up_to_barline(excluded: bytes) -> bytes:
    """Pattern of the characters up to a line's next barline, without the letters ``excluded``.

    Runs without ``:``, ``|`` and ``[`` are taken whole; a ``:`` or ``[`` is part of the music
    where it begins no barline: ``K:`` and ``[CE]``, but not ``:|`` and ``[|``. The possessive
    quantifiers (``*+``) keep the scan linear.
    """
    plain = rb"[^:|\[\n%b]*+" % excluded
    return rb"%b(?:[:\[](?![:|])%b|\[(?=:))*+" % (plain, plain)


# `[V:1]C|[V:2]E|\n` is cut into `[V:1]C` and `|[V:2]E|\n`: a barline if there is one, the music up
# to the next, and that next barline too where it closes the line and no V stands behind it.
_BAR = re.compile(
    rb"%b?+%b(?:(?:%b%b)?+(?:\n|\Z))?+"
    % (_BARLINE, _up_to_barline(rb""), _BARLINE, _up_to_barline(rb"V"))
)
_BLANK_END = re.compile(r"\n\s*\n\Z")


def encode(text: str) -> Patches:
    """Patches of a whole piece, start and end patch included.

    Args:
        text: interleaved ABC, one line per bar. Stream marks ``[r:i/n]`` are put before the body
            lines when they are not there yet (a text for DPO carries its own).

    Returns:
        uint8 array [n, 16].

    Raises:
        ValueError: a character is not ASCII, or is one of the control codes 0, 1 and 2.
    """
    text = _BLANK_END.sub("\n", text)  # a blank line would get a stream mark of its own
    return _filled([_BOS_PATCH, *_cut(_with_stream_marks(text)), _EOS_PATCH])


def encode_prompt(text: str) -> tuple[Patches, npt.NDArray[np.uint8]]:
    """Patches of the beginning of a piece, for a model to continue.

    Args:
        text: the beginning of a piece; body lines carry their stream marks already.

    Returns:
        The finished patches, uint8 [n, 16], and the characters of the unfinished one, uint8 [k]
        with k < 16; k is 0 where the text ends with a line.

    Raises:
        ValueError: as in :func:`encode`.
    """
    patches = _filled([_BOS_PATCH, *_cut(text)])
    if text == "" or text.endswith("\n"):
        return patches, np.empty(0, dtype=np.uint8)
    unfinished = patches[-1][patches[-1] > EOS]
    if len(unfinished) == PATCH_SIZE:
        return patches, np.empty(0, dtype=np.uint8)
    return patches[:-1], unfinished


def decode(patches: npt.ArrayLike) -> str:
    """Text of patches [n, 16], without start and end patch and padding."""
    ids = np.asarray(patches, dtype=np.uint8).reshape(-1, PATCH_SIZE)
    before_eos = np.cumsum(ids == EOS, axis=1) == 0  # a model may write characters after its EOS
    text: bytes = ids[before_eos & (ids > EOS)].tobytes()
    return text.decode("ascii")


def line_starts(patches: Patches) -> npt.NDArray[np.intp]:
    """Indices of the patches that start body lines, ascending; [lines]."""
    after_line_end = np.flatnonzero((patches[:-1] == ord("\n")).any(axis=1)) + 1
    starts: npt.NDArray[np.intp] = after_line_end[patches[after_line_end, 0] == ord("[")]
    return starts


def window_starts(patches: Patches, length: int) -> npt.NDArray[np.intp]:
    """Indices of the patches that may start a window of ``length`` patches; [starts].

    The first is the head of the body, the last its tail: the first line from which the rest of
    the piece fits. A piece that fits whole has only its head.
    """
    starts = line_starts(patches)
    if len(patches) <= length or len(starts) == 0:
        return starts[:1]
    overflow = len(patches) - length
    tail = int(np.searchsorted(starts - starts[0], overflow))
    return starts[: tail + 1]


def window(patches: Patches, length: int, rng: np.random.Generator) -> Patches:
    """The whole header and a random part of the body, ``length`` patches at most.

    Head, tail and a middle are drawn with probability 1/3 each, the middle's first line uniformly;
    a body with only two possible starts has no middle. A piece that fits is returned whole.
    """
    starts = window_starts(patches, length)
    if len(patches) <= length or len(starts) == 0:
        return patches[:length]
    choice = int(rng.integers(min(3, len(starts))))
    head, tail = 0, len(starts) - 1
    line = (head, tail)[choice] if choice < 2 else int(rng.integers(1, tail))
    return window_at(patches, length, int(starts[line]))


def window_at(patches: Patches, length: int, start: int) -> Patches:
    """The header and the body from patch ``start``, ``length`` patches at most."""
    header = int(line_starts(patches)[0])
    return np.concatenate([patches[:header], patches[start:]])[:length]


def _with_stream_marks(text: str) -> str:
    start = _body_start(text)
    if text.startswith(STREAM_MARK_START, start):
        return text
    lines = text[start:].splitlines(keepends=True)
    last = len(lines) - 1
    # stream_mark, written out: a call per line would take 5 % of the time of encode.
    marked = [f"{STREAM_MARK_START}{i}/{last - i}]{line}" for i, line in enumerate(lines)]
    return text[:start] + "".join(marked)


def _body_start(text: str) -> int:
    first = _BODY.search(text)
    return first.start() if first else len(text)


def _cut(text: str) -> list[bytes]:
    """Header lines and bars, in order."""
    codes = _ascii(text)
    body = _body_start(text)
    return _LINE.findall(codes[:body]) + _BAR.findall(codes, body)


def _filled(parts: Iterable[bytes]) -> Patches:
    """Patches [n, 16] of header lines and bars; none holds characters of two of them."""
    # One join and one view: a loop over patches would take most of the time of encode.
    codes = bytearray().join([part + _FILLINGS[len(part) % PATCH_SIZE] for part in parts])
    return np.frombuffer(codes, dtype=np.uint8).reshape(-1, PATCH_SIZE)


def _ascii(text: str) -> bytes:
    try:
        codes = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"character {text[error.start]!r} at {error.start} is not ASCII; "
            "clean the text first (notagen.notation.clean)"
        ) from None
    if any(reserved in codes for reserved in (PAD, BOS, EOS)):
        raise ValueError("the text holds a control character 0, 1 or 2, which NotaGen reserves")
    return codes
