"""Text that hurts: huge numbers, and signs repeated until anything but linear time would show."""

import time
from contextlib import suppress

import pytest

from notagen.errors import NotationError, ScoreError
from notagen.generation.alignment import allowed, first_deviation, repaired
from notagen.notation import Tune, bar_duration, clean, tokens
from notagen.notation.bars import note_length
from notagen.patches import encode
from notagen.reward import bar_patches
from notagen.scores import to_midi, to_musicxml

HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\n"
DIGITS = "9" * 5000
SIGNS = ["[", "{", "&", "[V:", "[K:", "[V:1", "(", '"', "!", "^", "_", "C>", "<", ".", ":", "| ",
         "[K:C]|", "[r:", "(3", "-", "'", "C/", "[[C]", "%", " ", "\\", "+a", "!a", "$ ", "C&",
         "|1", "y", "Z999|"]  # fmt: skip


def everything(text: str) -> None:
    """Each function that takes text works or refuses it in one sentence."""
    for function in (
        clean,
        Tune.parse,
        lambda text: Tune.parse(text).complete_rests(),
        lambda text: Tune.parse(text).alignment(),
        lambda text: Tune.parse(text).to_standard(),
        lambda text: Tune.parse(text).transpose("D"),
        lambda text: bar_patches.encode(bar_patches.normal_form(Tune.parse(text))),
        encode,
        bar_patches.encode,
    ):
        with suppress(NotationError):
            function(text)


def seconds(text: str) -> float:
    start = time.process_time()
    everything(HEADER + f"[V:1]{text}C8|\n")
    line = f"[r:0/3][V:1]{text}"
    tokens(text)
    bar_duration(text)
    first_deviation(line, ["1", "2"])
    repaired(line + "|\n", ["1", "2"])
    allowed(line, "", ["1", "2"], bar_ended=True)
    return time.process_time() - start


@pytest.mark.parametrize("sign", SIGNS)
def test_repeated_signs_take_linear_time(sign):
    """In quadratic time the long text would take minutes; cubic, hours."""
    assert seconds(sign * (40_000 // len(sign))) < 10


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}[V:1]C{DIGITS}|\n",
        f"{HEADER}[V:1]C/{DIGITS}|\n",
        f"{HEADER}[V:1]C{'/' * 5000}|\n",
        f"{HEADER}[V:1](3:{DIGITS}:{DIGITS}CDE|\n",
        f"{HEADER}[V:1]C8|{DIGITS}\n",
        f"{HEADER}[V:1][{DIGITS} C8|\n",
        f"{HEADER}[V:1]C8|9999\n[V:1]C8|\n",
        f"{HEADER}[V:1]Z{DIGITS}|\n",
        f"{HEADER}[V:1][M:{DIGITS}/4][L:1/{DIGITS}][Q:1/4={DIGITS}] C8|\n",
        f"{HEADER}[V:1]C{',' * 5000}|\n",
        f"{HEADER}[V:1]{'^' * 5000}C|\n",
        f"{HEADER}[V:1]C{'>' * 5000}C|\n",
        f"{HEADER}[r:{DIGITS}/{DIGITS}][V:1]C8|\n",
        f"M:{DIGITS}/4\nK:C\n[V:1]C8|\n",
        f"L:1/{DIGITS}\nK:C\n[V:1]C8|\n",
        f"Q:1/4={DIGITS}\nK:C\n[V:1]C8|\n",
        "M:99/99\nK:C\n[V:1]C8|\n",
        "M:0/4\nK:C\n[V:1]C8|\n",
        f"K:C {'^' * 5000}c\n[V:1]C8|\n",
        f"K:C\nV:1 {'a' * 40_000}\n[V:1]C8|\n",
        f"{HEADER}[V:1]" + " ".join(f"C/{n}" for n in range(1, 999)) + "|\n",
    ],
    ids=lambda text: text.removeprefix(HEADER)[:24],
)
def test_huge_numbers_are_refused_or_left_out(text):
    everything(text)
    for write in (to_musicxml, to_midi):
        with suppress(NotationError, ScoreError):
            write(Tune.parse(text))


@pytest.mark.parametrize(
    ("music", "message"),
    [
        ("[" + "C" * 5000 + "]", "a chord of more than 100 notes"),
        ("{" + "C" * 5000 + "}C8", "a chord of more than 100 notes"),
        ("C&" * 5000 + "C", "more than 16 voices on one staff"),
    ],
)
def test_more_than_a_score_holds_is_not_written_out(music, message):
    with pytest.raises(ScoreError, match=message):
        to_musicxml(Tune.parse(f"{HEADER}[V:1]{music}|\n"))


def test_a_book_of_a_thousand_pages_is_not_written_out():
    text = HEADER + "[V:1]CDEFGABc|\n" * 7000
    with pytest.raises(ScoreError, match="more than 50000 notes"):
        to_midi(Tune.parse(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "[V:1]" + "C" * 50_001 + "|\n", "line 5: 50007 characters are more than"),
        (HEADER + "".join(f"V:a{n}\n" for n in range(300)) + "[V:1]C|\n", "more than 256 voices"),
        (HEADER + "[V:1]C|\n" * 20_001, "more than 20000 bars"),
        (HEADER + "V:1\n" + "Z999|" * 30 + "\n", "more than 20000 bars"),
        (HEADER + "[V:1]2 C|\n", "bar 1 of voice 1 starts with '2 C'"),
    ],
)
def test_what_no_score_has_is_refused(text, message):
    with pytest.raises(NotationError, match=message):
        Tune.parse(text)


def test_no_length_of_a_note_is_refused():
    with pytest.raises(NotationError, match="is not the length of a note"):
        note_length(DIGITS)


def test_encoders_read_ascii():
    text = Tune.parse(f'{HEADER}[V:1]"^Più ♯ f"C8|\n')
    patches = bar_patches.encode(bar_patches.normal_form(text))
    assert b'"^Piu' in patches.tobytes()
