"""Probes of a music encoder: labels by a linear model, and real pieces against corrupted ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from notagen.data.pieces import collection_of, prompt_of
from notagen.errors import UserError
from notagen.notation import Tune
from notagen.reward.corruption import Corruption, scatter_notes, shuffle_bars, shuffle_voices
from notagen.reward.loading import Encoder
from notagen.reward.similarity import score

CORRUPTIONS: Final[dict[str, Corruption]] = {
    "shuffled bars": shuffle_bars,
    "shuffled voices": shuffle_voices,
    "noise": scatter_notes,
}


class LabelProbe(NamedTuple):
    """Accuracy of a linear model that predicts a label of held-out pieces from their features."""

    label: str
    pieces: int
    classes: int
    accuracy: float
    balanced_accuracy: float  # mean over the classes
    majority: float  # accuracy of always predicting the most frequent class

    def __str__(self) -> str:
        return (
            f"{self.label}: accuracy {self.accuracy:.3f} (majority {self.majority:.3f}), balanced "
            f"{self.balanced_accuracy:.3f}, {self.pieces} pieces of {self.classes} classes"
        )


class OrderProbe(NamedTuple):
    """Cosines of held-out pieces of one kind, real and corrupted, with the mean real piece."""

    kind: str
    pieces: int
    cosine: dict[str, float]  # mean, by corruption ("real" for none)
    below_real: dict[str, float]  # share of pieces that score lower corrupted than real
    in_order: float  # share with real > shuffled bars > noise

    def __str__(self) -> str:
        cosines = ", ".join(f"{name} {value:.3f}" for name, value in self.cosine.items())
        shares = ", ".join(f"{name} {value:.2f}" for name, value in self.below_real.items())
        return (
            f"{self.kind}, {self.pieces} pieces: mean cosine {cosines}; below real: {shares}; "
            f"real > shuffled bars > noise: {self.in_order:.2f}"
        )


def probe(
    encoder: Encoder,
    train: Dataset,
    validation: Dataset,
    columns: Sequence[str],
    min_real: int,
    max_per_label: int,
    seed: int,
) -> list[LabelProbe | OrderProbe]:
    """All probes of an encoder: one per label column, then one per kind of piece.

    Args:
        encoder: computes features.
        train: rows to fit on and to compare with.
        validation: rows to test on.
        columns: labels to predict.
        min_real, max_per_label, seed: as in :func:`label_probe` and :func:`order_probe`.
    """
    return [
        *(label_probe(encoder, train, validation, column, max_per_label) for column in columns),
        *order_probe(encoder, train, validation, min_real, max_per_label, seed),
    ]


def check_labels(train: Dataset, validation: Dataset, columns: Sequence[str]) -> None:
    """See that each column can be predicted, before any piece is encoded.

    Raises:
        UserError: a split is empty, or a column is unknown, has fewer than two labels to fit, or
            none to test.
    """
    for name, rows in (("training", train), ("validation", validation)):
        if len(rows) == 0:
            raise UserError(f"the corpus has no {name} pieces, so there is nothing to probe")
    for column in columns:
        if column not in ("collection", *train.column_names):
            raise UserError(
                f"columns has {column}, which the corpus has not; choose from collection, "
                f"{', '.join(name for name in train.column_names if name != 'text')}"
            )
        fitted, tested = (
            {_label(row, column) for row in rows.remove_columns("text")} - {""}
            for rows in (train, validation)
        )
        if len(fitted) < 2 or not tested:
            raise UserError(
                f"column {column} has {len(fitted)} labels to fit and {len(tested)} to test, which "
                "is too few; leave it out of columns"
            )


def label_probe(
    encoder: Encoder, train: Dataset, validation: Dataset, column: str, max_per_label: int
) -> LabelProbe:
    """Fit logistic regression to the training pieces, test it on the validation pieces.

    Pieces without the label are left out, as are those beyond ``max_per_label`` per label. Column
    ``collection`` is the first folder of a piece's name.
    """
    fitted, scored = (_labelled(rows, column, max_per_label) for rows in (train, validation))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(encoder.encode([text for text, _ in fitted]).numpy(), [label for _, label in fitted])
    truth = [label for _, label in scored]
    predictions = model.predict(encoder.encode([text for text, _ in scored]).numpy())
    majority = Counter(label for _, label in fitted).most_common(1)[0][0]
    return LabelProbe(
        label=column,
        pieces=len(scored),
        classes=len({label for _, label in fitted}),
        accuracy=float(np.mean(predictions == np.array(truth))),
        balanced_accuracy=float(
            recall_score(truth, predictions, labels=sorted(set(truth)), average="macro")
        ),
        majority=float(np.mean([label == majority for label in truth])),
    )


def order_probe(
    encoder: Encoder,
    train: Dataset,
    validation: Dataset,
    min_real: int,
    max_per_label: int,
    seed: int,
) -> list[OrderProbe]:
    """Compare held-out pieces, real and corrupted, with the training pieces of the same kind.

    A kind is one combination of period, composer and instrumentation. Kinds with fewer than
    ``min_real`` training pieces or without held-out pieces are left out, as are pieces beyond
    ``max_per_label`` per kind.
    """
    real, held_out = (_by_kind(rows, max_per_label) for rows in (train, validation))
    kinds = [kind for kind, texts in real.items() if len(texts) >= min_real and kind in held_out]
    return [_order(encoder, kind, real[kind], held_out[kind], seed) for kind in kinds]


def _order(
    encoder: Encoder, kind: str, real: list[str], held_out: list[str], seed: int
) -> OrderProbe:
    references = encoder.encode(real)
    rng = np.random.default_rng(seed)
    tunes = [Tune.parse(text) for text in held_out]
    scores = {"real": score(encoder.encode(held_out), references).score}
    for name, corrupt in CORRUPTIONS.items():
        texts = [corrupt(tune, rng).to_interleaved() for tune in tunes]
        scores[name] = score(encoder.encode(texts), references).score
    in_order = (scores["real"] > scores["shuffled bars"]) & (
        scores["shuffled bars"] > scores["noise"]
    )
    return OrderProbe(
        kind=kind,
        pieces=len(held_out),
        cosine={name: float(cosines.mean()) for name, cosines in scores.items()},
        below_real={
            name: float((scores[name] < scores["real"]).float().mean()) for name in CORRUPTIONS
        },
        in_order=float(in_order.float().mean()),
    )


def _labelled(rows: Dataset, column: str, max_per_label: int) -> list[tuple[str, str]]:
    """Texts and labels of the pieces that have one."""
    groups = _grouped(rows, lambda row: _label(row, column), max_per_label)
    return [(text, label) for label, texts in groups.items() if label for text in texts]


def _label(row: dict[str, Any], column: str) -> str:
    return collection_of(row["piece"]) if column == "collection" else str(row[column])


def _by_kind(rows: Dataset, max_per_label: int) -> dict[str, list[str]]:
    return _grouped(
        rows, lambda row: ", ".join(filter(None, prompt_of(row))) or "no labels", max_per_label
    )


def _grouped(
    rows: Dataset, name: Callable[[dict[str, Any]], str], max_per_label: int
) -> dict[str, list[str]]:
    """The first ``max_per_label`` texts of each name, by name."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if len(texts := groups[name(row)]) < max_per_label:
            texts.append(row["text"])
    return dict(groups)
