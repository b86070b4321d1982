"""``make roundtrip``: the table, and when it fails."""

from pathlib import Path

import pytest

from benchmarks.roundtrip import main
from notagen.notation import Tune
from notagen.scores import to_musicxml

SONG = "X:1\nL:1/8\nM:4/4\nK:G\n(GABc) d4-|d8|]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("airs", "songs"):
        (tmp_path / name).mkdir()
    (tmp_path / "airs/book.abc").write_text(f"{SONG}\n{SONG}")
    (tmp_path / "songs/one.musicxml").write_text(to_musicxml(Tune.parse(SONG)))
    return tmp_path


def rows(printed: str) -> dict[str, list[str]]:
    lines = [line.split() for line in printed.splitlines() if line]
    return {line[0]: line[1:] for line in lines}


def test_prints_a_row_a_collection(folder, capfd):
    main(["--folder", str(folder), "--processes", "1"])
    found = rows(capfd.readouterr().out)
    files, tunes, notes, miscounted, f1, ties, slurs, graces, *_, failed = found["airs"]
    assert (files, tunes, notes, miscounted, failed) == ("1", "2", "12", "0", "0")
    assert (f1, ties, slurs, graces) == ("1.0000", "1.0000", "1.0000", "-")
    assert found["songs"][:3] == ["1", "1", "6"]


def test_fails_with_a_tune(folder, capfd):
    (folder / "songs/two.abc").write_text(f"{SONG}\nX:2\nT:no key\nC8|]\n")
    with pytest.raises(SystemExit, match="songs"):
        main(["--folder", str(folder), "--collections", "songs"])
    found = capfd.readouterr().out
    assert rows(found)["songs"][-1] == "1"
    assert "two.abc: tune 2: the text has no K: field" in found


def test_fails_below_the_floor(folder):
    with pytest.raises(SystemExit, match="below the floor"):
        main(["--folder", str(folder), "--floors", "airs=1.1"])


def test_names_the_collections(folder):
    with pytest.raises(SystemExit, match="choose from airs, songs"):
        main(["--folder", str(folder), "--collections", "odes"])


@pytest.mark.parametrize("key", ["limit", "processes"])
def test_nothing_to_do_is_refused(folder, key):
    with pytest.raises(SystemExit, match=f"{key} 0 leaves nothing to do"):
        main(["--folder", str(folder), f"--{key}", "0"])
