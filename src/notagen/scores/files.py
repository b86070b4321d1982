"""Score files: MusicXML and MIDI out, anything music21 reads in."""

from __future__ import annotations

from pathlib import Path

from music21 import converter, stream
from music21.midi.translate import streamToMidiFile
from music21.musicxml.m21ToXml import GeneralObjectExporter

from notagen.errors import UserError
from notagen.notation import Tune
from notagen.scores.building import to_music21
from notagen.scores.errors import ScoreError
from notagen.scores.reading import from_music21


def to_musicxml(tune: Tune) -> str:
    """Write a tune as MusicXML (partwise, uncompressed)."""
    score = to_music21(tune)
    score.splitAtDurations(recurse=True)
    exporter = GeneralObjectExporter(score)
    exporter.makeNotation = False  # it would break up notes in bars longer than their metre
    return str(exporter.parse().decode("utf-8"))


def to_midi(tune: Tune) -> bytes:
    """Write a tune as a Standard MIDI File."""
    return bytes(streamToMidiFile(to_music21(tune).toSoundingPitch()).writestr())


def read(path: Path | str) -> list[Tune]:
    """Read a score file: MusicXML (also compressed), MIDI, **kern, ABC, or what music21 reads.

    ABC in NotaGen's dialect is taken as it is; other ABC, which may hold many tunes, goes through
    music21.

    Raises:
        ScoreError: (a ValueError) the file is missing, no score, or can't be written as ABC.
    """
    path = Path(path)
    if not path.is_file():
        raise ScoreError(f"{path}: there is no such file.")
    try:
        if path.suffix == ".abc":
            return _read_abc(path.read_text(encoding="utf-8"))
        return _tunes(converter.parse(path, forceSource=True))
    except UserError as error:
        raise ScoreError(f"{path}: {error}") from error
    except Exception as error:  # music21's parsers fail in any way on files that are no scores
        raise ScoreError(f"{path} can't be read as a score: {error}") from error


def _read_abc(text: str) -> list[Tune]:
    if "%%score" in text or "\nX:" not in f"\n{text}":
        return [Tune.parse(text)]
    # Without a version, music21 forgets an accidental after the note it stands before.
    return _tunes(converter.parseData(f"%abc-2.1\n{text}", format="abc"))


def _tunes(parsed: stream.Stream) -> list[Tune]:
    """Write what music21 parsed, barring parts that have no measures."""
    scores = parsed.scores if isinstance(parsed, stream.Opus) else [parsed]
    tunes = []
    for score in scores:
        if not isinstance(score, stream.Score):
            score = stream.Score([score])
        for part in score.parts:
            if not part.hasMeasures():
                part.makeMeasures(inPlace=True)
        tunes.append(from_music21(score))
    return tunes
