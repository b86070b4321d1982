"""Engraving: SVG pages by verovio, converted to PNG and PDF without system libraries."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import reportlab
import resvg_py
import verovio
from reportlab.graphics import renderPDF
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas
from svglib.svglib import svg2rlg

from notagen.errors import ScoreError
from notagen.notation import Tune
from notagen.scores.files import to_musicxml

_SVG = "http://www.w3.org/2000/svg"
_MUSIC_FONT = "Leipzig"
_FONT_UNITS = 1000  # of the music font, per em
_BLANK = 100  # font units; the font itself has no blank
_OPTIONS = {
    "pageWidth": 2100,  # A4 in tenths of a millimetre
    "pageHeight": 2970,
    "adjustPageHeight": True,  # the last page ends with the music
    "scale": 40,
    "footer": "none",
    "font": _MUSIC_FONT,
    "smuflTextFont": "none",  # see _plain
}
_PNG_ZOOM = 1.5


def svg(tune: Tune) -> list[str]:
    """Engrave a tune on pages of A4 width, one SVG document each.

    Raises:
        ScoreError: verovio can't lay the score out.
    """
    verovio.enableLog(verovio.LOG_ERROR)  # its warnings are about ties and slurs left open
    toolkit = verovio.toolkit()
    toolkit.setOptions(_OPTIONS)
    if not toolkit.loadData(to_musicxml(tune)):
        raise ScoreError("verovio can't engrave this score; see its message above.")
    pages = range(1, toolkit.getPageCount() + 1)
    return [_plain(toolkit.renderToSVG(page)) for page in pages]


def png(page: str) -> bytes:
    """PNG of an SVG page on white, 1260 pixels wide."""
    fonts = [str(path) for path in _reportlab_fonts().glob("Vera*.ttf")]
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=page,
            background="white",
            zoom=_PNG_ZOOM,
            font_files=fonts,  # so that words do not vanish where the system has no Times
            serif_family="Bitstream Vera Sans",
        )
    )


def pdf(pages: Sequence[str]) -> bytes:
    """PDF of SVG pages, as vectors on A4.

    Raises:
        ScoreError: a page is not SVG.
    """
    document = io.BytesIO()
    canvas = Canvas(document, pagesize=A4)
    width, height = A4
    for page in pages:
        drawing = svg2rlg(io.BytesIO(page.encode()))
        if drawing is None:
            raise ScoreError("A page is not SVG that svglib can read.")
        scale = width / drawing.width
        drawing.scale(scale, scale)
        renderPDF.draw(drawing, canvas, 0, height - drawing.height * scale)
        canvas.showPage()
    canvas.save()
    return document.getvalue()


def _plain(page: str) -> str:
    """Simplify verovio's SVG to elements that svglib and resvg draw as browsers do.

    The nested ``svg`` becomes a group in the page's coordinates. The note of a tempo mark is text
    in a music font, which only browsers load from the page: it becomes an outline. A page's number
    becomes one text, since svglib draws each part of it at the page's left edge.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(page)
    drawing = root.find(f"{{{_SVG}}}svg")
    if drawing is None:
        raise ScoreError("verovio returned a page without a drawing.")
    root.set("viewBox", drawing.attrib.pop("viewBox"))
    drawing.tag = f"{{{_SVG}}}g"
    for group in root.iter(f"{{{_SVG}}}g"):
        for text in group.findall(f"{{{_SVG}}}text"):
            placed = text.find(f"{{{_SVG}}}tspan[@x]")
            if placed is not None:
                _flatten(text, placed)
                continue
            spans = [span for span in text.iter(f"{{{_SVG}}}tspan") if (span.text or "").strip()]
            if len(spans) > 1 and spans[0].get("font-family") == _MUSIC_FONT:
                _outline(group, text, spans[0], spans[1:])
    return ElementTree.tostring(root, encoding="unicode")


def _flatten(text: ElementTree.Element, placed: ElementTree.Element) -> None:
    """Make a text of nested parts, of which ``placed`` has its place, a plain one."""
    parts = [span for span in placed.iter(f"{{{_SVG}}}tspan") if not len(span)]
    words = "".join(span.text or "" for span in parts)
    place = {name: placed.get(name, "") for name in ("x", "y", "text-anchor")}
    size = parts[0].get("font-size", "") if parts else ""
    text.clear()
    text.attrib.update(place | {"font-size": size})
    text.text = words


def _outline(
    group: ElementTree.Element,
    text: ElementTree.Element,
    music: ElementTree.Element,
    words: Sequence[ElementTree.Element],
) -> None:
    """Replace the music characters of a tempo mark by paths, and its words by plain text."""
    x, y = float(text.get("x", 0)), text.get("y", "0")
    scale = float(music.get("font-size", "0").removesuffix("px")) / _FONT_UNITS
    for character in (music.text or "").strip():
        if character.isspace():  # between a note and its dot
            x += _BLANK * scale
            continue
        outline, advance = _glyph(f"{ord(character):X}")
        transform = f"translate({x:g}, {y}) scale({scale:g}, {-scale:g})"  # a font's y points up
        ElementTree.SubElement(group, f"{{{_SVG}}}path", d=outline, transform=transform)
        x += advance * scale
    text.clear()
    size = words[0].get("font-size", "")
    text.attrib.update({"x": f"{x:g}", "y": y, "font-size": size})
    text.text = "".join(span.text or "" for span in words)


@cache
def _glyph(code: str) -> tuple[str, float]:
    """A music character's outline and width in font units, from verovio's data files."""
    data = Path(verovio.__file__).parent / "data"
    file = data / _MUSIC_FONT / f"{code}.xml"
    outline = ElementTree.parse(file).find("path") if file.is_file() else None
    metrics = ElementTree.parse(data / f"{_MUSIC_FONT}.xml").find(f"g[@c='{code}']")
    if outline is None or metrics is None:
        raise ScoreError(f"verovio's font {_MUSIC_FONT} has no character U+{code}.")
    return outline.get("d", ""), float(metrics.get("h-a-x", 0))


def _reportlab_fonts() -> Path:
    return Path(reportlab.__file__).parent / "fonts"
