"""Score files for the tests of this folder: small, and different from one another."""

from __future__ import annotations

import random
from pathlib import Path

from notagen.notation import Tune
from notagen.scores import to_musicxml

HEADER = "X:1\nT:A melody\nM:4/4\nL:1/8\nK:C\n"


def melody(seed: int, bars: int = 12) -> str:
    """ABC music of one voice, eight notes a bar, that no other seed has."""
    draw = random.Random(seed)
    return "".join("".join(draw.choices("CDEFGABcde", k=8)) + "|" for _ in range(bars)) + "]"


def abc(music: str, key: str = "C") -> str:
    """A tune as found in the wild."""
    return HEADER.replace("K:C", f"K:{key}") + music + "\n"


def musicxml(seed: int, key: str = "C", bars: int = 12) -> str:
    """A melody as MusicXML, moved to a key."""
    text = f'%%score 1\nL:1/8\nM:4/4\nK:C\nV:1 treble nm="Flute"\nV:1\n{melody(seed, bars)}\n'
    return to_musicxml(Tune.parse(text).transpose(key))


def write_melodies(folder: Path, seeds: range) -> None:
    """Fill a folder with ABC files ``000.abc`` and so on, one melody each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:03}.abc").write_text(abc(melody(seed)))
