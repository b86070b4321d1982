"""MIDI files: metres, keys, grids, channels, drums."""

import random
from fractions import Fraction
from pathlib import Path

import pytest

from notagen.notation import Tune
from notagen.scores import ScoreError, from_music21, read, to_midi
from notagen.scores.from_midi import from_midi
from notagen.scores.performance import PlayedPart, perform
from notagen.scores.source_notes import count_midi
from tests.helpers.midi_files import Events, key, line, metre, midi, played, program, tempo, title
from tests.helpers.music21_scores import corpus_score, one_voice


def tune(content: bytes) -> Tune:
    return from_music21(from_midi(content))


def bars(content: bytes, voice: str = "1") -> list[str]:
    return [bar[voice].text for bar in tune(content).bars]


def header(content: bytes) -> list[str]:
    return list(tune(content).header)


def test_metre_and_key_of_the_first_track_hold_for_all() -> None:
    right = [
        event
        for bar in range(4)
        for event in played(bar * 1440, 960, 75 - bar) + played(bar * 1440 + 960, 480, 70)
    ]
    left = [event for bar in range(4) for event in line(bar * 1440, 480, [51, 55, 58])]
    both = midi([metre(0, 3, 4), key(0, -3), right], [key(0, -3), left])
    assert bars(both) == ["e4 B2", "d4 B2", "_d4 B2", "c4 B2"]
    assert bars(both, "2") == ["E,2 G,2 B,2"] * 4
    assert {"M:3/4", "K:Eb"} <= set(header(both))
    alone = midi([metre(0, 3, 4), key(0, -3), right], [left])  # the key of the first track too
    assert bars(alone, "2") == ["E,2 G,2 B,2"] * 4


def test_metres_change_in_all_parts() -> None:
    content = midi(
        [line(0, 240, [60, 62, 64] * 4)],  # the fields stand in the second track
        [metre(0, 6, 8), metre(1440, 3, 4), line(0, 1440, [48, 50])],
    )
    assert bars(content) == ["CDE CDE", "[M:3/4] CD EC DE"]
    assert bars(content, "2") == ["C,6", "[M:3/4] D,6"]


def test_a_metre_in_mid_bar_begins_a_bar() -> None:
    content = midi([metre(0, 4, 4), metre(960, 3, 4), line(0, 480, [60] * 5)])
    assert bars(content) == ["C2 C2", "[M:3/4] C2 C2 C2"]


def test_an_upbeat() -> None:
    content = midi([metre(0, 1, 4), metre(480, 3, 4), line(0, 480, [67, 72, 71, 72, 74, 72, 71])])
    assert bars(content) == ["G2", "c2 B2 c2", "d2 c2 B2"]
    assert "M:3/4" in header(content)


@pytest.mark.parametrize(
    ("sharps", "minor", "pitches", "text"),
    [
        (4, False, [64, 68, 71, 75], "E2 G2 B2 d2"),
        (-4, False, [68, 72, 75, 73], "A2 c2 e2 d2"),
        (0, True, [69, 68, 69, 71], "A2 ^G2 A2 B2"),
        (-3, True, [72, 71, 72, 68], "c2 =B2 c2 A2"),
        (6, False, [66, 70, 73, 77], "F2 A2 c2 e2"),
        (-6, False, [66, 70, 73, 77], "G2 B2 d2 f2"),
        (7, False, [73, 77, 80, 72], "c2 e2 g2 B2"),
    ],
)
def test_spelling_by_the_key(sharps: int, minor: bool, pitches: list[int], text: str) -> None:
    assert bars(midi([key(0, sharps, minor), line(0, 480, pitches)])) == [text]


def test_spelling_without_a_key() -> None:
    # E flat major and E major by their notes alone
    assert bars(midi([line(0, 480, [63, 67, 70, 68] * 4)]))[0] == "_E2 G2 _B2 _A2"
    assert bars(midi([line(0, 480, [64, 68, 71, 75] * 4)]))[0] == "E2 ^G2 B2 ^d2"


def test_a_key_that_changes() -> None:
    content = midi([key(0, -3), key(1920, 4), line(0, 480, [63, 67, 70, 68, 64, 68, 71, 75])])
    assert bars(content) == ["E2 G2 B2 A2", "[K:E] E2 G2 B2 d2"]


SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ([60] * 8 + [480] * 3, "C/4D/4E/4F/4G/4A/4B/4c/4 C2 D2 E2"),
        ([30] * 16 + [480] * 3, "C/8D/8E/8F/8G/8A/8B/8c/8" * 2 + " C2 D2 E2"),
        ([160] * 3 + [480] * 3, "(3CDE F2 G2 A2"),
        ([80] * 6 + [480] * 3, "(3C/D/E/(3F/G/A/ B2 c2 C2"),
        ([320] * 3 + [480] * 2, "(3C2D2E2 F2 G2"),
        ([96] * 5 + [480] * 3, "(5:4:5C/D/E/F/G/ A2 B2 c2"),
        ([720, 240, 840, 120], "C3 D E7/2F/"),
    ],
)
def test_grids(lengths: list[int], text: str) -> None:
    events: Events = []
    now = 0
    for index, length in enumerate(lengths):
        events += played(now, length, SCALE[index % 8])
        now += length
    assert bars(midi([events]))[0].replace(" ", "") == text.replace(" ", "")


def test_programs_that_end_notes_early() -> None:
    early = [event for i, one in enumerate(SCALE) for event in played(i * 480, 455, one)]
    assert bars(midi([early])) == ["C2 D2 E2 F2", "G2 A2 B2 c2"]
    off_by_one = [event for i, one in enumerate(SCALE) for event in played(i * 60, 59, one)]
    assert bars(midi([off_by_one])) == ["C/4D/4E/4F/4G/4A/4B/4c/4 z6"]
    staccato = [event for i, one in enumerate(SCALE[:4]) for event in played(i * 480, 240, one)]
    assert bars(midi([staccato])) == ["C z D z E z F z"]


def test_played_by_hand() -> None:
    draw = random.Random(1)
    events: Events = []
    for index in range(16):
        late = max(0, index * 480 + draw.randint(-25, 25))
        for step in (0, 4, 7):  # the notes of a chord neither begin nor end together
            begin = late + draw.randint(0, 12)
            events += played(begin, 450 + draw.randint(-40, 40), 60 + step)
    assert bars(midi([events])) == ["[CEG]2 [CEG]2 [CEG]2 [CEG]2"] * 4


def test_drums() -> None:
    beat = [(36, 0), (42, 0), (42, 240), (38, 480), (42, 480), (46, 720)]
    drums = [
        event
        for half in range(4)
        for pitch, tick in beat
        for event in played(half * 960 + tick, 240, pitch, 10)
    ]
    content = midi([metre(0, 4, 4)], [title("Piano"), line(0, 1920, [60, 64])], [drums])
    assert 'V:2 perc nm="Drums"' in header(content)
    assert bars(content, "2") == ["[Fg]g [cg]g [Fg]g [cg]g"] * 2
    assert bars(content) == ["C8", "E8"]


def test_drums_of_one_place_are_printed_once() -> None:
    both = midi([key(0, 2), played(0, 480, 42, 10), played(0, 480, 46, 10)])
    assert bars(both) == ["g2 z6"]


def test_channels_of_a_single_track_are_parts() -> None:
    flute = line(0, 960, [72, 74]) + played(1920, 1920, 76)
    cello = line(0, 1920, [48, 43], channel=2)
    content = midi([program(73, 1), program(42, 2), flute, cello], kind=0)
    assert bars(content) == ["c4 d4", "e8"]
    assert bars(content, "2") == ["C,8", "G,,8"]
    assert 'V:2 bass nm="Violoncello" snm="Vc"' in header(content)
    conductor = midi([metre(0, 2, 4)], [flute, cello])  # the same in format 1
    assert [len(tune(one).voices) for one in (content, conductor)] == [2, 2]


def test_channels_of_one_track_among_others_are_one_part() -> None:
    violin = line(0, 480, [72, 74]) + line(960, 480, [76, 77], channel=2)  # arco and pizzicato
    content = midi([violin], [line(0, 960, [48, 50], channel=3)])
    assert bars(content) == ["c2 d2 e2 f2"]
    assert len(tune(content).voices) == 2


def test_silence_and_empty_tracks() -> None:
    content = midi([metre(0, 6, 8)], [], [line(2880, 240, [60, 62, 64, 65, 67, 69])])
    assert bars(content) == ["z6", "z6", "CDE FGA"]
    assert "M:6/8" in header(content)


def test_held_notes_are_tied_over_bars() -> None:
    content = midi([played(0, 5760, 48), line(0, 480, [72] * 12)])
    assert bars(content, "2") == ["C,8-", "C,8-", "C,8"]
    assert bars(midi([played(480, 2400, 60)])) == ["z2 C6-", "C4 z4"]


def test_voices_keep_their_place() -> None:
    upper, lower = line(0, 240, [72, 74, 76, 77] * 4), line(0, 960, [60, 59] * 2)
    content = midi([lower + upper])
    assert bars(content) == ["cd ef cd ef"] * 2
    assert bars(content, "2") == ["C4 B,4"] * 2
    assert tune(content) == tune(midi([upper + lower]))


