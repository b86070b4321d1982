"""Text strings: HTML entities and the escapes of ABC."""

import pytest

from notagen.scores.text_strings import plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\`a \'e \^i \~n \"u \cc \vs \uA \HO \=o \/o \aa \AE \ss", "à é î ñ ü ç š Ă Ő ō ø å Æ ß"),
        (r"\u00e9t\U000000e9", "été"),
        (r"100\% \& more \\o/", r"100% & more \o/"),
        ("Caf&eacute; &amp; Th&#233;", "Café & Thé"),
        ("  two \n lines ", "two lines"),
        (r"no \Qscape &such;", r"no \Qscape &such;"),
        (r"\ud800 \Uffffffff", r"\Uffffffff"),
        ("plain", "plain"),
    ],
)
def test_escapes_become_characters(text, plain):
    assert plain_text(text) == plain
