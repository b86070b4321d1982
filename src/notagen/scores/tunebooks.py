"""ABC files of many tunes, cut into texts of one tune each (ABC 2.1, section 2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_FIELD = re.compile(r"(?P<letter>[A-Za-z]):")
_TUNE = re.compile(r"^X:", re.MULTILINE)
_BLANK = re.compile(r"\n[ \t]*\n\s*")
_COMMENT = re.compile(r"^([A-Za-z]:[^%\n]*?)[ \t]*%.*$", re.MULTILINE)
_GOES_ON = re.compile(r"V:|\[V:|%%")


def split_tunes(text: str) -> Iterator[str]:
    """Yield the tunes of an ABC text, each with those fields of the file's header that it lacks.

    A text without ``X:`` is one tune. A tune ends with a blank line; but one within its header, or
    before the music of another voice, is passed over. Words between tunes, and comments behind
    fields, are left out.
    """
    text = _COMMENT.sub(r"\1", text.replace("\r\n", "\n").replace("\r", "\n"))
    starts = [match.start() for match in _TUNE.finditer(text)]
    if not starts:
        yield text
        return
    shared = [line for line in text[: starts[0]].split("\n") if _FIELD.match(line)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield _with_fields(shared, _without_words(text[start:end]))


def _without_words(text: str) -> str:
    """Drop what follows a tune after a blank line."""
    tune, *sections = _BLANK.split(text)
    for section in sections:
        if "\nK:" in tune and not _GOES_ON.match(section):
            break
        tune += f"\n{section}"
    return tune


def _with_fields(shared: Sequence[str], tune: str) -> str:
    """Put shared fields below the tune's number, but for those that the tune has itself."""
    number, *lines = tune.split("\n")
    own = {match["letter"] for line in lines if (match := _FIELD.match(line))}
    inherited = (line for line in shared if line[0] not in own)
    return "\n".join((number, *inherited, *lines))
