"""A piece while it is being generated: its text, its row of the decoder, resampling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from notagen.generation import alignment, header
from notagen.generation.alignment import first_deviation, repaired
from notagen.generation.constraints import Form, StreamMarks
from notagen.generation.sampling import Sampling, patch_noise
from notagen.model.decoding.decoder import Decoder
from notagen.notation.parser import declared_voices
from notagen.patches import EOS, PAD, PATCH_SIZE, Patches, decode, encode_prompt, line_starts

_END = chr(EOS)

_LINE_RESAMPLE_INTERVAL = 4  # every fourth resample starts from the first voice of the line


def to_patches(texts: Iterable[str]) -> Patches:
    """Encode n texts of up to 16 characters as a patch each: uint8 [n, 16]."""
    padded = ((text + _END).ljust(PATCH_SIZE, chr(PAD))[:PATCH_SIZE] for text in texts)
    codes = bytearray("".join(padded), "ascii")
    return np.frombuffer(codes, dtype=np.uint8).reshape(-1, PATCH_SIZE)


class FinishReason(Enum):
    """Reason for which generation of a piece stopped."""

    COMPLETE = "complete"  # it has the number of bars that its first stream mark announces
    TOO_LONG = "too long"  # it reached the maximum number of patches
    UNREADABLE = "unreadable"  # neither resampling nor repair made its next bar readable


class PartialPiece:
    """The patches of an unfinished piece, and the characters that may come next.

    Args:
        prompt: the beginning of the piece, as in :func:`notagen.patches.encode_prompt`.
        form: constraints on the rest.
        readable: allow only a header by the grammar, and of its voices each once a line and in
            order.

    Attributes:
        header: finished header lines, without line ends.
        voices: names that the header declares.
        marks: the stream marks of the body.
        line: the part of the unfinished line that is in finished patches.
        prompt_line: the part of the unfinished line that the prompt holds.
    """

    def __init__(self, prompt: str, form: Form | None = None, *, readable: bool = True) -> None:
        self.form = form or Form()
        self.readable = readable
        self.header: list[str] = []
        self.voices: tuple[str, ...] = ("1",)  # ABC's name for the voice of a tune without V:
        self.marks = StreamMarks(self.form.bars)
        self.line = self.prompt_line = ""
        self._texts: list[str] = []  # of finished patches, without the start patch
        self._line_start = 0  # index in `_texts` of the unfinished line's first patch
        self._prompt_patches = 0
        (self._start, *finished), unfinished = encode_prompt(prompt)
        for ids in finished:
            self.append(decode(ids))
            self.close_line()
        # Characters of the prompt after its last finished patch; `allowed` forces them.
        self._unfinished = bytes(unfinished).decode("ascii")
        self._prompt_patches = len(self._texts)
        self.prompt_line = self.line + self._unfinished

    def __len__(self) -> int:
        """Number of finished patches, the start patch included."""
        return 1 + len(self._texts)

    @property
    def text(self) -> str:
        """Text of the finished patches, stream marks included."""
        return "".join(self._texts)

    @property
    def in_body(self) -> bool:
        """True if the unfinished line belongs to the body."""
        return self.line.startswith("[")

    @property
    def bar_ended(self) -> bool:
        """True if the last patch is not full, as at the end of a bar."""
        return bool(self.line) and len(self._texts[-1]) < PATCH_SIZE

    @property
    def patches(self) -> Patches:
        """All finished patches, uint8 [n, 16]."""
        return np.concatenate([self._start[None], to_patches(self._texts)])

    def allowed(self, written: str) -> str | None:
        """Characters allowed next, given those of the unfinished patch; None: any."""
        if len(written) < len(self._unfinished) and len(self._texts) == self._prompt_patches:
            return self._unfinished[len(written)]
        line = self.line + written
        if line.endswith("\n"):
            return _END
        if not (line.startswith("[") or self.marks.begun):
            return self._allowed_in_header(line)
        mark = self.marks.allowed(line)
        if mark is not None or not self.readable:
            return mark
        return alignment.allowed(line, written, self.voices, bar_ended=self.bar_ended)

    def _allowed_in_header(self, line: str) -> str | None:
        wanted = self.form.allowed(self.header, line)
        if not self.readable:
            return wanted
        readable = header.allowed(self.header, line)
        if wanted is None or readable is None:
            return wanted or readable
        # A form may ask for what the prompt's lines leave no place for in the grammar.
        return "".join(character for character in wanted if character in readable) or wanted

    def append(self, text: str) -> None:
        """Add a finished patch, without starting a new line (see :meth:`close_line`)."""
        self._texts.append(text)
        self.line += text

    def close_line(self) -> None:
        """Start a new line if the line has ended."""
        if not self.line.endswith("\n"):
            return
        if self.in_body:
            self.marks.finish(self.line)
        else:
            self.header.append(self.line[:-1])
            self.voices = declared_voices(self.header) or self.voices
        self.line = self.prompt_line = ""
        self._line_start = len(self._texts)

    def rewind(self, offset: int) -> None:
        """Remove the unfinished line from the patch with its character ``offset`` on.

        Patches of the prompt stay.
        """
        kept = self._line_start
        end = 0
        for text in self._texts[self._line_start :]:
            end += len(text)
            if end > offset:
                break
            kept += 1
        del self._texts[max(kept, self._prompt_patches) :]
        self.line = "".join(self._texts[self._line_start :])

    def replace_line(self, line: str) -> int:
        """Replace the unfinished line by another; return the number of patches before it."""
        del self._texts[self._line_start :]
        self.line = ""
        unchanged = len(self)
        for ids in encode_prompt(line)[0][1:]:
            self.append(decode(ids))
        return unchanged


@dataclass
class GenerationStats:
    """Counts of one piece; lines are checked unless ``align=off``.

    Attributes:
        sampled_patches: patches sampled.
        kept_patches: patches of the piece that are not the prompt's.
        misaligned_first_draft: lines whose voices did not agree at the first attempt.
        resamples: number of times a voice or a line was resampled.
        repairs: lines repaired by rule.
        misaligned_bars: lines of the piece whose voices do not agree.
    """

    sampled_patches: int = 0
    kept_patches: int = 0
    misaligned_first_draft: int = 0
    resamples: int = 0
    repairs: int = 0
    misaligned_bars: int = 0


class GenerationRow:
    """A piece being generated in one row of a decoder.

    With ``align=enforce`` the voices of a line are checked at the end of each voice's bar. A voice
    that does not agree with those before it is resampled, and every fourth time the whole line,
    since the first voice may be the wrong one. A line that has used up its resamples is sampled
    once more to its end and repaired by rule.

    The decoder's row holds the piece up to its context; a longer piece is shortened between header
    and body (:func:`context_start`). ``_header`` and ``_left_out`` record how: with a context of 8
    and a header of 2 patches, a line being one patch,

    ===========================  ====================  ===========  =============
    event                        patches in the row    ``_header``  ``_left_out``
    ===========================  ====================  ===========  =============
    7 patches sampled            0 1 2 3 4 5 6         0            0
    patch 7 sampled, row full    0 1 | 5 6 7           2            3
    patches 8 to 10, row full    0 1 | 6 7 8 9 10      2            4
    ===========================  ====================  ===========  =============

    so patch ``i`` of the piece, after the header, is patch ``i - _left_out`` of the row.

    Args:
        index: number of the piece.
        prompt: beginning of the piece.
        form: constraints on the rest.
        sampling: settings of sampling and alignment.
        seed: of all random numbers.
        max_patches: length at which a piece that does not end is stopped.
    """

    def __init__(
        self,
        index: int,
        prompt: str,
        form: Form | None,
        sampling: Sampling,
        seed: int,
        max_patches: int,
    ) -> None:
        self.index = index
        self.piece = PartialPiece(prompt, form, readable=sampling.align == "enforce")
        self.sampling = sampling
        self.seed = seed
        self.max_patches = max_patches
        self.stats = GenerationStats()
        self.finish_reason: FinishReason | None = (
            FinishReason.COMPLETE if self.piece.marks.complete else None
        )
        self._prompt_patches = len(self.piece)
        self._resamples = 0  # of the unfinished line
        self._header = self._left_out = 0  # see the table above

    def noise(self) -> tuple[float, ...]:
        """Uniform numbers, 16, to sample the next patch with."""
        return patch_noise(self.seed, self.index, len(self.piece), self._resamples)

    def prefill(self, decoder: Decoder, row: int) -> None:
        """Fill a row of the decoder, whatever it holds, with the piece's context."""
        self._header = self._left_out = 0
        self._read(decoder, row, unchanged=0)

    def _read(self, decoder: Decoder, row: int, unchanged: int) -> None:
        """Update a row of the decoder to the piece's context; only new patches are computed.

        Args:
            decoder: its row holds the context of the piece before a change.
            row: of the decoder.
            unchanged: number of patches at the piece's beginning that have not changed.
        """
        patches = self.piece.patches
        header, start = context_start(patches, decoder.patch_length)
        if (header, start - header) == (self._header, self._left_out):
            held = unchanged - self._left_out
        else:  # Patches after the header are at other positions now; only the header is the same.
            held = min(header, self._header if self._left_out else unchanged)
        self._header, self._left_out = header, start - header
        decoder.rewind(row, held)
        context = np.delete(patches, np.s_[header:start], 0)
        decoder.prefill(row, torch.from_numpy(context[held:]))

    def add(self, text: str, decoder: Decoder, row: int) -> None:
        """Append a patch that the decoder's row has already; resample or repair if misaligned."""
        piece = self.piece
        piece.append(text)
        self.stats.sampled_patches += 1
        if piece.in_body and self.sampling.align != "off":
            self._check_line(decoder, row)
        if piece.line.endswith("\n"):
            piece.close_line()
            self._resamples = 0
        self.stats.kept_patches = len(piece) - self._prompt_patches
        if piece.marks.complete:
            self.finish_reason = FinishReason.COMPLETE
        elif len(piece) >= self.max_patches:
            self._stop(FinishReason.TOO_LONG)
        elif decoder.lengths[row] == decoder.patch_length:
            self._read(decoder, row, unchanged=len(piece))

    def _check_line(self, decoder: Decoder, row: int) -> None:
        piece = self.piece
        enforce = self.sampling.align == "enforce"
        # Lines that will not be resampled are judged as a whole, others after each bar.
        whole_line = not enforce or self._resamples == self.sampling.max_resamples
        line_ended = piece.line.endswith("\n")
        if not line_ended and (whole_line or not piece.bar_ended):
            return
        offset = first_deviation(piece.line, piece.voices)
        if offset is None:
            return
        self.stats.misaligned_first_draft += self._resamples == 0
        if not enforce:
            self.stats.misaligned_bars += 1
        elif whole_line:
            self._repair(decoder, row)
        else:
            self._resample(offset, decoder, row)

    def _resample(self, offset: int, decoder: Decoder, row: int) -> None:
        self._resamples += 1
        self.stats.resamples += 1
        if (
            self._resamples % _LINE_RESAMPLE_INTERVAL == 0
            or self._resamples == self.sampling.max_resamples
        ):
            offset = 0
        self.piece.rewind(offset)
        held = len(self.piece) - self._left_out
        if held > self._header:
            decoder.rewind(row, held)
        else:  # The line began in the part that is left out.
            self.prefill(decoder, row)

    def _repair(self, decoder: Decoder, row: int) -> None:
        piece = self.piece
        line = repaired(piece.line, piece.voices)
        if line is None or not line.startswith(piece.prompt_line):
            self._stop(FinishReason.UNREADABLE)
            return
        self.stats.repairs += 1
        unchanged = piece.replace_line(line)
        self._read(decoder, row, unchanged)

    def _stop(self, reason: FinishReason) -> None:
        """End the piece; with ``align=enforce`` without its unfinished line, which is unchecked."""
        self.finish_reason = reason
        if self.piece.in_body and self.sampling.align == "enforce":
            self.piece.rewind(0)


def context_start(patches: Patches, length: int) -> tuple[int, int]:
    """Choose the patches of a piece that fit a context: all before one index, all from another.

    A piece that fits is kept whole. Of a longer one the header is kept, at most half a context,
    and the last half of the body lines, or fewer if they do not fit; of a single line its end.

    Args:
        patches: [n, 16].
        length: of the context; fewer patches than this are kept.

    Returns:
        ``(header, start)``: ``patches[:header]`` and ``patches[start:]`` are kept.
    """
    if len(patches) < length:
        return 0, 0
    starts = line_starts(patches)
    header = min(int(starts[0]) if len(starts) else 1, length // 2)
    room = length - header
    for start in starts[len(starts) // 2 :]:
        if len(patches) - start < room:
            return header, int(start)
    return header, len(patches) - room // 2
