import json
from pathlib import Path

import pytest

from notagen import reward
from notagen.data import storage
from notagen.reward.similarity import score

ENCODER = Path(__file__).parent / "golden" / "tiny_clamp2.pth"


def test_the_pieces_most_like_the_reference_are_a_corpus_of_their_own(run, corpus, rows):
    choose = (
        f"corpus.prepared={corpus}",
        f"encoder={ENCODER}",
        "fraction=0.5",
        "out=datasets/like",
    )
    run("select", *choose, "like='bars < 20'")
    chosen = storage.read(Path("datasets/like"), "train")
    encoder = reward.load(ENCODER)
    [reference] = [row["text"] for row in rows[:6] if row["bars"] < 20]
    scores = score(encoder.encode([row["text"] for row in rows[:6]]), encoder.encode([reference]))
    nearest = set(scores.score.topk(3).indices.tolist())
    assert chosen["piece"][:] == [row["piece"] for i, row in enumerate(rows[:6]) if i in nearest]
    assert reference in chosen["text"][:]
    card = json.loads(Path("datasets/like/card.json").read_text())
    assert card["pieces"] == {"train": 3, "validation": 2}


def test_a_corpus_is_not_replaced_by_a_part_of_itself(run, corpus):
    known = (f"corpus.prepared={corpus}", f"encoder={ENCODER}", "like='bars < 20'")
    with pytest.raises(SystemExit, match="is the corpus to choose from"):
        run("select", *known, f"out={corpus}/../{corpus.name}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["like='bars < 2'"], "no training pieces like"),
        (["like='colour == 3'"], "cannot choose pieces by"),
        (["like='bars < 20'", "fraction=0"], "fraction must be a number above 0 to 1, not"),
        (["like='bars < 20'", "fraction=half"], "fraction must be a number above 0 to 1, not"),
        (["like='bars < 20'", "encoder=nowhere"], "no music encoder at nowhere"),
    ],
)
def test_select_explains_errors(run, corpus, overrides, message):
    with pytest.raises(SystemExit, match=message):
        run("select", f"corpus.prepared={corpus}", f"encoder={ENCODER}", "out=like", *overrides)
