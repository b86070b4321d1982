"""Parser of ABC tunes: header, voices and bars, of interleaved and of standard text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from notagen.errors import NotationError
from notagen.notation.bars import ANNOTATION, DECORATION, FIELD, QUOTED, Bar

Bars = tuple[Mapping[str, Bar], ...]

HEADER_FIELD = re.compile(r"[A-Za-z]:")
# A field, unless the letter can be music and a barline begins with the colon: A:| A:: x:]
BODY_FIELD = re.compile(r"[I-Wmrsw]:|[A-Za-z]:(?!:|\[?\||\])")
_INLINE = "IKLMPQ"  # body fields kept as inline fields; the others hold no music
STREAM_MARK_START = "[r:"
STREAM_MARK = re.compile(r"\[r:(\d{1,6})/(\d{1,6})\]")  # see stream_mark

_VOICE_FIELD = re.compile(r"V:\s*([^][\s]+)[ \t]*(.*)")  # V:1 treble nm="Violin"
_INLINE_VOICE = re.compile(r"\[V:\s*+([^][\s]++)[^][]*+\]")  # [V:1] or [V:1 clef=bass]
# Quoted text is matched first and kept, so that its `%` is no comment; `\` at the end of a line
# only joins it to the next.
_COMMENT = re.compile(rf"({QUOTED})|(?<!\\)%.*|\\+$")
# | || |] [| [|] |: :| :: ::: :||: .| and :] (an old form of :|)
_BARLINE = r"\.?(?::*\[?\|[|\]]*:*|::+|:\])"
_ENDING = r"\d{1,2}(?:[,-]\d{1,2}){0,9}(?!\d)"  # 1 or 1,3 or 1-3
# Barlines outside quotes, decorations and fields: `"a|b" !a|b! [r:a|b]` are matched whole, before.
_CUT = re.compile(
    rf"""{QUOTED}|{DECORATION}|{FIELD}
    |(?P<barline>{_BARLINE})(?:\s*\[?(?P<ending>{_ENDING}))?""",
    re.VERBOSE,
)
# One voice's bar in a line, as nearly all are: `[V:1]!f! "^a|b" [CE]2 .F (3:2:3GAB:|2`, groups
# `1`, `!f! "^a|b" [CE]2 .F (3:2:3GAB`, `:|2`. Not plain, and left to _parse_line: a barline before
# the music (`[V:1]|:C|`), a rest of several bars (`Z4`), an empty bar, two bars.
# The music is decorations and fields first, then at least one character that is no barline; for a
# `[`, `.` or `:`, which could begin one, the character behind it decides. The quantifiers are
# possessive (++, *+): with backtracking, a line that fails would be tried in exponentially many
# divisions; the alternatives exclude each other, so that nothing is lost.
_PLAIN_BAR = re.compile(
    rf"""\[V:([^][\s]+)\](?!\s*[ZX]\d)
    ((?:[.~\s]++|{QUOTED}|{DECORATION}|{FIELD})*+
    (?:[^|:"!\[.]++|\[(?![A-Za-z]:|\|)|[.:](?![|:\[\]])|{QUOTED}|{DECORATION}|{FIELD})++)
    (\||{_BARLINE}(?:{_ENDING})?)(?=\[V:|$)""",
    re.VERBOSE,
)
_NO_MUSIC = re.compile(rf"(?:{QUOTED}|{DECORATION}|{FIELD}|[.~\s])*+")
# What may stand between two barlines without a bar there: annotations, decorations, fields, signs
# of a line's end. A chord symbol is a bar of a chord chart.
_NO_BAR = re.compile(rf"(?:{ANNOTATION}|{DECORATION}|{FIELD}|[.~H-Wh-w\s$!\\])*+")
_NOTHING = re.compile("")
_LINE_BREAK = re.compile(r"(?<!\s)[^\S\n]*+\n\s*+")
_MAX_LINE = 50_000  # characters of a line of music
_MAX_BARS = 20_000
_MAX_VOICES = 256
# `Z4`, also behind fields and decorations: `[K:G] !fermata!Z4`
_LONG_REST = re.compile(rf"((?:{QUOTED}|{DECORATION}|{FIELD}|\s)*+)([ZX])(\d{{1,3}})")


class _Line(NamedTuple):
    number: int
    text: str


def stream_mark(index: int, n_following: int) -> str:
    """Mark that opens a body line: ``[r:3/96]`` is the fourth bar, before 96 others.

    It shows the model how far the piece has come and how much is left.
    """
    return f"[r:{index}/{n_following}]"


def parse_tune(text: str) -> tuple[tuple[str, ...], Bars]:
    """Parse header lines and bars; see :meth:`notagen.notation.Tune.parse`."""
    lines = [_Line(i, line.rstrip("\r")) for i, line in enumerate(text.split("\n"), start=1)]
    for number, line in lines:
        if len(line) > _MAX_LINE:
            raise NotationError(
                f"line {number}: {len(line)} characters are more than the {_MAX_LINE} of the "
                "longest line of music; break it at a barline"
            )
    start = _body_start(lines)
    header = [line.text for line in lines[:start] if line.text.strip()]
    body = [_Line(n, line) for n, raw in lines[start:] if (line := _uncommented(raw))]
    if not body:
        raise NotationError("the text holds no music, only a header")
    if len(declared_voices(header)) > _MAX_VOICES:
        raise NotationError(f"the header declares more than {_MAX_VOICES} voices")
    if _is_interleaved(body):
        bars = _interleaved(body, declared_voices(header))
    else:
        header, bars = _standard(header, body)
    _check_beginnings(bars)
    return tuple(header), bars


def _check_beginnings(bars: Bars) -> None:
    """Check that no bar begins as an ending does behind a barline, or a field on a line."""
    for number, voices in enumerate(bars, start=1):
        for voice, bar in voices.items():
            if bar.text[:1].isdigit() or bar.text[1:2] == ":":
                raise NotationError(
                    f"bar {number} of voice {voice} starts with {bar.text[:9]!r}, which is no music"
                )


def declared_voices(header: Iterable[str]) -> tuple[str, ...]:
    """Ids of the header's ``V:`` lines, in order."""
    matches = (_VOICE_FIELD.match(line) for line in header)
    return tuple(dict.fromkeys(match[1] for match in matches if match))


def split_bars(music: str, *, standard: bool = False) -> list[Bar]:
    """Cut one voice's music at its barlines; nothing between two barlines is lost.

    Barlines with only blanks between them are one barline, in ``standard`` text also with fields
    and decorations, which belong to the bar after it. Text without a note or rest before the first
    barline belongs to the first bar, and after the last barline to the last.
    Raises NotationError (a ValueError) for more than 20,000 bars.
    """
    bars: list[Bar] = []
    left: list[str] = []  # barlines before the first note, `|:` for instance
    before: list[str] = []  # text before the first note, `[K:F]` in `[K:F]|:C|`, put before it
    right: list[str] = []  # barlines after the last of `bars`
    empty = _NO_BAR if standard else _NOTHING
    start = 0
    for match in _CUT.finditer(music):
        if match["barline"] is None:
            continue
        text = _trimmed(music[start : match.start()])
        barline = match["barline"] + (match["ending"] or "")
        start = match.end()
        if not bars and not _has_music(text):
            left.append(barline)
            before += [text] if text else []
        elif not bars or right[-1][-1].isdigit() or not empty.fullmatch(text):
            # behind an ending's number a blank is a bar
            _close(bars, right)
            bars += _unrolled(" ".join(filter(None, [*before, text])), "".join(left))
            if len(bars) > _MAX_BARS:
                raise NotationError(f"a voice has more than {_MAX_BARS} bars; cut the piece")
            left, before, right = [], [], [barline]
        else:
            right.append(barline)
            before += [text] if text else []
    _close(bars, right)
    tail = " ".join([*before, *filter(None, [_trimmed(music[start:])])])
    if _has_music(tail):
        bars += _unrolled(tail, "".join(left))
        bars[-1] = bars[-1]._replace(right="")
    elif bars and tail:
        bars[-1] = bars[-1]._replace(text=f"{bars[-1].text} {tail}")
    elif not bars and (tail or left):
        bars.append(Bar(tail, "".join(left)))
    return bars


def _close(bars: list[Bar], right: Sequence[str]) -> None:
    """Put the barlines ``right`` after the last bar; a plain one before `:|` says nothing more."""
    if bars:
        first, *others = right or [""]
        plain = first == "|" and others and others[0].startswith(":")
        bars[-1] = bars[-1]._replace(right="".join(others if plain else right))


def _body_start(lines: Sequence[_Line]) -> int:
    """Index of the first line of music, or of the ``V:`` line that opens its block."""
    field = HEADER_FIELD
    opener = None
    declared: set[str] = set()
    for i, (_, line) in enumerate(lines):
        if not line.strip() or line.startswith("%"):
            continue
        # Before K: any letter opens a field; after it some letters open music, as in `A:|`.
        if not field.match(line):
            interleaved = _INLINE_VOICE.match(line) or STREAM_MARK.match(line)
            return i if interleaved or opener is None else opener
        if voice := _VOICE_FIELD.match(line):
            if field is BODY_FIELD or voice[1] in declared:  # a header without K: has voices, too
                opener = i
            declared.add(voice[1])
        elif line.startswith("K:"):
            field = BODY_FIELD
    return len(lines)


def _uncommented(line: str) -> str:
    if "%" not in line and not line.endswith("\\"):
        return line.strip()
    return _COMMENT.sub(lambda match: match[1] or "", line).strip()


def _is_interleaved(body: Sequence[_Line]) -> bool:
    if STREAM_MARK.match(body[0].text):
        return True
    if any(len(_INLINE_VOICE.findall(line)) > 1 for _, line in body):
        return True
    # One voice per line: interleaved text of a solo, or standard text with `[V:1]` for `V:1`.
    return all(_INLINE_VOICE.match(line) and len(split_bars(line)) == 1 for _, line in body)


def _interleaved(body: Sequence[_Line], declared: Sequence[str]) -> Bars:
    known = list(declared)
    seen: set[str] = set()  # voices of earlier bars
    bars: list[dict[str, Bar]] = []
    if len(body) > _MAX_BARS:
        raise NotationError(f"the tune has more than {_MAX_BARS} bars; cut the piece")
    for number, text in body:
        mark = STREAM_MARK.match(text)
        line = text[mark.end() :] if mark else text
        voices = _parse_plain_line(line) or _parse_line(number, line, seen)
        for voice in voices:
            if voice not in known:
                if declared:
                    raise NotationError(f"line {number}: no V:{voice} line declares voice {voice}")
                known.append(voice)
                if len(known) > _MAX_VOICES:
                    raise NotationError(f"line {number}: there are more than {_MAX_VOICES} voices")
        seen.update(voices)
        bars.append({voice: voices[voice] for voice in known if voice in voices})
    return tuple(bars)


def _parse_plain_line(line: str) -> dict[str, Bar] | None:
    """Bars of a line without anything unusual, as :func:`_parse_line` returns them, but faster.

    None for other lines: where the matches do not cover the line, or a voice occurs twice.
    """
    matches = _PLAIN_BAR.findall(line)
    voices = {voice: Bar(text.strip(), barline) for voice, text, barline in matches}
    matched = sum(len("[V:]") + len("".join(groups)) for groups in matches)
    return voices if matched == len(line) and len(voices) == line.count("[V:") else None


def _parse_line(number: int, line: str, seen: Collection[str]) -> dict[str, Bar]:
    outside, *parts = _INLINE_VOICE.split(line)
    if outside.strip() or not parts:
        raise NotationError(f"line {number}: expected a bar to start with [V:, found {line!r}")
    voices: dict[str, Bar] = {}
    for voice, music in zip(parts[::2], parts[1::2], strict=True):
        if voice in voices:
            raise NotationError(f"line {number}: voice {voice} stands twice in one bar")
        voices[voice] = _only_bar(music, number, voice, first=voice not in seen)
    return voices


def _only_bar(music: str, number: int, voice: str, *, first: bool) -> Bar:
    bars = split_bars(music)
    if len(bars) > 1 or (bars and bars[0].text and bars[0].left and not first):
        raise NotationError(f"line {number}: voice {voice} holds more than one bar")
    return bars[0] if bars else Bar("", "")


def _standard(header: Sequence[str], body: Sequence[_Line]) -> tuple[list[str], Bars]:
    kept = list(header)
    voice = next(iter(declared_voices(header)), "1")
    music: dict[str, list[str]] = {name: [] for name in declared_voices(header)}
    for number, line in body:
        if line.startswith("X:"):
            raise NotationError(f"line {number}: a second tune starts here; parse one at a time")
        opener = _VOICE_FIELD.match(line)
        if opener:
            voice = opener[1]
            if opener[2].strip() and voice not in music:
                kept.append(line)  # declared where its music starts: `V:2 clef=bass`
            music.setdefault(voice, [])
        elif BODY_FIELD.match(line):
            if line[0] in _INLINE:
                music.setdefault(voice, []).append(f"[{line}]")
        else:
            before, *parts = _INLINE_VOICE.split(line)
            music.setdefault(voice, []).append(before)
            for voice, part in zip(parts[::2], parts[1::2], strict=True):
                music.setdefault(voice, []).append(part)
    if declared := declared_voices(kept):  # all or none
        kept += [f"V:{name}" for name in music if name not in declared]
    if len(music) > _MAX_VOICES:
        raise NotationError(f"there are more than {_MAX_VOICES} voices")
    ordered = dict.fromkeys((*declared_voices(kept), *music))
    voices = {name: split_bars("\n".join(music.get(name, [])), standard=True) for name in ordered}
    count = max(map(len, voices.values()))
    if count == 0:
        raise NotationError("the text holds no music, only a header")
    bars = ({v: own[i] for v, own in voices.items() if i < len(own)} for i in range(count))
    return kept, tuple(bars)


def _trimmed(text: str) -> str:
    return _LINE_BREAK.sub(" ", text.strip())


def _has_music(text: str) -> bool:
    return not _NO_MUSIC.fullmatch(text)


def _unrolled(text: str, left: str) -> list[Bar]:
    """Expand a rest of several bars, after the barline ``left``: ``Z4`` becomes four bars ``Z``."""
    long_rest = _LONG_REST.fullmatch(text)
    if not long_rest or int(long_rest[3]) == 0:
        return [Bar(text, left=left)]
    before, letter, count = long_rest[1], long_rest[2], int(long_rest[3])
    return [Bar(before + letter, left=left), *[Bar(letter)] * (count - 1)]
