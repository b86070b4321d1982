"""Tune: a score in NotaGen's ABC dialect, header lines and the bars of all voices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from notagen.errors import NotationError
from notagen.notation import rests
from notagen.notation.bars import Bar, bar_duration
from notagen.notation.keys import key_fifths, main_key
from notagen.notation.parser import declared_voices, parse_tune, stream_mark
from notagen.notation.transpose import transpose

_BARS_PER_LINE = 6  # of standard text
_METRE = re.compile(r"\(?\d{1,3}(?:\+\d{1,3}){0,15}\)?/[1-9]\d{0,2}")  # 3/4 or (2+3)/8
UNIT_LENGTH = re.compile(r"[1-9]\d{0,2}(?:/[1-9]\d{0,2})?")


class Alignment(NamedTuple):
    """Agreement of the voices of a tune."""

    barlines: bool
    bar_counts: bool
    durations: bool

    @property
    def ok(self) -> bool:
        """All three hold."""
        return all(self)


@dataclass(frozen=True, slots=True)
class Tune:
    """A score: ``header`` lines in order without line ends, ``bars[i][voice_id]`` the music.

    A resting voice may be missing from a bar's mapping when rests are left out.
    """

    header: tuple[str, ...]
    bars: tuple[Mapping[str, Bar], ...]

    @classmethod
    def parse(cls, text: str) -> Tune:
        """Parse ABC of either layout: standard (``V:1`` blocks) or interleaved (one bar per line).

        Interleaved text may leave resting voices out and may carry stream marks ``[r:i/n]``,
        which are not kept. A tune without voices has one, ``1``. Comments, lyrics and other body
        fields without music are left out.

        Raises:
            NotationError: (a ValueError) the text holds no music or several tunes, or an
                interleaved line is not one bar of each of its voices.
        """
        return cls(*parse_tune(text))

    @property
    def voices(self) -> tuple[str, ...]:
        """Voice ids: those the header declares, in its order, then others as they appear."""
        used = (voice for voices in self.bars for voice in voices)
        return tuple(dict.fromkeys((*declared_voices(self.header), *used)))

    @property
    def key(self) -> str:
        """Major key with the signature of the header's ``K:`` (``G`` for ``K:Emin``).

        Raises NotationError (a ValueError) when there is none.
        """
        return main_key(self.header).name

    @property
    def metre(self) -> Fraction | None:
        """The header's ``M:`` as a fraction of a whole note; None for free metre.

        Raises NotationError (a ValueError) for a field that is no metre.
        """
        return parse_metre(self.field("M"))

    @property
    def unit_length(self) -> Fraction:
        """The header's ``L:``; without one, 1/16 for metres below 3/4 and 1/8 otherwise.

        Raises NotationError (a ValueError) for a field that is no length.
        """
        field = self.field("L")
        if not field:
            short = self.metre is not None and self.metre < Fraction(3, 4)
            return Fraction(1, 16 if short else 8)
        if not UNIT_LENGTH.fullmatch(field):
            raise NotationError(f"L:{field} is not a note length; write it as L:1/8")
        return Fraction(field)

    def field(self, letter: str) -> str:
        """Text of the header's first field of a letter, ``"M"`` for ``M:3/4``; empty without."""
        lines = (line[2:].strip() for line in self.header if line.startswith(letter + ":"))
        return next(lines, "")

    def to_standard(self) -> str:
        """Print one block per voice, six bars per line; left-out voices get their rests."""
        tune = self.complete_rests()
        blocks = (line for voice in tune.voices for line in tune._block(voice))
        return "\n".join((*self.header, *blocks)) + "\n"

    def to_interleaved(self, omit_rests: bool = False, stream_marks: bool = False) -> str:
        """Print one line per bar: ``[V:1]bar|[V:2]bar|``.

        Args:
            omit_rests: leave resting voices out, as in NotaGen's training text.
            stream_marks: open line i of n with ``[r:i/n-i-1]``.
        """
        bars = rests.omit(self.bars) if omit_rests else self.bars
        last = len(bars) - 1
        lines = (
            (stream_mark(i, last - i) if stream_marks else "")
            + "".join(f"[V:{voice}]{_printed(bar)}" for voice, bar in voices.items())
            for i, voices in enumerate(bars)
        )
        return "\n".join((*self.header, *lines)) + "\n"

    def omit_rests(self) -> Tune:
        """Leave out voices whose bar has no letter but ``z Z x X``; see :meth:`complete_rests`."""
        return replace(self, bars=rests.omit(self.bars))

    def complete_rests(self) -> Tune:
        """Give each voice that is missing from a bar a rest, as long as most of its voices."""
        whole_bar = (self.metre or Fraction(1)) / self.unit_length
        invisible = rests.invisible_voices(self.header)
        return replace(self, bars=rests.complete(self.bars, self.voices, invisible, whole_bar))

    def transpose(self, key: str) -> Tune:
        """Transpose to another of the 15 :data:`KEYS`, to the nearest octave (-5 to 6 semitones).

        A minor or modal tune goes by its relative major: E minor to ``"F"`` is D minor.
        Raises ValueError for another key name, or when the tune has no key.
        """
        fifths = key_fifths(key) - main_key(self.header).fifths
        return Tune(*transpose(self.header, self.bars, fifths))

    def alignment(self) -> Alignment:
        """Compare the voices: same barlines, same number of bars, same durations.

        A voice that is missing from a bar has a bar less: complete left-out rests first.
        """
        return Alignment(
            barlines=all(_same_barlines(voices) for voices in self.bars),
            bar_counts=all(len(voices) == len(self.voices) for voices in self.bars),
            durations=all(_same_durations(voices) for voices in self.bars),
        )

    def aligned_bars(self) -> list[bool]:
        """Agreement of the voices in barlines and duration, for each bar; [bars]."""
        return [_same_barlines(voices) and _same_durations(voices) for voices in self.bars]

    def _block(self, voice: str) -> Iterator[str]:
        bars = [voices[voice] for voices in self.bars]
        # Without a barline, a bar in the middle would run into the next; the last may have none.
        printed = [f"{bar.left} {bar.text} {bar.right or '|'}".strip() for bar in bars[:-1]]
        printed += [f"{bar.left} {bar.text} {bar.right}".strip() for bar in bars[-1:]]
        yield f"V:{voice}"
        for start in range(0, len(printed), _BARS_PER_LINE):
            yield " ".join(printed[start : start + _BARS_PER_LINE])


