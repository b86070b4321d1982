"""Score files: read MusicXML, MIDI, Humdrum kern and ABC tunebooks; write MusicXML and MIDI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from music21 import converter, note, stream
from music21.musicxml.m21ToXml import GeneralObjectExporter

from notagen.errors import ScoreError, UserError
from notagen.notation import Tune
from notagen.scores.abc_source import decoded, for_music21, plain, split_tunes
from notagen.scores.from_midi import from_midi
from notagen.scores.from_music21 import from_music21
from notagen.scores.kern import parse_kern
from notagen.scores.musicxml import parse_musicxml
from notagen.scores.performance import perform
from notagen.scores.to_midi import midi_file
from notagen.scores.to_music21 import to_music21

Entry: TypeAlias = str | stream.Score
"""A tune of a file: its ABC text, or the score that music21 parsed."""

MUSICXML = (".musicxml", ".mxl", ".xml")
_MIDI = (".mid", ".midi")


def to_musicxml(tune: Tune) -> str:
    """Convert a tune to MusicXML (partwise, uncompressed).

    Raises:
        ScoreError: (a ValueError) music21 can't write the tune, such as a 500th note.
    """
    with _music21_errors("MusicXML"):
        score = to_music21(tune)
        for rest in score.recurse().getElementsByClass(note.Rest):
            # music21 10.5 splits no rest that fills its bar, and cannot write one of nine eighths.
            rest.fullMeasure = rest.fullMeasure if rest.duration.type != "complex" else False
        score.splitAtDurations(recurse=True)
        exporter = GeneralObjectExporter(score)
        exporter.makeNotation = False  # it would break up notes in bars longer than their metre
        return str(exporter.parse().decode("utf-8"))


def to_midi(tune: Tune) -> bytes:
    """Convert a tune to a Standard MIDI File, repeats played and drums on channel 10.

    Raises:
        ScoreError: (a ValueError) music21 can't write the tune.
    """
    with _music21_errors("MIDI"):
        return midi_file(perform(tune))


@contextmanager
def _music21_errors(kind: str) -> Iterator[None]:
    """Raise music21's errors, which may be of any type on unusual scores, as ScoreError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
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
    """Read a score file tune by tune; an error in one does not lose the others.

    MusicXML (also compressed) and all other formats of music21 are read by music21, what it
    misreads changed before. MIDI is read by :func:`notagen.scores.from_midi.from_midi`: music21's
    reader loses metres, spells without regard to the key, and takes twice as long or more. **kern
    is read by :func:`notagen.scores.kern.parse_kern`: music21's loses spines that split
    again. ABC is read by our own parser, since music21's misplaces notes in broken rhythm;
    music21's is the second choice, for music without bar lines and the like. Tunes in NotaGen's
    dialect (with ``%%score`` and voices by number) are taken as they are, others are converted to
    it.

    Yields:
        each tune, or a ScoreError with the reason why it, or the whole file, can't be read.
    """
    path = Path(path)
    try:
        for number, entry in enumerate(entries(path), start=1):
            try:
                yield _tune(entry)
            except Exception as error:  # music21 raises errors of any type on unusual scores
                yield failure(f"{path}: tune {number}", error)
    except Exception as error:  # and its parsers do so on files that are no scores
        yield failure(str(path), error)


def entries(path: Path) -> Iterator[Entry]:
    """Yield the tunes of a file, each as its ABC text or as the score that music21 parsed.

    Raises ScoreError when there is no such file, and any error of music21.
    """
    if not path.is_file():
        raise ScoreError("there is no such file.")
    suffix = path.suffix.lower()
    if suffix == ".abc":
        yield from split_tunes(decoded(path.read_bytes()))
        return
    if suffix == ".krn":
        yield from map(_in_measures, parse_kern(decoded(path.read_bytes())))
        return
    if suffix in MUSICXML:
        yield _in_measures(parse_musicxml(path.read_bytes()))
        return
    if suffix in _MIDI:
        yield from_midi(path.read_bytes())
        return
    parsed = converter.parse(path, forceSource=True)  # not from music21's cache of pickles
    for score in parsed.scores if isinstance(parsed, stream.Opus) else [parsed]:
        yield _in_measures(score)


def original(entry: Entry) -> stream.Score:
    """The music21 score of a tune of a file.

    Raises:
        UserError: (a ValueError) neither our parser nor music21's can parse its ABC.
    """
    if isinstance(entry, stream.Score):
        return entry
    if not any(line.startswith("K:") for line in entry.split("\n")):
        raise ScoreError("the text has no K: field, without which it is no ABC tune.")
    entry = plain(entry)
    try:
        return to_music21(Tune.parse(entry))
    except UserError as refused:
        try:
            return _in_measures(converter.parseData(for_music21(entry), format="abc"))
        except Exception:
            raise refused from None


def _tune(entry: Entry) -> Tune:
    if isinstance(entry, str) and "%%score" in entry:
        tune = Tune.parse(plain(entry))
        # Notes in other octaves than written.
        moved = any("octave=" in line for line in tune.header)
        if all(voice.isdigit() for voice in tune.voices) and not moved:
            return tune
    return from_music21(original(entry))


def _in_measures(score: stream.Stream) -> stream.Score:
    """A score with measures in all its parts, from any stream that music21 parsed."""
    if not isinstance(score, stream.Score):
        score = stream.Score([score])
    for part in score.parts:
        if not part.hasMeasures():
            part.makeMeasures(inPlace=True)
    if not any(part.hasMeasures() for part in score.parts):
        raise ScoreError("it holds no bar of music.")
    return score


def failure(source: str, error: Exception) -> ScoreError:
    """A ScoreError of one sentence that names the source of an error, such as a file."""
    kind = "" if isinstance(error, UserError) else "can't be read as a score: "
    failure = ScoreError(f"{source}: {kind}{error or type(error).__name__}")
    failure.__cause__ = error
    return failure
