"""File formats: which are scores that are read, and what to do about others."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

SCORES: Final = (
    "MusicXML (.musicxml, .mxl, .xml), MIDI (.mid, .midi), Humdrum (.krn) and ABC (.abc)"
)

_SUFFIXES: Final = (".abc", ".krn", ".mid", ".midi", ".musicxml", ".mxl", ".xml")

_PROGRAMS: Final = {
    "MuseScore": ".mscz .mscx .mscs",
    "Sibelius": ".sib",
    "Finale": ".musx .mus",
    "Dorico": ".dorico",
    "Guitar Pro": ".gp .gp3 .gp4 .gp5 .gp6 .gp7 .gp8 .gpx .gtp",
    "Capella": ".cap .capx",
    "Encore": ".enc",
    "NoteWorthy Composer": ".nwc",
    "Notion": ".notion",
    "Overture": ".ove",
    "PriMus": ".pri",
    "LilyPond": ".ly",
    "MEI": ".mei",
}
_PICTURES: Final = ".pdf .ps .png .jpg .jpeg .gif .bmp .tif .tiff .webp .heic .svg"
_RECORDINGS: Final = ".mp3 .wav .flac .ogg .m4a .aac .aiff .wma"


def is_score(name: str) -> bool:
    """True if a file of that name is read; case does not matter."""
    return name.lower().endswith(_SUFFIXES)


def what_else(name: str) -> str:
    """Description of a file that is not read, and what to do about it."""
    suffix = PurePath(name).suffix.lower()
    for program, suffixes in _PROGRAMS.items():
        if suffix in suffixes.split():
            return (
                f"a score of {program}; open it there, or in MuseScore if that can, and export it "
                "as MusicXML"
            )
    if suffix in _PICTURES.split():
        return (
            "a picture of pages; a program that recognises music (Audiveris) makes MusicXML of it"
        )
    if suffix in _RECORDINGS.split():
        return "a recording; no program here writes it down"
    return f"a {suffix} file, which is no score" if suffix else "a file without an ending"
