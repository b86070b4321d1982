"""Sound of a tune: ties, chord symbols, drums, repeats, channels."""

import re
from pathlib import Path

import numpy as np
import pytest

from notagen.notation import Tune
from notagen.scores import from_music21, read, to_midi, to_musicxml
from notagen.scores.audio import samples
from notagen.scores.files import original
from notagen.scores.midi_events import DRUMS, parse_midi
from notagen.scores.performance import perform
from tests.helpers.music21_scores import one_voice, returned


def sounding(tune: Tune, part: int = 0) -> list[tuple[float, float, int]]:
    """Onset, end and pitch of the notes of a part."""
    notes = perform(tune).parts[part].notes
    return [(float(one.onset), float(one.end), one.pitch) for one in notes]


@pytest.mark.parametrize(
    ("music", "notes"),
    [
        ("[A-F]4 [AC]4", [(0, 4, 69), (0, 2, 66), (2, 4, 60)]),  # F is sharp in E minor
        ("[CE]4- [CEG]4", [(0, 4, 60), (0, 4, 64), (2, 4, 67)]),
        ("C4 [C-E]4 | [CG-]4 [CG]4", [(0, 2, 60), (2, 6, 60), (2, 4, 64), (4, 8, 67), (6, 8, 60)]),
        ("C8- | C8- | C8", [(0, 12, 60)]),
        ("C4- D4", [(0, 2, 60), (2, 4, 62)]),  # a tie to nothing
        ("C4 C4", [(0, 2, 60), (2, 4, 60)]),
        ("(3C4-C2D2- D4 C-", [(0, 2, 60), (2, 14 / 3, 62), (14 / 3, 31 / 6, 60)]),
        ("C2- {d}C2 E4", [(0, 2, 60), (1, 1, 74), (2, 4, 64)]),
    ],
)
def test_a_tied_note_is_struck_once(music: str, notes: list[tuple[float, float, int]]) -> None:
    assert sounding(one_voice(music)) == notes


def test_ties_between_voices_of_a_staff() -> None:
    header = "%%score ( 1 2 )\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 treble\n"
    tune = Tune.parse(f"{header}[V:1][c-e]8|[V:2]C8-|\n[V:1]c8|[V:2]C8|\n")
    assert sorted(sounding(tune)) == [(0, 4, 76), (0, 8, 60), (0, 8, 72)]


@pytest.mark.parametrize("music", ['"C7"c4 "G/B"d4', '"Am"c4 d4 "F"', '"^dolce""Dm7"c4 d4'])
def test_chord_symbols_are_silent(music: str) -> None:
    assert sounding(one_voice(music)) == [(0, 2, 72), (2, 4, 74)]
    sound, _ = samples(one_voice(music))
    plain, _ = samples(one_voice("c4 d4"))
    assert np.array_equal(sound, plain)


@pytest.mark.parametrize(
    ("music", "pitches"),
    [
        ("|: c8 :| d8 |]", [72, 72, 74]),
        ("|: c8 |1 d8 :|2 e8 |]", [72, 74, 72, 76]),
        ("c8 :| d8 |: e8 :|", [72, 72, 74, 76, 76]),
    ],
)
def test_repeats_are_played_alike_in_midi_and_sound(music: str, pitches: list[int]) -> None:
    tune = one_voice(music)
    (track,) = [one for one in parse_midi(to_midi(tune)).tracks if one.notes]
    assert [one.pitch for one in track.notes] == pitches
    sound, rate = samples(tune)
    assert len(sound) / rate == pytest.approx(len(pitches) * 4 * 60 / 100, abs=0.2)


def test_repeats_that_do_not_fit_are_played_once() -> None:
    tune = one_voice("|: c8 |1 d8 |2 e8 |: f8 |1 g8 |]")
    notes = parse_midi(to_midi(tune)).tracks[1].notes
    assert len(notes) >= 5


ORCHESTRA = (
    *("Piccolo", "Flute", "Oboe", "English Horn", "Clarinet", "Bassoon", "Horn", "Trumpet"),
    *("Trombone", "Tuba", "Harp", "Celesta", "Violin", "Viola", "Violoncello", "Contrabass"),
    *("Organ", "Guitar"),
)


