"""MusicXML files to music21: archives, and what music21 10.5 refuses or misreads, mended before.

Each mend is a function named after what it is about; they change the XML before music21 sees it.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from fractions import Fraction
from typing import TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from music21 import stream
from music21.musicxml.xmlToM21 import MusicXMLImporter

from notagen.errors import ScoreError

Pitches: TypeAlias = Counter[tuple[str | None, ...]]
"""Step, alteration and octave of notes."""

_ARCHIVE = b"PK\x03\x04"
_MUSIC = ("note", "backup", "forward")
_SOUND = ("pitch", "unpitched", "chord", "tie", "accidental", "notehead", "beam", "notations")
_QUARTERS = 4  # of a whole note


def parse_musicxml(content: bytes) -> stream.Score:
    """Parse a MusicXML file, plain or as an archive, whatever its ending.

    Raises:
        ScoreError: it is no MusicXML by parts, or the archive holds none.
        ElementTree.ParseError, zipfile.BadZipFile: the file is damaged.
    """
    root = ElementTree.fromstring(document(content))
    if root.tag != "score-partwise":
        raise ScoreError(
            f"it is {root.tag}, and of MusicXML only score-partwise is read; "
            "a program such as MuseScore can export that"
        )
    for part in root.findall("part"):
        measures = part.findall("measure")
        _write_out_repeats(measures)
        _leave_out_tablature(part, measures)
        for measure in measures:
            _leave_out_functions(measure)
            if measure.find("note/notehead") is not None:
                _hide_slashes(measure)
    _shorten_measure_rests(root)
    _fold_octaves(root)
    importer = MusicXMLImporter()
    importer.xmlRootToScore(root, importer.stream)
    return importer.stream


def starts_archive(start: bytes) -> bool:
    """True if a file that starts with these bytes is a zip archive."""
    return start.startswith(_ARCHIVE)


def document(content: bytes) -> bytes:
    """The XML of a MusicXML file: of an archive, the one that its container names.

    Raises:
        ScoreError: the archive holds no MusicXML.
        zipfile.BadZipFile: it is damaged.
    """
    if not starts_archive(content):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        scores = [name for name in names if holds_score(name)]
        if "META-INF/container.xml" in names:
            container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
            # Without a namespace in most files, with one in some; the first is the score.
            roots = [
                one.get("full-path") for one in container.iter() if one.tag.endswith("rootfile")
            ]
            scores = [name for name in roots if name in names] + scores
        if not scores:
            raise ScoreError("its archive holds no MusicXML")
        return archive.read(scores[0])


def holds_score(name: str) -> bool:
    """True if a member of an archive may be a score, by its name."""
    return name.lower().endswith((".xml", ".musicxml")) and not name.startswith("META-INF")


def _fold_octaves(root: Element) -> None:
    """Count the octaves of a ``<transpose>`` as chromatic steps where no diatonic ones are given.

    music21 10.5 adds octaves to the diatonic steps, which are optional.
    """
    for transpose in root.iter("transpose"):
        octaves, chromatic = transpose.find("octave-change"), transpose.find("chromatic")
        if transpose.find("diatonic") is None and octaves is not None and chromatic is not None:
            steps = int(chromatic.text or 0) + 12 * int(octaves.text or 0)
            chromatic.text = str(steps)
            transpose.remove(octaves)


def _leave_out_functions(measure: Element) -> None:
    """Drop roman numerals, ``<harmony>`` without a root; music21 10.5 takes them for pitches."""
    for harmony in measure.findall("harmony"):
        if harmony.find("root") is None:
            measure.remove(harmony)


def _hide_slashes(measure: Element) -> None:
    """Turn notes with a slash for a head, which stand for rhythm alone, into hidden rests."""
    for note in measure.findall("note"):
        if _is_slash(note):
            if note.find("chord") is not None or note.find("grace") is not None:
                measure.remove(note)
                continue
            for child in [child for child in note if child.tag in _SOUND]:
                note.remove(child)
            note.insert(0, Element("rest"))
            note.set("print-object", "no")


def _is_slash(note: Element) -> bool:
    return (note.findtext("notehead") or "").strip() == "slash"


def _write_out_repeats(measures: Sequence[Element]) -> None:
    """Write out ``<measure-repeat>``: the bars before, once more; music21 10.5 leaves it out.

    A bar that has notes of its own keeps them.
    """
    if all(measure.find("attributes/measure-style") is None for measure in measures):
        return
    spans: dict[str, int] = {}  # by staff, "" for all: how many bars are repeated
    for index, measure in enumerate(measures):
        for style in measure.iter("measure-style"):
            repeat = style.find("measure-repeat")
            if repeat is not None:
                starts = repeat.get("type") == "start"
                spans[style.get("number", "")] = int(repeat.text or 1) if starts else 0
        for staff, span in spans.items():
            if 0 < span <= index:
                _copy_notes(measures[index - span], measure, staff)


def _copy_notes(source: Element, measure: Element, staff: str) -> None:
    """Replace the rests of a bar by the notes of another, in one staff or in all (``""``)."""
    if any(note.find("rest") is None and _in_staff(note, staff) for note in measure.iter("note")):
        return
    copies = [deepcopy(one) for one in source if one.tag in _MUSIC]
    if staff:
        _silence(measure, lambda note: _in_staff(note, staff))
        start = ElementTree.Element("backup")
        *_, (_, end) = _timed(measure)
        ElementTree.SubElement(start, "duration").text = _number_text(end)
        bar = ElementTree.Element("measure")
        bar.extend([start, *copies])
        _silence(bar, lambda note: not _in_staff(note, staff))
        copies = list(bar)
    else:
        for old in [one for one in measure if one.tag in _MUSIC]:
            measure.remove(old)
    right = next((i for i, one in enumerate(measure) if one.tag == "barline" and i), len(measure))
    measure[right:right] = copies


def _in_staff(element: Element, staff: str) -> bool:
    return not staff or element.findtext("staff", "1").strip() == staff


def _silence(measure: Element, chosen: Callable[[Element], bool]) -> None:
    """Replace the chosen notes by ``<forward>``, so that the others keep their time."""
    for index in reversed(range(len(measure))):
        note = measure[index]
        if note.tag != "note" or not chosen(note):
            continue
        if _moves(note):
            measure[index] = forward = Element("forward")
            ElementTree.SubElement(forward, "duration").text = note.findtext("duration")
        else:
            del measure[index]


def _moves(note: Element) -> bool:
    """True if what follows a note begins at its end."""
    return note.find("chord") is None and note.find("duration") is not None


def _timed(measure: Element) -> Iterator[tuple[Element, Fraction]]:
    """Yield the notes, rests and jumps of a bar, each with its end in divisions."""
    clock = Fraction(0)
    for element in measure:
        if element.tag == "backup":
            clock -= _duration(element)
        elif element.tag == "forward" or (element.tag == "note" and _moves(element)):
            clock += _duration(element)
        else:
            continue
        yield element, clock


def _duration(element: Element) -> Fraction:
    return Fraction((element.findtext("duration") or "0").strip())


def _leave_out_tablature(part: Element, measures: Sequence[Element]) -> None:
    """Keep one of two staves that hold the same notes, a guitar's and its tablature.

    A tablature that stands alone gets the clef of guitars.
    """
    clefs = list(part.iter("clef"))
    tablature = {_number(clef) for clef in clefs if clef.findtext("sign") == "TAB"}
    tablature -= {_number(clef) for clef in clefs if clef.findtext("sign") != "TAB"}
    if not tablature:
        return
    for staff in sorted(tablature):
        if all(_doubled(measure, staff) for measure in measures):
            for measure in measures:
                _remove_staff(measure, staff)
    for clef in clefs:
        if clef.findtext("sign") == "TAB":
            number = clef.get("number")
            clef.clear()
            clef.attrib.update({"number": number} if number else {})
            for tag, text in (("sign", "G"), ("line", "2"), ("clef-octave-change", "-1")):
                ElementTree.SubElement(clef, tag).text = text


def _number(element: Element) -> str:
    """Number of the staff that a clef, key or the like belongs to."""
    return element.get("number", "1")


def _doubled(measure: Element, staff: str) -> bool:
    """True if the notes of a staff all stand in others of the part, too."""
    own, others = Pitches(), Pitches()
    for note in measure.findall("note"):
        pitch = note.find("pitch")
        if pitch is not None:
            named = tuple(pitch.findtext(tag) for tag in ("step", "alter", "octave"))
            (own if _in_staff(note, staff) else others)[named] += 1
    return own <= others


def _remove_staff(measure: Element, staff: str) -> None:
    """Take a staff out of a bar of a part; the staves below it move up."""
    _silence(measure, lambda note: _in_staff(note, staff))
    for element in list(measure):
        if element.tag in ("direction", "harmony") and element.findtext("staff") == staff:
            measure.remove(element)
    for attributes in measure.findall("attributes"):
        for element in list(attributes):
            if element.get("number") == staff:
                attributes.remove(element)
            elif element.tag == "staves":
                element.text = str(int(element.text or 1) - 1)
            elif int(element.get("number", 0)) > int(staff):
                element.set("number", str(int(_number(element)) - 1))
    for element in measure.iter("staff"):
        if int(element.text or 1) > int(staff):
            element.text = str(int(element.text or 1) - 1)


def _shorten_measure_rests(root: Element) -> None:
    """Give measure rests in a bar shorter than its metre the length that the bar has.

    music21 10.5 fills it up, and moves a pickup to the beginning of the bar.
    """
    parts = [part.findall("measure") for part in root.findall("part")]
    short = [one for measures in parts for one in _short_measure_rests(measures)]
    lengths = {index: _length(parts, index) for index, *_ in short}
    for index, note, full, divisions in short:
        rest, duration = note.find("rest"), note.find("duration")
        if 0 < lengths[index] < full and rest is not None and duration is not None:
            del rest.attrib["measure"]
            duration.text = _number_text(lengths[index] * divisions)


def _short_measure_rests(
    measures: Sequence[Element],
) -> Iterator[tuple[int, Element, Fraction, Fraction]]:
    """Yield the measure rests of a part that are shorter than the metre.

    Each with the index of its bar, the metre's length in quarters and the divisions of a quarter.
    """
    divisions, full = Fraction(1), Fraction(0)
    for index, measure in enumerate(measures):
        if measure.find("attributes") is not None:
            divisions = Fraction(measure.findtext("attributes/divisions") or divisions)
            full = _full_length(measure) or full
        if any(_is_whole(rest) for rest in measure.iter("rest")):
            for note in measure.findall("note"):
                if _is_whole(note.find("rest")) and _duration(note) < full * divisions:
                    yield index, note, full, divisions


def _is_whole(rest: Element | None) -> bool:
    return rest is not None and rest.get("measure") == "yes"


def _length(parts: Sequence[Sequence[Element]], index: int) -> Fraction:
    """Length in quarters of a bar's longest part, measure rests aside.

    A pickup in which all parts rest is as long as they say.
    """
    longest = Fraction(0)
    for measures in parts:
        divisions = _divisions(measures[: index + 1])
        for element, end in _timed(measures[index]) if index < len(measures) else ():
            pickup = measures[index].get("implicit") == "yes"
            if pickup or not _is_whole(element.find("rest")):
                longest = max(longest, end / divisions)
    return longest


def _divisions(measures: Sequence[Element]) -> Fraction:
    """Parts of a quarter that durations count in, in the last of these bars."""
    found = (measure.findtext("attributes/divisions") for measure in reversed(measures))
    return Fraction(next(filter(None, found), "1").strip())


def _full_length(measure: Element) -> Fraction:
    """Length in quarters of the metre that a bar begins with; 0 without one."""
    times = [
        (beats.text or "0", int(unit.text or 1))
        for time in measure.findall("attributes/time")[:1]
        for beats, unit in zip(time.findall("beats"), time.findall("beat-type"), strict=False)
    ]
    return sum(
        (Fraction(sum(map(int, beats.split("+"))) * _QUARTERS, unit) for beats, unit in times),
        Fraction(0),
    )


def _number_text(number: Fraction) -> str:
    return str(number) if number.denominator == 1 else str(float(number))
