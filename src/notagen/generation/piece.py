"""A piece while it is being generated: its text, its row of the decoder, what is drawn again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from notagen.generation import alignment
from notagen.generation.alignment import first_deviation, repaired
from notagen.generation.constraints import Form, StreamMarks
from notagen.generation.sampling import Sampling, patch_noise
from notagen.model.decoding.decoder import Decoder
from notagen.notation.parser import declared_voices
from notagen.patches import EOS, PAD, PATCH_SIZE, Patches, decode, encode_prompt, line_starts

_END = chr(EOS)

_RESAMPLES_PER_VOICE = 4


def to_patches(texts: Iterable[str]) -> Patches:
    """Patches of up to 16 characters each, uint8 [n, 16]."""
    padded = ((text + _END).ljust(PATCH_SIZE, chr(PAD))[:PATCH_SIZE] for text in texts)
    codes = bytearray("".join(padded), "ascii")
    return np.frombuffer(codes, dtype=np.uint8).reshape(-1, PATCH_SIZE)


class FinishReason(Enum):
    """How a piece ended."""

    COMPLETE = "complete"  # after as many bars as its first stream mark announced
    TOO_LONG = "too long"  # stopped at the limit of patches
    UNREADABLE = "unreadable"  # before a bar that neither a try nor a rule made readable


class PartialPiece:
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
        self.marks = StreamMarks(self.form.bars)
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


@dataclass
class GenerationStats:
    """What a piece cost.

    Attributes:
        sampled_patches: patches drawn.
        kept_patches: of these, patches that stayed.
        misaligned_first_draft: lines whose first draft did not agree; counted where lines are
            proofread.
        resamples: how often a voice or a line was drawn again.
        repairs: lines repaired by rule.
        misaligned_bars: lines left whose voices do not agree.
    """

    sampled_patches: int = 0
    kept_patches: int = 0
    misaligned_first_draft: int = 0
    resamples: int = 0
    repairs: int = 0
    misaligned_bars: int = 0


class GenerationRow:
    """A piece being written in one row of a decoder.

    With ``align=enforce`` every bar is proofread when it ends. Where a voice does not agree
    with those before it, it is drawn again, and every fourth time the whole line, since it may be
    the first voice that is wrong. A line that has used up its resamples is written once more to its
    end and repaired by rule.

    Args:
        index: the piece's number.
        prompt: its beginning.
        form: what is asked of the rest.
        sampling: how characters are drawn and lines are drawn again.
        seed: of all draws.
        max_patches: where to stop a piece that does not end.
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
        self.draft = PartialPiece(prompt, form, voices_in_place=sampling.align == "enforce")
        self.sampling = sampling
        self.seed = seed
        self.max_patches = max_patches
        self.stats = GenerationStats()
        self.finish_reason: FinishReason | None = (
            FinishReason.COMPLETE if self.draft.marks.complete else None
        )
        self._given = len(self.draft)  # patches of the prompt
        self._resamples = 0  # of the unfinished line
        self._header = self._left_out = 0  # patches the decoder keeps for good, and does not hold

    def noise(self) -> tuple[float, ...]:
        """Uniform numbers, 16, for the patch that comes next."""
        return patch_noise(self.seed, self.index, len(self.draft), self._resamples)

    def prefill(self, decoder: Decoder, row: int) -> None:
        """Read what the piece goes on from into a row that may hold anything."""
        self._header = self._left_out = 0
        self._read(decoder, row, unchanged=0)

    def _read(self, decoder: Decoder, row: int, unchanged: int) -> None:
        """Let a row hold what the piece goes on from, and read only what it does not hold yet.

        Args:
            decoder: holds the piece as it was.
            row: of the decoder.
            unchanged: so many first patches of the piece are as they were.
        """
        patches = self.draft.patches
        header, start = context_start(patches, decoder.patch_length)
        if (header, start - header) == (self._header, self._left_out):
            held = unchanged - self._left_out
        else:  # patches after the header have moved
            held = min(header, self._header if self._left_out else unchanged)
        self._header, self._left_out = header, start - header
        decoder.rewind(row, held)
        context = np.delete(patches, np.s_[header:start], 0)
        decoder.prefill(row, torch.from_numpy(context[held:]))

    def add(self, text: str, decoder: Decoder, row: int) -> None:
        """Take a patch that was drawn and pushed, or take it back where it does not agree."""
        draft = self.draft
        draft.append(text)
        self.stats.sampled_patches += 1
        if draft.in_body and self.sampling.align != "off":
            self._proofread(decoder, row)
        if draft.line.endswith("\n"):
            draft.close_line()
            self._resamples = 0
        self.stats.kept_patches = len(draft) - self._given
        if draft.marks.complete:
            self.finish_reason = FinishReason.COMPLETE
        elif len(draft) >= self.max_patches:
            self._stop(FinishReason.TOO_LONG)
        elif decoder.lengths[row] == decoder.patch_length:
            self._read(decoder, row, unchanged=len(draft))

    def _proofread(self, decoder: Decoder, row: int) -> None:
        draft = self.draft
        enforce = self.sampling.align == "enforce"
        to_its_end = not enforce or self._resamples == self.sampling.max_resamples
        line_ended = draft.line.endswith("\n")
        if not line_ended and (to_its_end or not draft.bar_ended):
            return
        offset = first_deviation(draft.line, draft.voices)
        if offset is None:
            return
        self.stats.misaligned_first_draft += self._resamples == 0
        if not enforce:
            self.stats.misaligned_bars += 1
        elif to_its_end:
            self._repair(decoder, row)
        else:
            self._draw_again(offset, decoder, row)

    def _draw_again(self, offset: int, decoder: Decoder, row: int) -> None:
        self._resamples += 1
        self.stats.resamples += 1
        if (
            self._resamples % _RESAMPLES_PER_VOICE == 0
            or self._resamples == self.sampling.max_resamples
        ):
            offset = 0
        self.draft.rewind(offset)
        held = len(self.draft) - self._left_out
        if held > self._header:
            decoder.rewind(row, held)
        else:
            self.prefill(decoder, row)

    def _repair(self, decoder: Decoder, row: int) -> None:
        draft = self.draft
        line = repaired(draft.line, draft.voices)
        if line is None or not line.startswith(draft.given):
            self._stop(FinishReason.UNREADABLE)
            return
        self.stats.repairs += 1
        unchanged = draft.replace_line(line)
        self._read(decoder, row, unchanged)

    def _stop(self, reason: FinishReason) -> None:
        """End the piece, after its last whole line where lines are to agree."""
        self.finish_reason = reason
        if self.draft.in_body and self.sampling.align == "enforce":
            self.draft.rewind(0)


def context_start(patches: Patches, length: int) -> tuple[int, int]:
    """Which patches to keep: the first so many, and all from another one on.

    All that is written, or, once that is too long, the header and the last half of the body
    lines (and of a body that is a single line, its end). A header takes half of the context at
    most.

    Args:
        patches: [n, 16].
        length: of the context; fewer patches than this are kept.

    Returns:
        End of what is kept of the header, and where the rest starts.
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
