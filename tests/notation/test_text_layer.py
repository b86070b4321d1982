"""Parsing, printing, rests and transposition against answers of the published program."""

import json
from pathlib import Path

import pytest

from notagen.notation import Tune

GOLDEN = Path(__file__).parents[1] / "golden"
PIECES = json.loads((GOLDEN / "text_layer.json").read_text())["pieces"]
COMPLETIONS = json.loads((GOLDEN / "rest_completion.json").read_text())
pieces = pytest.mark.parametrize("piece", PIECES, ids=[piece["name"] for piece in PIECES])

# The published program knows 12 spellings of minor keys. Three of its 15 answers for a minor piece
# are the flat neighbour of the key that was asked for, with a signature that is not the asked one.
# We write the asked signature, so that 15 keys are 15 texts.
MINOR_RESPELLED = {"C#": "Bbmin", "F#": "Ebmin", "B": "Abmin"}

# Where a passage turns to the parallel minor, the published program names keys of eight to ten
# flats, but spells the notes after the key signature of their sharp neighbour. We name that one.
KEYS_OF_MANY_FLATS = {"[K:Cbmin]": "[K:Bmin]", "[K:Dbmin]": "[K:C#min]", "[K:Gbmin]": "[K:F#min]"}


@pieces
def test_prints_published_interleaved_text(piece):
    assert Tune.parse(piece["standard"]).to_interleaved() == piece["interleaved"]


@pieces
@pytest.mark.parametrize("layout", ["interleaved", "deinterleaved"])
def test_reads_the_same_tune_from_every_layout(piece, layout):
    assert Tune.parse(piece[layout]) == Tune.parse(piece["standard"])


@pieces
def test_prints_standard_text_that_is_the_same_tune(piece):
    tune = Tune.parse(piece["interleaved"])
    assert Tune.parse(tune.to_standard()) == tune


@pieces
def test_agrees_on_alignment(piece):
    assert list(Tune.parse(piece["standard"]).alignment()) == piece["alignment"]


@pieces
def test_transposes_as_published(piece):
    tune = Tune.parse(piece["standard"])
    minor = "K:Emin" in tune.header
    for key, published in piece["transposed"].items():
        if minor and key in MINOR_RESPELLED:
            continue
        for wrong, right in KEYS_OF_MANY_FLATS.items():
            published = published.replace(wrong, right)
        assert tune.transpose(key).to_interleaved(omit_rests=True) == published


@pieces
def test_transposes_rest_omitted_text_alike(piece):
    tune = Tune.parse(piece["standard"])
    assert tune.omit_rests().transpose("A") == tune.transpose("A").omit_rests()


def test_minor_keys_have_fifteen_spellings_where_published_ones_have_twelve():
    piece = next(piece for piece in PIECES if "K:Emin" in piece["standard"])
    tune = Tune.parse(piece["standard"])
    ours = {key: tune.transpose(key) for key in piece["transposed"]}
    assert len(set(piece["transposed"].values())) == 12
    assert len({transposed.header for transposed in ours.values()}) == 15
    for key, published in MINOR_RESPELLED.items():
        assert f"K:{published}" in piece["transposed"][key]
        assert ours[key].key == key


@pytest.mark.parametrize("example", COMPLETIONS)
def test_completes_rests_as_published(example):
    assert (
        Tune.parse(example["generated"]).complete_rests().to_interleaved() == (example["completed"])
    )


@pytest.mark.parametrize("example", COMPLETIONS)
def test_omits_the_rests_it_completed(example):
    tune = Tune.parse(example["generated"])
    assert tune.complete_rests().omit_rests() == tune.omit_rests()
    assert tune.to_interleaved(stream_marks=True) == example["generated"]
