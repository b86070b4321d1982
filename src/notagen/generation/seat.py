"""One row of a batch: a draft, what the decoder holds of it, and how often it was taken back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from notagen.generation.alignment import first_deviation
from notagen.generation.context import context_start
from notagen.generation.draft import Draft, Ending
from notagen.generation.form import Form
from notagen.generation.repair import repaired
from notagen.generation.sampling import Sampling, patch_noise
from notagen.model.decode import Decoder

_TRIES_A_VOICE = 4


@dataclass
class Tally:
    """What a piece cost.

    Attributes:
        drawn: patches drawn.
        kept: of these, patches that stayed.
        strayed: lines whose first draft did not agree; counted where lines are proofread.
        tries: how often a voice or a line was drawn again.
        repairs: lines repaired by rule.
        misaligned: lines left whose voices do not agree.
    """

    drawn: int = 0
    kept: int = 0
    strayed: int = 0
    tries: int = 0
    repairs: int = 0
    misaligned: int = 0


class Seat:
    """A piece being written in one row of a decoder.

    With ``align=enforce`` every bar is proofread when it ends. Where a voice does not agree
    with those before it, it is drawn again, and every fourth time the whole line, since it may be
    the first voice that is wrong. A line that has used up its tries is written once more to its
    end and repaired by rule.

    Args:
        index: the piece's number.
        prompt: its beginning.
        form: what is asked of the rest.
        sampling: how characters are drawn and lines are drawn again.
        seed: of all draws.
        most_patches: where to stop a piece that does not end.
    """

    def __init__(
        self,
        index: int,
        prompt: str,
        form: Form | None,
        sampling: Sampling,
        seed: int,
        most_patches: int,
    ) -> None:
        self.index = index
        self.draft = Draft(prompt, form, voices_in_place=sampling.align == "enforce")
        self.sampling = sampling
        self.seed = seed
        self.most_patches = most_patches
        self.tally = Tally()
        self.ending: Ending | None = Ending.COMPLETE if self.draft.marks.complete else None
        self._given = len(self.draft)  # patches of the prompt
        self._tries = 0  # of the unfinished line
        self._header = self._left_out = 0  # patches the decoder keeps for good, and does not hold

    def noise(self) -> tuple[float, ...]:
        """Uniform numbers, 16, for the patch that comes next."""
        return patch_noise(self.seed, self.index, len(self.draft), self._tries)

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
        self.tally.drawn += 1
        if draft.in_body and self.sampling.align != "off":
            self._proofread(decoder, row)
        if draft.line.endswith("\n"):
            draft.close_line()
            self._tries = 0
        self.tally.kept = len(draft) - self._given
        if draft.marks.complete:
            self.ending = Ending.COMPLETE
        elif len(draft) >= self.most_patches:
            self._stop(Ending.TOO_LONG)
        elif decoder.lengths[row] == decoder.patch_length:
            self._read(decoder, row, unchanged=len(draft))

    def _proofread(self, decoder: Decoder, row: int) -> None:
        draft = self.draft
        enforce = self.sampling.align == "enforce"
        to_its_end = not enforce or self._tries == self.sampling.tries
        line_ended = draft.line.endswith("\n")
        if not line_ended and (to_its_end or not draft.bar_ended):
            return
        offset = first_deviation(draft.line, draft.voices)
        if offset is None:
            return
        self.tally.strayed += self._tries == 0
        if not enforce:
            self.tally.misaligned += 1
        elif to_its_end:
            self._repair(decoder, row)
        else:
            self._draw_again(offset, decoder, row)

    def _draw_again(self, offset: int, decoder: Decoder, row: int) -> None:
        self._tries += 1
        self.tally.tries += 1
        if self._tries % _TRIES_A_VOICE == 0 or self._tries == self.sampling.tries:
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
            self._stop(Ending.UNREADABLE)
            return
        self.tally.repairs += 1
        unchanged = draft.replace_line(line)
        self._read(decoder, row, unchanged)

    def _stop(self, ending: Ending) -> None:
        """End the piece, after its last whole line where lines are to agree."""
        self.ending = ending
        if self.draft.in_body and self.sampling.align == "enforce":
            self.draft.rewind(0)
