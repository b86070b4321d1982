"""Engraved pages: what they show, and that no font or system library is missing."""

import io
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from reportlab.graphics.shapes import Group, Shape, String
from svglib.svglib import svg2rlg

from notagen.notation import Tune
from notagen.scores.engrave import pdf, png, svg
from tests.helpers.music21_scores import DUET, one_voice


@pytest.fixture(scope="module")
def page() -> str:
    (page,) = svg(one_voice('"^dolce" c2 !fermata!d2 e2 f2 | g4 c\'4 |]'))
    return page


def shades(image: bytes) -> NDArray[np.uint8]:
    """Return the grey level of each pixel of a PNG: [rows, columns]."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("L"))


def test_shows_notes_fermata_words_and_tempo(page: str) -> None:
    assert len(re.findall('class="note"', page)) == 6
    assert len(re.findall('class="fermata', page)) == 1
    assert "dolce" in page
    assert re.search(r"=\s100<", page)


@pytest.mark.parametrize("tempo", ["3/8=60", "3/4=50", "7/16=80"])
def test_dotted_tempi(tempo: str) -> None:
    (plain,) = svg(one_voice("[Q:1/4=90]c8"))
    (dotted,) = svg(one_voice(f"[Q:{tempo}]c8"))
    outlines = '<path d="[^"]*" transform'
    dots = len(re.findall(outlines, dotted)) - len(re.findall(outlines, plain))
    assert dots == (2 if tempo.startswith("7") else 1)


def test_needs_no_music_font(page: str) -> None:
    assert "font-face" not in page
    assert 'font-family="Leipzig"' not in page


def test_keyboard_staves() -> None:
    (page,) = svg(Tune.parse(DUET))
    assert len(re.findall('class="staff"', page)) == 2 * 2
    assert len(re.findall('class="note"', page)) == 10
    assert "Piano" in page


def test_long_music_takes_pages() -> None:
    assert len(svg(one_voice("c/d/e/f/g/a/b/c'/ c/d/e/f/g/a/b/c'/ | " * 90))) > 1


def test_png_draws_the_words(page: str) -> None:
    with_words = shades(png(page))
    assert with_words.shape[1] == 1260
    without = shades(png(page.replace("dolce", "")))
    assert (with_words < 128).sum() > (without < 128).sum() > 0


def test_pdf_has_all_pages(page: str) -> None:
    document = pdf([page, page])
    assert document.startswith(b"%PDF")
    assert re.search(rb"/Count 2\b", document)


def strings(shape: Shape) -> list[String]:
    """All strings of a drawing as svglib reads it for PDF."""
    if isinstance(shape, Group):
        return [string for part in shape.contents for string in strings(part)]
    return [shape] if isinstance(shape, String) else []


def test_a_page_number_stands_in_the_middle_of_the_page() -> None:
    second = svg(one_voice("c/d/e/f/g/a/b/c'/ c/d/e/f/g/a/b/c'/ | " * 90))[1]
    drawing = svg2rlg(io.BytesIO(second.encode()))
    [number] = [string for string in strings(drawing) if "–" in string.text]
    assert number.text.split() == ["–", "2", "–"]
    assert number.textAnchor == "middle"
    assert number.x == pytest.approx(10_000, abs=200)
