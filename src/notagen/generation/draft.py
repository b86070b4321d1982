"""A piece while it is being written."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import numpy as np

from notagen.generation import alignment
from notagen.generation.form import Form
from notagen.generation.marks import Marks
from notagen.notation.reading import declared_voices
from notagen.patches import EOS, PAD, PATCH_SIZE, Patches, decode, encode_prompt

_END = chr(EOS)


def to_patches(texts: Iterable[str]) -> Patches:
    """Patches of up to 16 characters each, uint8 [n, 16]."""
    padded = ((text + _END).ljust(PATCH_SIZE, chr(PAD))[:PATCH_SIZE] for text in texts)
    codes = bytearray("".join(padded), "ascii")
    return np.frombuffer(codes, dtype=np.uint8).reshape(-1, PATCH_SIZE)


class Ending(Enum):
    """How a piece ended."""

    COMPLETE = "complete"  # after as many bars as its first stream mark announced
    TOO_LONG = "too long"  # stopped at the limit of patches
    UNREADABLE = "unreadable"  # before a bar that neither a try nor a rule made readable


class Draft:
    """What stands of a piece, and what may come next.

    Args:
        prompt: the beginning of the piece, as in :func:`notagen.patches.encode_prompt`.
        form: what is asked of the rest.
        voices_in_place: whether only voices may come that have their place there.

    Attributes:
        header: finished header lines, without line ends.
        voices: names that the header declares.
        marks: the count of body lines.
        line: the unfinished line, so far as it stands in finished patches.
        given: what the prompt holds of that line.
    """

    def __init__(
        self, prompt: str, form: Form | None = None, *, voices_in_place: bool = True
    ) -> None:
        self.form = form or Form()
        self.voices_in_place = voices_in_place
        self.header: list[str] = []
        self.voices: tuple[str, ...] = ("1",)  # ABC's name for the voice of a tune without V:
        self.marks = Marks(self.form.bars)
        self.line = self.given = ""
        self._texts: list[str] = []
        self._line_start = 0
        self._given_patches = 0
        (self._start, *finished), unfinished = encode_prompt(prompt)
        for ids in finished:
            self.append(decode(ids))
            self.close_line()
        self._unfinished = bytes(unfinished).decode("ascii")
        self._given_patches = len(self._texts)
        self.given = self.line + self._unfinished

    def __len__(self) -> int:
        """Finished patches, the start patch included."""
        return 1 + len(self._texts)

    @property
    def text(self) -> str:
        """All that is written, stream marks included."""
        return "".join(self._texts)

    @property
    def in_body(self) -> bool:
        """Whether the unfinished line is one of the body."""
        return self.line.startswith("[")

    @property
    def bar_ended(self) -> bool:
        """Whether the last patch ended before it was full, as the last one of a bar does."""
        return bool(self.line) and len(self._texts[-1]) < PATCH_SIZE

    @property
    def patches(self) -> Patches:
        """All finished patches, uint8 [n, 16]."""
        return np.concatenate([self._start[None], to_patches(self._texts)])

    def allowed(self, written: str) -> str | None:
        """Characters of which the next must be one, after ``written`` in this patch; None: any."""
        if len(written) < len(self._unfinished) and len(self._texts) == self._given_patches:
            return self._unfinished[len(written)]
        line = self.line + written
        if line.endswith("\n"):
            return _END
        if not (line.startswith("[") or self.marks.begun):
            return self.form.allowed(self.header, line)
        mark = self.marks.allowed(line)
        if mark is not None or not self.voices_in_place:
            return mark
        return alignment.allowed(line, written, self.voices, bar_ended=self.bar_ended)

    def append(self, text: str) -> None:
        """Add a finished patch; a line that ends with it is closed by :meth:`close_line`."""
        self._texts.append(text)
        self.line += text

    def close_line(self) -> None:
        """Go on to the next line where this one is at its end."""
        if not self.line.endswith("\n"):
            return
        if self.in_body:
            self.marks.finish(self.line)
        else:
            self.header.append(self.line[:-1])
            self.voices = declared_voices(self.header) or self.voices
        self.line = self.given = ""
        self._line_start = len(self._texts)

    def rewind(self, offset: int) -> None:
        """Take back the unfinished line from the patch on that holds its character ``offset``.

        What the prompt gave stays.
        """
        kept = self._line_start
        end = 0
        for text in self._texts[self._line_start :]:
            end += len(text)
            if end > offset:
                break
            kept += 1
        del self._texts[max(kept, self._given_patches) :]
        self.line = "".join(self._texts[self._line_start :])

    def replace_line(self, line: str) -> int:
        """Write another line in place of the unfinished one; return how many patches stay."""
        del self._texts[self._line_start :]
        self.line = ""
        unchanged = len(self)
        for ids in encode_prompt(line)[0][1:]:
            self.append(decode(ids))
        return unchanged
