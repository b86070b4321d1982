"""A prepared piece in 15 keys: one interval for all notes, and words stay as they are."""

from pathlib import Path

import pytest
from music21 import corpus, note

from notagen.corpus.reader import Reader
from notagen.corpus.sources import UNKNOWN, Source, music21
from notagen.corpus.workers import Failure, Limits, each
from notagen.notation import KEYS, Tune, semitones_between
from notagen.notation.pitches import sounds
from notagen.scores import to_music21

WORDS = (
    "%%score { 1 | 2 }\nL:1/8\nM:4/4\nK:Emin\nV:1 treble\nV:2 bass\n"
    'V:1\n"^Coda" E2 ^F2 G2 ^D2 | "^Fine" [EG]4 {a}b4 | "Em" E8 | [K:C] "_D.C. al Fine" C4 F4 |\n'
    '"A7" A8 | "G/B" !trill!B8 | (3CDE (3EFG C4 | "^Gracioso" _B4 =B4 |]\n'
    "V:2\nE,8 | B,,8 | E,8 | [K:C] C,8 | C,8 | G,,8 | C,8 | C,8 |]\n"
)


def prepared(path: Path) -> Tune:
    [piece] = Reader(10_000_000)(Source(path.name, path, UNKNOWN))["pieces"]
    return Tune.parse(piece["row"]["text"])


def pitches(tune: Tune) -> list[int]:
    """MIDI numbers of all notes in order, as music21 hears them; chord symbols are no notes."""
    found = to_music21(tune).recurse().getElementsByClass(note.NotRest)
    notes = [sound for sound in found if "ChordSymbol" not in sound.classes]
    return [pitch.midi for sound in notes for pitch in sorted(sound.pitches)]


@pytest.mark.parametrize("work", ["bach/bwv269.mxl", "schumann_robert/opus48no2.mxl"])
def test_all_notes_move_by_one_interval_in_every_key(work):
    tune = prepared(Path(str(corpus.getWork(work))))
    before = pitches(tune)
    assert len(before) > 100
    for key in KEYS:
        interval = semitones_between(tune.key, key)
        assert pitches(tune.transpose(key)) == [pitch + interval for pitch in before], key


def test_words_stay_and_chord_symbols_move(tmp_path):
    path = tmp_path / "words.abc"
    path.write_text(WORDS)
    tune = prepared(path)
    assert len(tune.bars) == 8
    for key in KEYS:
        text = tune.transpose(key).to_interleaved()
        for words in ('"^Coda"', '"^Fine"', '"_D.C. al Fine"', '"^Gracioso"'):
            assert text.count(words) == 1
    moved = tune.transpose("A").to_interleaved()
    assert '"F#m"' in moved
    assert '"A/C#"' in moved


def strays(source: Source) -> list[str]:
    """Pieces of a file, and keys in which not all of their notes have moved alike."""
    rows = [piece["row"] for piece in Reader(50_000_000)(source)["pieces"]]
    return [
        f"{row['piece']} in {key}"
        for row in rows
        for key in KEYS
        if not moves_alike(Tune.parse(row["text"]), key)
    ]


def moves_alike(tune: Tune, key: str) -> bool:
    interval = semitones_between(tune.key, key)
    moved = tune.transpose(key)
    return all(
        ([pitch + interval for pitch in pitches], duration) == after
        for voice in tune.voices
        for (pitches, duration), after in zip(
            sounds(tune, voice), sounds(moved, voice), strict=True
        )
    )


@pytest.mark.slow
def test_all_notes_of_the_default_corpus_move_by_one_interval():
    results = [result for _, result in each(strays, music21(), 2, Limits(900, 8_000_000_000))]
    assert not [result for result in results if isinstance(result, Failure)]
    assert [stray for result in results for stray in result] == []
