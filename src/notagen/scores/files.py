"""Score files: MusicXML and MIDI out, anything music21 reads in."""

from __future__ import annotations

from music21.midi.translate import streamToMidiFile
from music21.musicxml.m21ToXml import GeneralObjectExporter

from notagen.notation.tune import Tune
from notagen.scores.building import to_music21


def to_musicxml(tune: Tune) -> str:
    """Write a tune as MusicXML (partwise, uncompressed)."""
    score = to_music21(tune)
    score.splitAtDurations(recurse=True)
    exporter = GeneralObjectExporter(score)
    exporter.makeNotation = False  # it would break up notes in bars longer than their metre
    return str(exporter.parse().decode("utf-8"))


def to_midi(tune: Tune) -> bytes:
    """Write a tune as a Standard MIDI File."""
    return bytes(streamToMidiFile(to_music21(tune)).writestr())