def parse_metre(field: str) -> Fraction | None:
    """The text after ``M:`` as a fraction of a whole note; None for free metre.

    Raises NotationError (a ValueError) for a field that is no metre.
    """
    if field in ("", "none"):
        return None
    if field in ("C", "C|"):
        return Fraction(1)
    if not _METRE.fullmatch(field):
        raise NotationError(f"M:{field} is not a metre; write it as M:3/4, M:C or M:none")
    beats, _, unit = field.partition("/")
    return Fraction(sum(int(beat) for beat in beats.strip("()").split("+")), int(unit))


def _printed(bar: Bar) -> str:
    left, text, right = bar.left, bar.text, bar.right
    # Behind these a blank, or they would be read as part of the barline: `.|`, `:|`, `[|`.
    return f"{left}{text} {right}" if text.endswith((".", ":", "[")) else f"{left}{text}{right}"


def _same_barlines(voices: Mapping[str, Bar]) -> bool:
    return len({(bar.left, bar.right) for bar in voices.values()}) <= 1


def _same_durations(voices: Mapping[str, Bar]) -> bool:
    """Whole-bar rests agree with any duration, a bar of unknown duration with none."""
    timed = [bar.text for bar in voices.values() if bar.text not in ("Z", "X")]
    durations = {bar_duration(text) for text in timed}
    return len(durations) <= 1 and None not in durations
