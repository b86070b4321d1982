"""Percussion: keys of General MIDI and the places on a percussion staff where they are printed."""

from __future__ import annotations

from typing import Final

# One key for each place, as notation programs have them; it is what a note of the place plays.
_KEY: Final = {
    "D4": 44,  # hi-hat by foot
    "E4": 35,  # second bass drum
    "F4": 36,  # bass drum
    "G4": 41,  # low floor tom
    "A4": 43,  # floor tom
    "B4": 45,  # low tom
    "C5": 38,  # snare
    "D5": 47,  # middle tom
    "E5": 50,  # high tom
    "F5": 51,  # ride cymbal
    "G5": 42,  # hi-hat
    "A5": 49,  # crash cymbal
    "B5": 55,  # splash cymbal
    "C6": 54,  # tambourine
    "D6": 56,  # cowbell
    "C4": 64,  # hand drums and the rest
}
_PLACE: Final = {key: place for place, key in _KEY.items()} | {
    37: "C5",
    39: "C5",
    40: "C5",
    46: "G5",
    48: "D5",
    52: "B5",
    53: "F5",
    57: "A5",
    59: "F5",
}


def drum_place(key: int) -> tuple[str, int]:
    """Letter and octave at which a percussion key is printed; C4 for keys without a place."""
    place = _PLACE.get(key, "C4")
    return place[0], int(place[1])


def drum_key(letter: str, octave: int) -> int:
    """Percussion key that a place of the staff plays; the snare for unknown places."""
    return _KEY.get(f"{letter}{octave}", _KEY["C5"])
