from hypothesis import given, settings
from hypothesis import strategies as st

from notagen.notation.parser import _parse_line, _parse_plain_line

# Signs that the parser distinguishes in a bar, and others that resemble them.
SIGNS = "| || :| |: :: .| : [ ] [| |1 1 . ~ % ! !f! !a|b! z Z4 X C [CE] (3:2:3 [K:F] [V:1] [V:2]"
pieces = st.sampled_from([*SIGNS.split(" "), " ", '"', '"a|b"'])


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join), st.booleans())
def test_a_plain_line_is_parsed_as_any_other(music, opening):
    line = f"[V:1]{music}" if opening else f"[V:1]C|{music}"
    plain = _parse_plain_line(line)
    if plain is not None:
        assert plain == _parse_line(1, line, [])


def test_the_lines_of_a_score_are_plain():
    line = '[V:1]!f! "^a|b" [CE]2 .F (3:2:3GAB:|2[V:2][K:F] z8:|2[V:S]Z:|2'
    voices = _parse_plain_line(line) or {}
    assert [bar.right for bar in voices.values()] == [":|2"] * 3


def test_what_is_not_plain_is_left_to_the_slower_parser():
    for line in ("[V:1]|:C|", "[V:1]C|D|", "[V:1]C|[V:1]D|", "[V:1]Z4|", "[V:1]C", "C|"):
        assert _parse_plain_line(line) is None, line
