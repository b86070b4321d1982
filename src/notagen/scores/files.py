"""Score files: MusicXML, MIDI, Humdrum kern and ABC tunebooks, to tunes and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from music21 import converter, stream
from music21.exceptions21 import Music21Exception
from music21.midi.translate import streamToMidiFile
from music21.musicxml.m21ToXml import GeneralObjectExporter

from notagen.errors import ScoreError, UserError
from notagen.notation import Tune
from notagen.scores.from_music21 import from_music21
from notagen.scores.to_music21 import to_music21

Entry: TypeAlias = str | stream.Score  # a tune of a file: its ABC, or what music21 parsed

_FIELD = re.compile(r"(?P<letter>[A-Za-z]):")
_TUNE = re.compile(r"^X:", re.MULTILINE)
_BLANK = re.compile(r"\n[ \t]*\n\s*")
_COMMENT = re.compile(r"^([A-Za-z]:[^%\n]*?)[ \t]*%.*$", re.MULTILINE)
_GOES_ON = re.compile(r"V:|\[V:|%%")


def to_musicxml(tune: Tune) -> str:
    """Write a tune as MusicXML (partwise, uncompressed).

    Raises:
        ScoreError: (a ValueError) the tune holds what no score can, such as a 500th note.
    """
    with _writing("MusicXML"):
        score = to_music21(tune)
        score.splitAtDurations(recurse=True)
        exporter = GeneralObjectExporter(score)
        exporter.makeNotation = False  # it would break up notes in bars longer than their metre
        return str(exporter.parse().decode("utf-8"))


def to_midi(tune: Tune) -> bytes:
    """Write a tune as a Standard MIDI File.

    Raises:
        ScoreError: (a ValueError) the tune holds what no score can.
    """
    with _writing("MIDI"):
        return bytes(streamToMidiFile(to_music21(tune).toSoundingPitch()).writestr())


@contextmanager
def _writing(kind: str) -> Iterator[None]:
    try:
        yield
    except Music21Exception as error:
        raise ScoreError(f"this tune can't be written as {kind}: {error}") from error


def read(path: Path | str) -> list[Tune]:
    """Read all tunes of a score file; see :func:`read_each`.

    Raises:
        ScoreError: (a ValueError) the file, or one tune in it, can't be read.
    """
    tunes: list[Tune] = []
    for tune in read_each(path):
        if isinstance(tune, ScoreError):
            raise tune
        tunes.append(tune)
    return tunes


def read_each(path: Path | str) -> Iterator[Tune | ScoreError]:
    """Read a score file tune by tune: what is wrong with one does not lose the others.

    MusicXML (also compressed), MIDI, **kern and all else that music21 reads goes through music21.
    ABC is read by our own parser, since music21's misplaces notes in broken rhythm; music21's
    reads what ours refuses, such as music without bar lines. Tunes in NotaGen's dialect (with
    ``%%score`` and voices by number) are taken as they are, others are brought into it.

    Yields:
        each tune, or the ScoreError that says why it, or the whole file, can't be read.
    """
    path = Path(path)
    try:
        for number, entry in enumerate(entries(path), start=1):
            try:
                yield _tune(entry)
            except Exception as error:  # music21 fails in any way on what it does not expect
                yield failure(f"{path}: tune {number}", error)
    except Exception as error:  # and so do its parsers on files that are no scores
        yield failure(str(path), error)


def entries(path: Path) -> Iterator[Entry]:
    """Yield the tunes of a file, each as its ABC text or as the score that music21 parsed.

    Raises ScoreError when there is no such file, and whatever music21 raises.
    """
    if not path.is_file():
        raise ScoreError("there is no such file.")
    if path.suffix.lower() == ".abc":
        yield from split_tunes(_decoded(path.read_bytes()))
        return
    parsed = converter.parse(path, forceSource=True)
    for score in parsed.scores if isinstance(parsed, stream.Opus) else [parsed]:
        yield _in_measures(score)


def original(entry: Entry) -> stream.Score:
    """Return a tune of a file as a score.

    Raises:
        UserError: (a ValueError) neither our parser nor music21's can make sense of its ABC.
    """
    if isinstance(entry, stream.Score):
        return entry
    if not any(line.startswith("K:") for line in entry.split("\n")):
        raise ScoreError("the text has no K: field, without which it is no ABC tune.")
    try:
        return to_music21(Tune.parse(entry))
    except UserError as refused:
        try:  # without a version, music21 forgets an accidental after the note it stands before
            return _in_measures(converter.parseData(f"%abc-2.1\n{entry}", format="abc"))
        except Exception:
            raise refused from None


def _tune(entry: Entry) -> Tune:
    if isinstance(entry, str) and "%%score" in entry:
        tune = Tune.parse(entry)
        if all(voice.isdigit() for voice in tune.voices):
            return tune
    return from_music21(original(entry))


def _decoded(content: bytes) -> str:
    """Decode UTF-8, else Latin-1, in which ABC was written before version 2.1."""
    if b"\0" in content:
        raise ScoreError("the file is binary, not ABC.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _in_measures(score: stream.Stream) -> stream.Score:
    """Make what music21 parsed a score whose parts all have measures."""
    if not isinstance(score, stream.Score):
        score = stream.Score([score])
    for part in score.parts:
        if not part.hasMeasures():
            part.makeMeasures(inPlace=True)
    return score


def failure(place: str, error: Exception) -> ScoreError:
    """Say in one sentence what went wrong, and where."""
    kind = "" if isinstance(error, UserError) else "can't be read as a score: "
    failure = ScoreError(f"{place}: {kind}{error or type(error).__name__}")
    failure.__cause__ = error
    return failure


def split_tunes(text: str) -> Iterator[str]:
    """Yield the tunes of an ABC text, each with those fields of the file's header that it lacks.

    A text without ``X:`` is one tune. A tune ends with a blank line; but one within its header, or
    before the music of another voice, is passed over. Words between tunes, and comments behind
    fields, are left out.
    """
    text = _COMMENT.sub(r"\1", text.replace("\r\n", "\n").replace("\r", "\n"))
    starts = [match.start() for match in _TUNE.finditer(text)]
    if not starts:
        yield text
        return
    shared = [line for line in text[: starts[0]].split("\n") if _FIELD.match(line)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield _with_fields(shared, _without_words(text[start:end]))


def _without_words(text: str) -> str:
    """Drop what follows a tune after a blank line."""
    tune, *sections = _BLANK.split(text)
    for section in sections:
        if "\nK:" in tune and not _GOES_ON.match(section):
            break
        tune += f"\n{section}"
    return tune


def _with_fields(shared: Sequence[str], tune: str) -> str:
    """Put shared fields below the tune's number, but for those that the tune has itself."""
    number, *lines = tune.split("\n")
    own = {match["letter"] for line in lines if (match := _FIELD.match(line))}
    inherited = (line for line in shared if line[0] not in own)
    return "\n".join((number, *inherited, *lines))
