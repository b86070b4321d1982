import json
import os
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from notagen.corpus.build import prepare
from notagen.corpus.reader import Reader
from notagen.corpus.selection import Rules
from notagen.corpus.sources import folder
from notagen.corpus.workers import Limits
from notagen.data import storage
from tests.corpus.test_guards import BOMB, EXTERNAL
from tests.helpers.melodies import abc, melody, musicxml, write_melodies


def prepared(scores: Path, out: Path, rules=None, processes=2):
    """Prepare a folder; returns its rows by split, its rejections by piece, and its card."""
    sources = folder(str(scores))
    card = prepare(sources, out, rules, Reader(1_000_000), Limits(30, 4_000_000_000), processes)
    return (*contents(out), card)


def contents(out: Path):
    rows = {split: list(storage.read(out, split)) for split in card_of(out)["pieces"]}
    lines = (out / "rejected.jsonl").read_text().splitlines()
    return rows, {line["piece"]: line for line in map(json.loads, lines)}


def card_of(out: Path):
    return json.loads((out / "card.json").read_text())


def pieces(rows) -> set[str]:
    return {row["piece"] for split in rows.values() for row in split}


def test_every_tune_is_a_row_or_a_rejection(tmp_path):
    write_melodies(tmp_path / "scores", range(30))
    (tmp_path / "scores/short.abc").write_text(abc(melody(100, bars=7)))
    (tmp_path / "scores/again.musicxml").write_text(musicxml(3, "Gb"))
    rules = Rules(validation_fraction=0.3)
    rows, rejected, card = prepared(tmp_path / "scores", tmp_path / "out", rules)
    assert pieces(rows) == {f"{seed:03}.abc" for seed in range(30)}
    assert rejected["short.abc"]["reason"] == "too short: it has 7 bars, fewer than 8"
    assert rejected["again.musicxml"]["reason"] == "duplicate: 100% the same music as 003.abc"
    assert card == card_of(tmp_path / "out")
    assert card["pieces"] == {split: len(part) for split, part in rows.items()}
    assert set(card["pieces"]) == {"train", "validation"}
    assert card["rejected"] == {"too short": 1, "duplicate": 1}
    assert card["keys"] == {"C": 30}
    assert card["bars"] == 30 * 12
    assert card["characters"] == sum(len(r["text"]) for part in rows.values() for r in part)
    page = (tmp_path / "out/README.md").read_text()
    assert "30 pieces" in page
    assert "| duplicate | 1 |" in page
    assert (tmp_path / "out/card.png").read_bytes().startswith(b"\x89PNG")


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path):
    write_melodies(tmp_path / "scores", range(8))
    one = prepared(tmp_path / "scores", tmp_path / "one", processes=1)
    assert prepared(tmp_path / "scores", tmp_path / "three", processes=3) == one


def test_rules_are_kept(tmp_path):
    write_melodies(tmp_path / "scores", range(4))
    (tmp_path / "scores/short.abc").write_text(abc(melody(100, bars=2)))
    rows, _, _ = prepared(tmp_path / "scores", tmp_path / "out", Rules(2, 0.6, 1.0))
    assert {split: len(part) for split, part in rows.items()} == {"train": 1, "validation": 4}


def test_broken_files_cost_one_line_each(tmp_path):
    scores = tmp_path / "scores"
    write_melodies(scores, range(6))
    deflated = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(scores / "whole.mxl", "w", deflated) as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr("score.xml", musicxml(1))
    (scores / "cut.mxl").write_bytes((scores / "whole.mxl").read_bytes()[:-100])
    (scores / "whole.mxl").unlink()
    with zipfile.ZipFile(scores / "zeros.mxl", "w", deflated) as archive:
        archive.writestr("score.xml", bytes(100_000_000))
    with zipfile.ZipFile(scores / "climbing.mxl", "w") as archive:
        archive.writestr("../../climbed.xml", "no music")
    with (scores / "huge.abc").open("wb") as file:
        file.truncate(100_000_000)
    (scores / "bomb.xml").write_text(BOMB)
    (scores / "external.musicxml").write_text(EXTERNAL)
    (scores / "junk.mid").write_bytes(os.urandom(5000))
    (scores / "junk.krn").write_bytes(os.urandom(5000))
    (scores / "utf16.krn").write_bytes("**kern\n*M4/4\n4c\n*-\n".encode("utf-16"))
    (scores / "half.abc").write_bytes(b"X:1\nT:\xff\xfe caf\xe9\nK:C\n\x00\x01|")
    (scores / 'it\'s "new"\nline.abc').write_text("")
    (scores / "folder.abc").mkdir()
    (scores / "loop").symlink_to(scores)
    (scores / "nowhere.abc").symlink_to(tmp_path / "missing.abc")
    before = set(tmp_path.rglob("*"))
    environment = os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path / "home")}
    subprocess.run(command(scores, tmp_path / "out"), env=environment, cwd=scores, check=True)
    rows, rejected = contents(tmp_path / "out")
    assert pieces(rows) == {f"{seed:03}.abc" for seed in range(6)}
    broken = {path.name for path in scores.iterdir() if path.name[0].isalpha()} - {"loop"}
    assert set(rejected) == broken - {"folder.abc"}
    assert all(line["reason"] and Path(line["file"]).parent == scores for line in rejected.values())
    assert "declares an entity" in rejected["bomb.xml"]["reason"]
    assert "declares an entity" in rejected["external.musicxml"]["reason"]
    assert rejected["zeros.mxl"]["reason"].startswith("refused: 100,000,000 bytes")
    assert rejected["huge.abc"]["reason"].startswith("refused: 100,000,000 bytes")
    ours = [tmp_path / name for name in ("out", ".out.lock", "home")]  # matplotlib's fonts
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert not {path for path in written if not any(path.is_relative_to(own) for own in ours)}


