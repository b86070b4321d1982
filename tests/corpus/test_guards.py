import os
import zipfile

import pytest

from notagen.corpus.guards import RefusedError, check
from tests.helpers.melodies import musicxml

LARGEST = 1_000_000
BOMB = (
    '<!DOCTYPE score-partwise [<!ENTITY a "aaaaaaaaaa">'
    '<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><score-partwise>&b;</score-partwise>'
)
EXTERNAL = (
    '<!DOCTYPE score-partwise [<!ENTITY file SYSTEM "file:///etc/hostname">]>'
    "<score-partwise>&file;</score-partwise>"
)
PARAMETER = '<!DOCTYPE a [<!ENTITY % dtd SYSTEM "http://localhost/x.dtd"> %dtd;]><a/>'


def test_a_score_passes_with_its_public_doctype(tmp_path):
    file = tmp_path / "a.musicxml"
    file.write_text(musicxml(1))
    assert "<!DOCTYPE" in file.read_text()
    check(file, LARGEST)


@pytest.mark.parametrize("xml", [BOMB, EXTERNAL, PARAMETER])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_declared_entities_are_refused_in_any_encoding(tmp_path, xml, encoding):
    file = tmp_path / "a.xml"
    file.write_bytes(xml.encode(encoding))
    with pytest.raises(RefusedError, match="declares an entity"):
        check(file, LARGEST)


@pytest.mark.parametrize("suffix", ["mxl", "musicxml", "xml"])
def test_archives_are_looked_into_whatever_their_members_are_called(tmp_path, suffix):
    file = tmp_path / f"a.{suffix}"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("thumbnail.png", b"\x89PNG")
        archive.writestr("score.dat", BOMB)
    with pytest.raises(RefusedError, match="declares an entity"):
        check(file, LARGEST)


def test_an_archive_without_a_score_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.mxl", "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr("notes.txt", "no music")
    with pytest.raises(RefusedError, match="its archive holds no MusicXML"):
        check(tmp_path / "a.mxl", LARGEST)


@pytest.mark.parametrize("suffix", ["mxl", "musicxml", "xml"])
def test_an_archive_of_zeros_is_refused_without_unpacking_it(tmp_path, suffix):
    file = tmp_path / f"a.{suffix}"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.xml", bytes(30_000_000))
    assert file.stat().st_size < LARGEST
    with pytest.raises(RefusedError, match="30,000,000 bytes"):
        check(file, LARGEST)


def test_a_plain_file_with_the_ending_of_an_archive_is_checked_as_one(tmp_path):
    file = tmp_path / "a.mxl"
    file.write_text("<score-partwise/>")
    check(file, LARGEST)
    file.write_text(BOMB)
    with pytest.raises(RefusedError, match="declares an entity"):
        check(file, LARGEST)


def test_large_empty_and_other_files_are_refused(tmp_path):
    large = tmp_path / "large.abc"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    empty = tmp_path / "empty.mid"
    empty.touch()
    os.mkfifo(tmp_path / "pipe.abc")
    for name, message in (
        ("large.abc", "100,000,000"),
        ("empty.mid", "empty"),
        ("pipe.abc", "not"),
    ):
        with pytest.raises(RefusedError, match=message):
            check(tmp_path / name, LARGEST)
