import json
import os
import unicodedata

import pytest

from notagen.corpus.reader import Reader
from notagen.corpus.sources import folder
from notagen.prompts import Prompt

BACH = Prompt("Baroque", "Bach, Johann Sebastian", "Choral")


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("X:1\nK:C\nCDEF|\n")


def test_scores_of_all_formats_are_found_in_order(tmp_path):
    put(tmp_path, "b/x.MXL", "a.abc", "b/c/y.krn", "b/notes.txt", "z.musicxml", ".hidden.xml")
    names = [source.piece for source in folder(str(tmp_path))]
    assert names == [".hidden.xml", "a.abc", "b/c/y.krn", "b/x.MXL", "z.musicxml", "b/notes.txt"]


def test_links_are_followed_and_loops_end(tmp_path):
    put(tmp_path, "scores/a.abc", "elsewhere/b.abc")
    (tmp_path / "scores/loop").symlink_to(tmp_path / "scores")
    (tmp_path / "scores/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "scores/broken.abc").symlink_to(tmp_path / "nowhere.abc")
    names = [source.piece for source in folder(str(tmp_path / "scores"))]
    assert names == ["a.abc", "broken.abc", "more/b.abc"]


def test_odd_names(tmp_path):
    put(tmp_path, "quo\"te's.abc", "new\nline.abc", "caffè.abc")
    (tmp_path / os.fsdecode(b"latin-\xe8.abc")).write_text("X:1\n")
    names = {source.piece for source in folder(str(tmp_path))}
    assert names == {"quo\"te's.abc", "new\nline.abc", "caffè.abc", "latin-\\xe8.abc"}


def test_labels_come_from_folder_names(tmp_path):
    put(tmp_path, "Baroque/Bach, Johann Sebastian/Choral/a.abc", "my/old/scores/b.abc", "c.abc")
    put(tmp_path, "x/Baroque/Bach, Johann Sebastian/Choral/d.abc")
    labels = {source.piece[-5:]: source.labels for source in folder(str(tmp_path))}
    assert labels == {"a.abc": BACH, "b.abc": None, "c.abc": None, "d.abc": BACH}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_labels_come_from_a_table_first(tmp_path, form):
    put(tmp_path, "Modern/Cage, John/Keyboard/a.abc", "b.abc", "c.abc")
    rows = [
        {"file": "Modern/Cage, John/Keyboard/a.abc", **BACH._asdict()},
        {"file": "b.abc", "period": "", "composer": "Bach, Johann Sebastian"},
    ]
    table = tmp_path / f"labels.{form}"
    if form == "csv":
        quoted = "".join(",".join(f'"{cell}"' for cell in row.values()) + "\n" for row in rows)
        table.write_text("\ufefffile,period,composer,instrumentation\n" + quoted)
    else:
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = [source.labels for source in folder(str(tmp_path), str(table))]
    assert labels == [BACH, Prompt("", "Bach, Johann Sebastian", ""), None]


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("labels.csv", "file,period\nother.abc,Baroque\n", "labels for 'other.abc', and"),
        ("labels.csv", "name,period\na.abc,Baroque\n", "row 1 of .* names no file"),
        ("labels.jsonl", '{"file": "a.abc"\n', "line 1 of .* is not JSON"),
        ("labels.jsonl", "[]\n", "line 1 of .* is not a JSON object"),
        ("labels.txt", "", "not a .csv or .jsonl file"),
        ("labels.csv", None, r"corpus.labels=.*labels\.csv does not exist"),
        ("labels.CSV", "folder", r"corpus.labels=.*labels\.CSV is no file"),
        ("labels.csv", "file,composer\na.abc,Fauré\n", "not in UTF-8"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(tmp_path, name, table, message):
    put(tmp_path, "a.abc")
    if table == "folder":
        (tmp_path / name).mkdir()
    elif table is not None:
        (tmp_path / name).write_text(table, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        folder(str(tmp_path), str(tmp_path / name))


def test_labels_may_be_numbers(tmp_path):
    put(tmp_path, "a.abc")
    (tmp_path / "labels.jsonl").write_text('{"file": "a.abc", "period": 1850}\n')
    [source] = folder(str(tmp_path), str(tmp_path / "labels.jsonl"))
    assert source.labels == Prompt("1850", "", "")


@pytest.mark.parametrize(("of_file", "of_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_labels_are_those_of_a_name_however_its_accents_are_written(tmp_path, of_file, of_table):
    name = unicodedata.normalize(of_file, "Fauré/élégie.abc")
    put(tmp_path / "scores", name)
    table = tmp_path / "labels.csv"
    text = unicodedata.normalize(of_table, "Fauré/élégie.abc")
    table.write_text(f'file,composer\n{text},"Faure, Gabriel"\n')
    [source] = folder(str(tmp_path / "scores"), str(table))
    assert source.piece == name
    assert source.labels == Prompt("", "Faure, Gabriel", "")


def test_folders_without_scores_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        folder(str(tmp_path / "nowhere"))
    (tmp_path / "song.mscz").touch()
    with pytest.raises(ValueError, match=r"song\.mscz is a score of MuseScore; .*as MusicXML$"):
        folder(str(tmp_path))
    with pytest.raises(ValueError, match=r"song\.mscz is a file; give the folder"):
        folder(str(tmp_path / "song.mscz"))


def test_files_that_are_no_scores_are_listed_to_be_left_out(tmp_path):
    put(tmp_path, "a.abc", "song.MSCZ", "b/score.pdf", "README", ".DS_Store", ".git/config")
    put(tmp_path, "labels.csv", "datasets/mine/dataset_dict.json", "datasets/mine/card.png")
    put(tmp_path, "tab.gp5", "old.sib", "take.wav", "thesis.docx")
    (tmp_path / "labels.csv").write_text("file,composer\na.abc,Bach\n")
    (tmp_path / "gone.txt").symlink_to("nowhere")
    sources = folder(str(tmp_path), str(tmp_path / "labels.csv"))
    reasons = {source.piece: Reader()(source)["rejected"][0]["reason"] for source in sources[1:]}
    assert sources[0].piece == "a.abc"
    assert list(reasons) == sorted(reasons)
    export = "; open it there, or in MuseScore if that can, and export it as MusicXML"
    recognise = "; a program that recognises music (Audiveris) makes MusicXML of it"
    assert {name: reason.removeprefix("other format: a ") for name, reason in reasons.items()} == {
        "song.MSCZ": f"score of MuseScore{export}",
        "tab.gp5": f"score of Guitar Pro{export}",
        "old.sib": f"score of Sibelius{export}",
        "b/score.pdf": f"picture of pages{recognise}",
        "take.wav": "recording; no program here writes it down",
        "thesis.docx": ".docx file, which is no score",
        "gone.txt": ".txt file, which is no score",
        "README": "file without an ending",
    }
