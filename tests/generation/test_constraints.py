import random

import pytest

from notagen.errors import UserError
from notagen.generation import Form, Sampling, generate
from notagen.generation.piece import PartialPiece
from notagen.model import ModelConfig, NotaGen
from notagen.notation import Tune


def written_by_chance(form: Form, seed: int) -> list[str]:
    """A header of random letters, where the form does not say which."""
    rng = random.Random(seed)
    header, line = [], ""
    while True:
        allowed = form.allowed(header, line) or ("\n" if len(line) > 9 else "%LQMKV[: x")
        character = rng.choice(allowed)
        if line == "" and character == "[":
            return header
        line += character
        if character == "\n":
            header.append(line[:-1])
            line = ""


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_model_writes_every_asked_line_is_there_in_order(seed):
    form = Form(metre="3/4", key="F#min", tempo=96, voices=["Violin", "Viola", "Cello"])
    header = written_by_chance(form, seed)
    for line in ("Q:1/4=96", "M:3/4", "K:F#min"):
        assert header.count(line) == 1
    order = [line[0] for line in header if line[0] != "%"]
    assert order in (list("QMKVVV"), list("LQMKVVV"))
    for number, name in enumerate(["Violin", "Viola", "Cello"], start=1):
        opening, clef, rest = header[number - 4].split(" ")
        assert (opening, rest) == (f"V:{number}", f'nm="{name}"')
        assert clef


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("voices", [1, 4, 12])
def test_a_score_line_names_every_voice_once_and_closes_its_groups(voices, seed):
    header = written_by_chance(Form(voices=voices), seed)
    [score] = [line for line in header if line.startswith("%%score")]
    words = score.split(" ")[1:]
    assert [word for word in words if word.isdigit()] == [str(v + 1) for v in range(voices)]
    for opening, closing in ("[]", "{}", "()"):
        assert words.count(opening) == words.count(closing)
    assert sum(line.startswith("V:") for line in header) == voices


def test_what_a_prompt_holds_stays():
    form = Form(metre="3/4", key="C", voices=2)
    header = ["%%score 1 2", "L:1/8", "M:4/4"]
    assert form.allowed(header, "") == "K"
    assert form.allowed([*header, "K:G", "V:1", "V:2"], "") == "["


def test_nothing_asked_leaves_everything_to_the_model():
    for line in ("", "%", "V:", "K:"):
        assert Form().allowed(["L:1/8"], line) is None


def test_bars_decide_the_marks():
    draft = PartialPiece("L:1/8\nK:C\nV:1 treble\n", Form(bars=32))
    mark = ""
    while not mark.endswith("]"):
        mark += draft.allowed(mark) if mark else "["
    assert mark == "[r:0/31]"


def test_even_an_untrained_model_keeps_to_the_form():
    model = NotaGen(ModelConfig(1, 1, 64, patch_length=64, dropout=0.0))
    form = Form(metre="6/8", key="Dm", tempo="3/8=60", voices=["Flute", "Bassoon"])
    pieces = generate(model, ["%%score 1 2\nL:1/8\n"], Sampling(), max_patches=40, form=form)
    [text] = [piece.text for piece in pieces]
    assert text.startswith("%%score 1 2\nL:1/8\nQ:3/8=60\nM:6/8\nK:Dmin\nV:1 ")
    header = text.splitlines()[5:7]
    assert header[0].endswith('nm="Flute"')
    assert header[1].endswith('nm="Bassoon"')
    assert Tune.parse(text + "[V:1]C6|\n").voices == ("1", "2")


def test_one_voice_may_be_named_alone():
    assert Form(voices="Flute") == Form(voices=("Flute",))


def test_a_key_is_written_as_in_corpora():
    assert [Form(key=key).key for key in ("D minor", "Dm", "F#min", "G major", "Amix", "none")] == [
        "Dmin", "Dmin", "F#min", "G", "Amix", "none",
    ]  # fmt: skip


def test_more_voices_than_a_context_holds_are_refused():
    model = NotaGen(ModelConfig(1, 1, 64, patch_length=64, dropout=0.0))
    with pytest.raises(UserError, match=r"form\.voices=64 is more than this model can read"):
        next(generate(model, [""], form=Form(voices=64)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"bars": 0},
        {"bars": 1001},
        {"bars": "two"},
        {"bars": 2.5},
        {"metre": 3},
        {"key": 5},
        {"voices": 2.5},
        {"voices": [1, 2]},
        {"metre": "3/5"},
        {"key": "H"},
        {"key": ""},
        {"key": "Cclef=bass"},
        {"key": "C bass"},
        {"key": "G#"},
        {"tempo": "fast"},
        {"tempo": 99999},
        {"tempo": "1/64=60"},
        {"tempo": 1},
        {"voices": 0},
        {"voices": []},
        {"voices": ['a"b']},
    ],
)
def test_impossible_wishes_are_refused(wrong):
    [name] = wrong
    with pytest.raises(UserError, match=f"form.{name} must be"):
        Form(**wrong)