def test_a_unison_of_two_voices_keeps_both_notes() -> None:
    content = midi(
        [played(0, 960, 60), played(0, 960, 60, 2), played(960, 960, 62)], [played(0, 9, 40)]
    )
    assert bars(content)[0].count("C") + bars(content, "2")[0].count("C") == 2


def test_notes_without_length_are_grace_notes() -> None:
    grace = played(0, 0, 64)[::-1]  # its end first, as music21 writes it
    ends_first = [(tick, 2 - order, data) for tick, order, data in grace]
    assert bars(midi([ends_first, played(0, 480, 60)])) == ["{E} C2 z6"]
    assert bars(midi([ends_first]))[0].startswith("{E}")
    twice = [event for tick in (0, 480) for event in played(tick, 480, 64)]
    assert bars(midi([ends_first, twice])) == ["{E} E2 E2 z4"]


def test_tempo() -> None:
    assert "Q:1/4=96" in header(midi([tempo(0, 96), played(0, 1920, 60)]))
    changing = midi([tempo(0, 96), tempo(1920, 60), line(0, 1920, [60, 62])])
    assert bars(changing) == ["C8", "[Q:1/4=60] D8"]
    curve = [event for tick in range(0, 1920, 120) for event in tempo(tick, 90 + tick / 60)]
    assert bars(midi([curve, played(0, 1920, 60)])) == ["C8"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (midi([played(0, 480, 60)], kind=2), "format 2"),
        (midi([played(0, 480, 60)], division=0xE728), "SMPTE"),
        (midi([metre(0, 4, 4)]), "no notes"),
        (b"RIFF" + bytes(20), "MThd"),
        (midi([played(0, 480, 60)])[:30], "damaged"),
        (midi([played(0xFFFFFFF, 480, 60)]), "nothing begins"),
        (midi([played(0, 490_000, 60)]), "nothing begins"),
        (midi([metre(0, 1, 64), line(0, 480, [60] * 400)]), "bars"),
    ],
)
def test_refusals(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "piece.mid"
    file.write_bytes(content)
    with pytest.raises(ScoreError, match=reason):
        read(file)


@pytest.mark.parametrize(
    "name", ["bach/bwv274.mxl", "bach/bwv104.6.mxl", "joplin/maple_leaf_rag.mxl"]
)
def test_our_own_midi_comes_back(name: str, tmp_path: Path) -> None:
    before = from_music21(corpus_score(name))
    file = tmp_path / "piece.mid"
    file.write_bytes(to_midi(before))
    (after,) = read(file)
    assert to_midi(after) == to_midi(after)
    sounding = [[n[:3] for n in part.notes] for part in _parts(before)]
    assert [[n[:3] for n in part.notes] for part in _parts(after)] == sounding


def _parts(one: Tune) -> list[PlayedPart]:
    return [part for part in perform(one).parts if part.notes]


def test_count_of_notes(tmp_path: Path) -> None:
    content = to_midi(one_voice("[CE]2 {d}c2 z4 | e4- e4 |]"))
    assert count_midi(content) == 5
    file = tmp_path / "piece.mid"
    file.write_bytes(content)
    assert count_midi(file) == count_midi(str(file)) == 5
    assert (
        count_midi(midi([metre(0, 4, 4), title("x"), line(0, 480, SCALE)], [line(0, 9, [40])])) == 9
    )
    running = (
        b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\x0f\0\x90\x3c\x40\x60\x3c\0\0\x3e\x40\0\xff\x2f\0"
    )
    assert count_midi(running) == 2


@pytest.mark.parametrize("seed", range(8))
def test_no_note_is_lost(seed: int) -> None:
    """Random parts on random grids: as many notes, at their onsets, as were written."""
    draw = random.Random(seed)
    tracks, written = [], []
    for channel in (1, 2, 3):
        events: Events = []
        for quarter in range(draw.randint(4, 24)):
            grid = draw.choice([1, 2, 3, 4, 5, 6, 8])
            for place in sorted(draw.sample(range(grid), draw.randint(1, grid))):
                pitch, tick = draw.randint(40, 80), quarter * 480 + 480 * place // grid
                events += played(tick, 480 * draw.randint(1, 3) // grid, pitch, channel)
                written.append((Fraction(quarter) + Fraction(place, grid), pitch))
        tracks.append([events])
    content = midi([metre(0, *draw.choice([(4, 4), (3, 4), (6, 8), (5, 8)]))], *tracks)
    assert count_midi(content) == len(written)
    heard = [(one.onset, one.pitch) for part in perform(tune(content)).parts for one in part.notes]
    assert sorted(heard) == sorted(written)
