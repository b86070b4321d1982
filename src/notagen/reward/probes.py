"""What a music encoder's features tell: linear probes of labels, and real against corrupted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from notagen.data.pieces import collection_of, prompt_of
from notagen.notation import Tune
from notagen.reward.corruption import Corruption, scatter_notes, shuffle_bars, shuffle_voices
from notagen.reward.similarity import score

CORRUPTIONS: Final[dict[str, Corruption]] = {
    "shuffled bars": shuffle_bars,
    "shuffled voices": shuffle_voices,
    "noise": scatter_notes,
}


class Encoder(Protocol):
    """What computes features."""

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Features of pieces, float32 [texts, features]."""
        ...


class LabelProbe(NamedTuple):
    """How well a label can be read off the features of held-out pieces, by a linear model."""

    label: str
    pieces: int
    classes: int
    accuracy: float
    balanced_accuracy: float  # mean over the classes
    majority: float  # accuracy of always saying the commonest class

    def __str__(self) -> str:
        return (
            f"{self.label}: accuracy {self.accuracy:.3f} (majority {self.majority:.3f}), balanced "
            f"{self.balanced_accuracy:.3f}, {self.pieces} pieces of {self.classes} classes"
        )


class OrderProbe(NamedTuple):
    """Cosines of held-out pieces of a kind, real and corrupted, with the mean of that kind."""

    kind: str
    pieces: int
    cosine: dict[str, float]  # mean, by what was done to the pieces
    below_real: dict[str, float]  # share of pieces that score lower corrupted than real
    in_order: float  # share with real > shuffled bars > noise

    def __str__(self) -> str:
        cosines = ", ".join(f"{name} {value:.3f}" for name, value in self.cosine.items())
        shares = ", ".join(f"{name} {value:.2f}" for name, value in self.below_real.items())
        return (
            f"{self.kind}, {self.pieces} pieces: mean cosine {cosines}; below real: {shares}; "
            f"real > shuffled bars > noise: {self.in_order:.2f}"
        )


def label_probe(
    encoder: Encoder, train: Dataset, validation: Dataset, column: str, max_per_label: int
) -> LabelProbe:
    """Fit logistic regression on the training pieces, score it on the validation pieces.

    Pieces without the label are left out, and those beyond ``max_per_label`` with the same label.
    ``collection`` is the first folder of a piece's name.
    """
    fitted, scored = (_labelled(rows, column, max_per_label) for rows in (train, validation))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(encoder.encode([text for text, _ in fitted]).numpy(), [label for _, label in fitted])
    truth = [label for _, label in scored]
    said = model.predict(encoder.encode([text for text, _ in scored]).numpy())
    commonest = Counter(label for _, label in fitted).most_common(1)[0][0]
    return LabelProbe(
        label=column,
        pieces=len(scored),
        classes=len({label for _, label in fitted}),
        accuracy=float(np.mean(said == np.array(truth))),
        balanced_accuracy=float(balanced_accuracy_score(truth, said)),
        majority=float(np.mean([label == commonest for label in truth])),
    )


def order_probe(
    encoder: Encoder,
    train: Dataset,
    validation: Dataset,
    min_real: int,
    max_per_label: int,
    seed: int,
) -> list[OrderProbe]:
    """Compare held-out pieces, real and corrupted, with the training pieces of their kind.

    Kinds are period, composer and instrumentation; those with fewer than ``min_real`` training
    pieces, or with no held-out piece, are left out, as are pieces of a kind beyond
    ``max_per_label``.
    """
    real, held_out = (_by_kind(rows, max_per_label) for rows in (train, validation))
    kinds = [kind for kind, texts in real.items() if len(texts) >= min_real and kind in held_out]
    return [_order(encoder, kind, real[kind], held_out[kind], seed) for kind in kinds]


def _order(
    encoder: Encoder, kind: str, real: Sequence[str], held_out: Sequence[str], seed: int
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
    """The first ``max_per_label`` texts of each name."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if len(texts := groups[name(row)]) < max_per_label:
            texts.append(row["text"])
    return dict(groups)
