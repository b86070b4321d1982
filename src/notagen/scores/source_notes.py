"""Counts of the notes in a score file, by its text and not by the reader, to check the reader by.

Notes of a tie and of a chord count one by one, grace notes too; rests and hidden notes do not.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from notagen.scores.abc_source import decoded, split_tunes
from notagen.scores.musicxml import document

# Lines of an ABC tune without music: `T:title`, `+:continued`, `%%text`. A letter of a note and
# the colon of a barline are music: `A:|`.
_NO_MUSIC = re.compile(r"\s*(?:%|\+:|[H-WYZh-wyz]:|[A-GXa-gx]:(?![:|\]]|\[\|))")
# What holds letters that are no notes: `"Am7"`, `!fade!`, `+accent+`, `[K:D]`, a comment.
_WORDS = re.compile(
    r"""(?<!\\)%.*|"[^"]*"|![^!\s|]+!|\[[A-Za-z]:[^][]*\]
    |\+(?=[^+\s|]*[h-zH-Z<>.]|(?:[mpf]|pp+|ff+|mf|sf|fz)\+)[^+\s|]+\+""",
    re.VERBOSE,
)
_NOTE = re.compile(r"[A-Ga-g]")


def counts(path: Path) -> list[int] | None:
    """Notes of each tune of a file, in order; None where nothing here counts its format.

    The file must have passed :func:`notagen.corpus.guards.check`.
    """
    content = path.read_bytes()
    match path.suffix.lower():
        case ".abc":
            return [_abc(tune) for tune in split_tunes(decoded(content))]
        case ".krn":
            return count_kern(decoded(content))
        case ".musicxml" | ".mxl" | ".xml":
            return [count_musicxml(document(content))]
        case ".mid" | ".midi":
            total = count_midi(content)
            # Drums that share a place on their staff are written once.
            return [total] if total == count_midi(content, drums=False) else None
    return None


def _abc(tune: str) -> int:
    """Letters of notes in the music lines of an ABC tune, which begin after its first ``K:``."""
    _, _, music = f"\n{tune}".partition("\nK:")
    lines = (line for line in music.split("\n")[1:] if not _NO_MUSIC.match(line))
    return sum(len(_NOTE.findall(_WORDS.sub("", line))) for line in lines)


_KERN_NOTE = re.compile(r"[^r\s]*[a-gA-G][^r\s]*")


def count_kern(text: str) -> list[int]:
    """Notes in the **kern spines of a Humdrum file: a number for each run of spines, to ``*-``."""
    counts: list[int] = []
    columns: list[tuple[int, str]] = []  # spine and its kind
    for number, line in enumerate(text.splitlines()):
        tokens = re.split("\t+", line.rstrip())
        if not line.strip() or line.startswith(("!", "=")):
            continue
        if line.startswith("**") and not columns:
            columns = list(enumerate(token[2:] for token in tokens))
            if "**kern" in tokens:
                counts.append(0)
        elif line.startswith("*"):
            columns = _columns_after(columns, tokens, number)
        else:
            for (_, kind), token in zip(columns, tokens, strict=False):
                if kind == "kern":
                    counts[-1] += len(_KERN_NOTE.findall(token))
    return counts


def _columns_after(
    columns: list[tuple[int, str]], tokens: list[str], number: int
) -> list[tuple[int, str]]:
    """Columns after a line of interpretations: spines that split, join, end, begin, or cross."""
    after: list[tuple[int, str]] = []
    crossing: list[tuple[int, str]] = []
    for (path, column), same in groupby(zip(tokens, columns, strict=False)):
        for _ in range(1 if path == "*v" else len(list(same))):
            if path.startswith("**"):
                after.append((column[0], path[2:]))
            elif path == "*x":
                crossing.append(column)
                if len(crossing) == 2:
                    after += reversed(crossing)
                    crossing = []
            elif path != "*-":
                after += [column, column] if path == "*^" else [column]
            if path == "*+":
                after.append((-number, ""))  # its kind stands in the next line
    return after


def count_musicxml(root: Element | str | bytes) -> int:
    """Notes of a MusicXML document (score-partwise), percussion included.

    Slash heads and notes that are not printed do not count, nor does a tablature that doubles
    another staff of its part; bars repeated by ``<measure-repeat>`` count once more.

    Raises:
        ElementTree.ParseError: it is not well-formed.
    """
    if isinstance(root, str | bytes):
        root = ElementTree.fromstring(root)
    return sum(_count_part(part) for part in root.findall("part"))


def _count_part(part: Element) -> int:
    clefs = {clef.get("number", "1"): clef.findtext("sign") for clef in part.iter("clef")}
    measures = [list(filter(_sounds, measure.findall("note"))) for measure in part.iter("measure")]
    doubles = {
        staff
        for staff, sign in clefs.items()
        if sign == "TAB" and all(_doubled(notes, staff) for notes in measures)
    }
    counts: list[Counter[str]] = []  # of each bar, by staff
    spans: dict[str, int] = {}  # bars that are repeated, by staff, "" for all
    for measure, notes in zip(part.iter("measure"), measures, strict=True):
        own = Counter(_staff(note) for note in notes if _staff(note) not in doubles)
        for style in measure.iter("measure-style"):
            for repeat in style.iter("measure-repeat"):
                starts = repeat.get("type") == "start"
                spans[style.get("number", "")] = int(repeat.text or 1) if starts else 0
        for staff, span in spans.items():
            for one in counts[-span] if 0 < span <= len(counts) else ():
                if staff in ("", one) and not own[one]:
                    own[one] = counts[-span][one]
        counts.append(own)
    return sum(count.total() for count in counts)


def _doubled(notes: list[Element], staff: str) -> bool:
    """True if other staves have all pitches of a staff, in one bar."""
    own = Counter(_pitch(note) for note in notes if _staff(note) == staff)
    others = Counter(_pitch(note) for note in notes if _staff(note) != staff)
    return own <= others


def _staff(note: Element) -> str:
    return note.findtext("staff", "1").strip()


def _pitch(note: Element) -> str:
    pitch = note.find("pitch")
    return "" if pitch is None else "".join("".join(pitch.itertext()).split())


def _sounds(note: Element) -> bool:
    return (
        (note.find("pitch") is not None or note.find("unpitched") is not None)
        and note.get("print-object") != "no"
        and (note.findtext("notehead") or "").strip() != "slash"
    )


def count_midi(source: Path | str | bytes, *, drums: bool = True) -> int:
    """Count the note-ons of a Standard MIDI File, given as its path or content.

    A note-on of velocity 0 is an end, and does not count. A damaged end of a track is left out.
    Without ``drums``, what is on channel 10 does not count.
    """
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    count, position = 0, 8 + int.from_bytes(content[4:8], "big")
    while position + 8 <= len(content):
        kind, length = content[position : position + 4], content[position + 4 : position + 8]
        start = position + 8
        position = start + int.from_bytes(length, "big")
        if kind == b"MTrk":
            count += _count_track(content[start:position], drums)
    return count


def _count_track(data: bytes, drums: bool) -> int:
    count, position, status = 0, 0, 0
    while position < len(data):
        _, position = _variable(data, position)  # ticks since the last event
        if position >= len(data):
            break
        if data[position] & 0x80:
            status = data[position]
            position += 1
        if status in (0xF0, 0xF7):  # system exclusive
            length, position = _variable(data, position)
            position += length
        elif status == 0xFF:
            length, position = _variable(data, position + 1)
            position += length
        elif status >> 4 in (0xC, 0xD):  # program, pressure: one byte of data
            position += 1
        else:
            struck = status >> 4 == 0x9 and position + 1 < len(data) and data[position + 1] > 0
            count += struck and (drums or status & 0xF != 9)
            position += 2
    return count


def _variable(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the position behind it."""
    number = 0
    while position < len(data):
        byte = data[position]
        number, position = number << 7 | byte & 0x7F, position + 1
        if byte < 0x80:
            break
    return number, position