def command(scores: Path, out: Path) -> list[str]:
    overrides = [f"corpus.path={scores}", f"out={out}", "processes=2", "limits.file_mb=1"]
    return [sys.executable, "-m", "notagen.prepare", "corpus=folder", *overrides]


def test_a_killed_run_continues_where_it_stopped(tmp_path):
    scores, out = tmp_path / "scores", tmp_path / "out"
    write_melodies(scores, range(40))
    (scores / "broken.abc").write_text("")
    whole = prepared(scores, tmp_path / "whole")
    journal = tmp_path / ".out.read.jsonl"
    run = subprocess.Popen(command(scores, out), stdout=subprocess.DEVNULL, cwd=tmp_path)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 10:
        assert run.poll() is None, "it was done before it could be killed"
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not out.exists()
    # What was read stays read: the run that goes on finds this mark in the journal's first line.
    first, *others = journal.read_bytes().splitlines(keepends=True)
    text = first[9:-1].replace(b'"period": ""', b'"period": "!"')
    marked = b"%08x %s\n" % (zlib.crc32(text), text)
    journal.write_bytes(marked + b"".join(others) + b"{")
    subprocess.run(command(scores, out), check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
    rows, rejected = contents(out)
    assert "!" in [row["period"] for part in rows.values() for row in part]
    for part in rows.values():
        for row in part:
            row["period"] = ""
    assert (rows, rejected) == whole[:2]
    left = [".out.lock", ".whole.lock", "out", "scores", "whole"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_score_that_changed_since_is_read_again(tmp_path):
    scores, out = tmp_path / "scores", tmp_path / "out"
    write_melodies(scores, range(4))
    with pytest.raises(ValueError, match=r"none of the 4 pieces.*000\.abc, is too short"):
        prepared(scores, out, Rules(min_bars=50))
    assert not out.exists()
    for seed in (1, 2):
        (scores / f"00{seed}.abc").write_text(abc(melody(seed, bars=60)))
    (scores / "003.abc").unlink()
    rows, rejected, _ = prepared(scores, out, Rules(min_bars=50))
    assert pieces(rows) == {"001.abc", "002.abc"}
    assert set(rejected) == {"000.abc"}


def test_only_a_corpus_is_overwritten(tmp_path):
    scores = tmp_path / "scores"
    write_melodies(scores, range(3))
    with pytest.raises(ValueError, match="holds something else than a corpus"):
        prepared(scores, scores)
    assert len(list(scores.iterdir())) == 3
    prepared(scores, tmp_path / "out")
    write_melodies(scores, range(5))
    rows, _, _ = prepared(scores, tmp_path / "out")
    assert len(pieces(rows)) == 5


def test_nothing_to_prepare_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no scores to prepare"):
        prepare([], tmp_path / "out")


@pytest.mark.parametrize("rule", ["similarity", "validation_fraction"])
def test_shares_beyond_one_are_refused(run, rule):
    with pytest.raises(
        SystemExit, match=f"notagen: rules.{rule} must be a number .* to 1, not 1.5"
    ):
        run("prepare", f"rules.{rule}=1.5")


def test_a_similarity_of_none_is_refused_and_one_leaves_out_what_is_equal(tmp_path):
    with pytest.raises(ValueError, match="makes all pieces the same"):
        Rules(similarity=0)
    scores = tmp_path / "scores"
    write_melodies(scores, range(3))
    (scores / "again.abc").write_text(abc(melody(1)))
    rows, rejected, _ = prepared(scores, tmp_path / "out", Rules(similarity=1))
    assert len(pieces(rows)) == 3
    assert set(rejected) == {"again.abc"}


@pytest.mark.parametrize("fraction", [0, 0.1, 1])
@pytest.mark.parametrize("number", [2, 6])
def test_training_and_validation_have_a_piece_each(tmp_path, fraction, number):
    scores, rules = tmp_path / "scores", Rules(validation_fraction=fraction)
    write_melodies(scores, range(number))
    rows, _, card = prepared(scores, tmp_path / "out", rules)
    counts = {"train": 1, "validation": number - 1} if fraction == 1 else {
        "train": number - 1, "validation": 1
    }  # fmt: skip
    assert {split: len(part) for split, part in rows.items()} == counts == card["pieces"]
    assert len(pieces(rows)) == number
    assert prepared(scores, tmp_path / "again", rules)[0] == rows


@pytest.mark.parametrize("number", [0, 1])
def test_what_cannot_be_trained_is_refused(run, tmp_path, number):
    write_melodies(tmp_path / "scores", range(number))
    (tmp_path / "scores").mkdir(exist_ok=True)
    (tmp_path / "scores/broken.abc").write_text("")
    sentence = f"{'only 1' if number else 'none'} of the {number + 1} pieces could be used, and"
    with pytest.raises(
        SystemExit, match=f"{sentence} training needs two; .*broken.abc, is refused"
    ):
        run("prepare", "corpus=folder", f"corpus.path={tmp_path / 'scores'}")
    assert not (tmp_path / "datasets/scores").exists()


def test_no_processes_are_refused(run, tmp_path):
    with pytest.raises(
        SystemExit, match="processes must be a whole number from 1 to 10000 or null, not -1"
    ):
        run("prepare", "processes=-1")


def test_a_folder_without_scores_is_one_sentence(run, tmp_path):
    (tmp_path / "empty").mkdir()
    wrong = r"^notagen: there is no score in .*empty; those that are read are MusicXML [^\n(]*"
    with pytest.raises(SystemExit, match=wrong) as refusal:
        run("prepare", "corpus=folder", f"corpus.path={tmp_path / 'empty'}")
    assert "('" not in str(refusal.value), "a list for people, not for Python"