@pytest.mark.parametrize("count", [3, 15, 16, 18])
def test_each_instrument_has_a_sound_of_its_own(count: int) -> None:
    voices = list(enumerate(ORCHESTRA[:count], start=1))
    lines = "".join(f'V:{number} treble nm="{name}"\n' for number, name in voices)
    score = " ".join(str(number) for number, _ in voices)
    header = f"%%score {score}\nL:1/8\nM:4/4\nK:C\n{lines}"
    music = "".join(f"[V:{number}]c8|" for number, _ in voices)
    tune = Tune.parse(f"{header}{music}\n")
    content = to_midi(tune)
    ports = [int(port[0]) for port in re.findall(rb"\xff\x21\x01(.)", content, re.DOTALL)]
    tracks = parse_midi(content).tracks[1:]
    assert [one.name for one in tracks] == list(ORCHESTRA[:count])
    homes = [
        (port, one.notes[0].channel) for port, one in zip(ports or [0] * count, tracks, strict=True)
    ]
    assert (
        len(set(homes)) == len({one.programs[one.notes[0].channel] for one in tracks})
        or count <= 15
    )
    if count <= 15:
        assert len(set(homes)) == count
        assert not ports
    assert all(channel != DRUMS for _, channel in homes)


DRUM_KIT = (
    '%%score ( 1 2 ) 3\nL:1/8\nM:4/4\nK:D\nV:1 perc nm="Drumset" snm="D. Set"\nV:2 perc\n'
    'V:3 treble nm="Piano" snm="Pno"\n'
)
BEAT = "[V:1]g2 [cg]2 g2 c2|[V:2]F4{c} c4|[V:3]f8|\n"


def test_drums_sound_on_their_channel() -> None:
    tune = Tune.parse(DRUM_KIT + BEAT)
    tracks = parse_midi(to_midi(tune)).tracks[1:]
    assert [(one.on, one.pitch) for one in tracks[0].notes if one.on < 1] == [(0, 36), (0, 42)]
    assert {one.channel for one in tracks[0].notes} == {DRUMS}
    assert {one.pitch for one in tracks[0].notes} == {36, 38, 42}
    assert {(one.channel, one.pitch) for one in tracks[1].notes} == {(1, 78)}


def test_drums_in_musicxml() -> None:
    tune = Tune.parse(DRUM_KIT + BEAT)
    xml = to_musicxml(tune)
    assert xml.count("<unpitched>") == 8
    assert xml.count("<pitch>") == 1
    assert "<midi-channel>10</midi-channel>" in xml
    assert not re.search(r"<line\s*/>|<line></line>", xml)
    assert returned(tune).bars == tune.bars


def test_drums_keep_their_ties_and_places_whatever_the_key() -> None:
    tune = Tune.parse(
        DRUM_KIT.replace("( 1 2 ) 3", "1 3").replace("V:2 perc\n", "")
        + "[V:1]f8-|[V:3]f8|\n[V:1]f4 z4|[V:3]f8|\n"
    )
    assert returned(tune).bars[0]["1"].text == "f8-"
    assert sounding(tune) == [(0, 6, 51)]


def test_a_clef_in_mid_piece_begins_drums() -> None:
    tune = one_voice("c8 | [K:perc] c8 | [K:treble] c8")
    assert to_musicxml(tune).count("<unpitched>") == 1


def test_drums_are_heard() -> None:
    sound, rate = samples(Tune.parse(DRUM_KIT + "[V:1]c2 z6|[V:2]z8|[V:3]z8|\n"))
    assert np.abs(sound[: rate // 20]).max() > 0.1
    assert not sound[rate:].any()


@pytest.mark.parametrize("bar", ["z9", "z11", "z5 z5/2", "c9", "z13", "x9 c"])
@pytest.mark.parametrize("metre", ["none", "9/8", "4/4"])
def test_rests_longer_than_a_sign(bar: str, metre: str) -> None:
    tune = from_music21(original(f"X:1\nM:{metre}\nL:1/8\nK:C\n{bar}|CDE|]\n"))
    assert "<measure" in to_musicxml(tune)
    assert to_midi(tune)


def test_short_bars_keep_their_place_in_midi(tmp_path: Path) -> None:
    tune = one_voice("G2 | c8 | c6 | G2 | c8 |]")
    file = tmp_path / "piece.mid"
    file.write_bytes(to_midi(tune))
    (after,) = read(file)
    assert [bar["1"].text.split("] ")[-1] for bar in after.bars] == ["G2", "c8", "c6", "G2", "c8"]
    assert "M:4/4" in after.header
