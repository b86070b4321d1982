"""Accidentals: what is written before a note, and what it means, given key and bar."""

from __future__ import annotations

from notagen.notation.keys import LETTERS, Key, accidental, alteration


class Spelling:
    """The accidentals in force in one voice: the key's, then the bar's, per letter and octave.

    A note that ends a tie keeps the accidental of the note it is tied to, without changing the
    bar's (``_e-|e e``: flat, flat by the tie, then what the key says).
    """

    def __init__(self, key: Key) -> None:
        self._bar: dict[tuple[str, int], int] = {}
        self.set_key(key)

    def set_key(self, key: Key) -> None:
        """Start a new key signature; it cancels the bar's accidentals."""
        self._key = dict(zip(LETTERS, key.signature, strict=True))
        self._bar.clear()

    def start_bar(self) -> None:
        """Forget the accidentals of the last bar."""
        self._bar.clear()

    def sign(self, letter: str, octave: int, alter: int, tied: int | None, shown: bool) -> str:
        """Return the sign to write before a note, and remember it.

        ``tied`` is the alteration that a tie hands over, or None; ``shown`` asks for a sign even
        where it is not needed, as a courtesy accidental.
        """
        if alter == self._expected(letter, octave, tied) and not shown:
            return ""
        self._bar[letter, octave] = alter
        return accidental(alter)

    def alter(self, letter: str, octave: int, sign: str, tied: int | None) -> int:
        """Return the alteration of a written note: the inverse of ``sign``."""
        if sign:
            self._bar[letter, octave] = alteration(sign)
        return alteration(sign) if sign else self._expected(letter, octave, tied)

    def _expected(self, letter: str, octave: int, tied: int | None) -> int:
        return self._bar.get((letter, octave), self._key[letter]) if tied is None else tied


def abc_letter(letter: str, octave: int) -> str:
    """Write a pitch of scientific octave ``octave`` (4 holds middle C) without its accidental."""
    if octave >= 5:
        return letter.lower() + "'" * (octave - 5)
    return letter + "," * (4 - octave)
