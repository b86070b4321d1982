"""One iteration of CLaMP-DPO up to training: sample, score, report, pair; each kept on disk."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Final

import lightning as L
from rich.progress import track
from torch import nn

from notagen import reward
from notagen.data import storage
from notagen.data.pieces import validation_pieces
from notagen.dpo.pairs import LOWEST, Candidate, groups
from notagen.dpo.ranks import on_every_rank, on_first_rank
from notagen.dpo.report import earlier, examples, figures, read_figures, write_page
from notagen.dpo.rollout import (
    PromptGroup,
    Sample,
    SampleJournal,
    drop_damaged,
    prompt_groups,
    read_samples,
    write_share,
)
from notagen.dpo.scoring import Scored, Similarity, score_group
from notagen.dpo.settings import Bounds, PairSettings, RolloutSettings
from notagen.dpo.tables import kept, read_object, read_rows, write_rows, write_text
from notagen.errors import UserError
from notagen.generation import Sampling
from notagen.metrics.bits import likelihood
from notagen.model import NotaGen
from notagen.patches import Patches
from notagen.prompts import Prompt, known_prompts
from notagen.ranges import Count, Seed
from notagen.reward import Encoder, Features

_PREFERENCE: Final = ("number", "group", "role", "prompt", "score", "text")


@dataclass(frozen=True)
class Iteration:
    """Settings and folder of one iteration (paper, section 3.3).

    Each step leaves a file: ``samples/``, ``scores.parquet`` and ``similarity.parquet``,
    ``report.json`` and ``report.md``, ``preferences.parquet``. A step whose file is there, and can
    be read, is not run again.

    Attributes:
        folder: of the iteration; its features are cached beside it.
        number: of the iteration, from 1.
        policy: name of the weights that write the pieces: a folder, a file or a hub id.
        corpus: a prepared corpus, for the real pieces.
        where: which of its pieces, as an expression over its columns; None for all.
        encoder: encodes pieces for the score that makes preferences; anything with ``encode``.
        judge: name of another encoder, whose scores are reported only; None for none.
        sampling: how characters are drawn.
        samples: how many pieces are written, and how long they may become.
        preferences: which pieces make pairs.
        bounds: what the report warns of.
        seed: seed of the run.

    Raises:
        UserError: there is no such judge, or one of both is no encoder, or the number is below 1.
    """

    folder: str
    number: Count
    policy: str
    corpus: str
    where: str | None
    encoder: Encoder
    judge: str | None
    sampling: Sampling
    samples: RolloutSettings
    preferences: PairSettings
    bounds: Bounds
    seed: Seed

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UserError(f"iteration={self.number} is none; they are counted from 1")
        for name, encoder in (("reward", self.encoder), ("judge", self.judging)):
            if encoder is not None and not callable(getattr(encoder, "encode", None)):
                raise UserError(f"{name} has no encode(texts), so it is no encoder")

    @cached_property
    def judging(self) -> Encoder | None:
        """The judge."""
        return None if self.judge is None else reward.load(self.judge)

    @property
    def out(self) -> Path:
        """The folder."""
        return Path(self.folder)

    @property
    def known(self) -> list[Prompt] | None:
        """Prompts that the policy was trained with; None where it takes any."""
        return known_prompts(Path(self.policy))

    @property
    def prompted(self) -> bool:
        """True if the policy takes prompts."""
        return self.known != []

    def run(self, model: NotaGen, trainer: L.Trainer, min_pairs: int = 1) -> None:
        """Sample from the policy, score its pieces, report, and choose preferences.

        Every rank must call this; sampling is divided among them, the rest is done by the first.

        Args:
            model: the policy, whole, in evaluation mode.
            trainer: of the ranks.
            min_pairs: pairs that training needs.

        Raises:
            UserError: an earlier run of this iteration had other settings; or something that it
                needs is not there, which is said before a piece is written; or no piece may be
                chosen.
        """
        if on_first_rank(trainer, self._chosen):
            return
        written = self._measure(model, trainer, min_pairs)
        on_first_rank(trainer, lambda: self._choose(written))

    def measure(self, model: NotaGen, trainer: L.Trainer) -> None:
        """Sample from the policy, score its pieces and report: :meth:`run` without pairs."""
        self.check_settings()
        self._measure(model, trainer, 0)

    def read_preferences(self) -> list[dict[str, Any]]:
        """Read the chosen and the rejected pieces.

        Raises:
            UserError: the file is missing or damaged.
        """
        return read_rows(self.out / "preferences.parquet", _PREFERENCE)

    def _chosen(self) -> bool:
        """True if an earlier run has chosen, with these settings."""
        self.check_settings()
        return kept(self.out / "preferences.parquet", self.read_preferences) is not None

    def _measure(self, model: NotaGen, trainer: L.Trainer, min_pairs: int) -> list[Sample]:
        prompts = on_every_rank(
            trainer,
            lambda: prompt_groups(Path(self.corpus), self.where, self.samples.min_real, self.known),
        )
        model.to(trainer.strategy.root_device)
        on_first_rank(trainer, lambda: self._begin(model, prompts, trainer, min_pairs))
        written = self._sample(model, prompts, trainer)

        def score_and_report() -> None:
            self._score(written, prompts, trainer)
            self._report(model, written)

        on_first_rank(trainer, score_and_report)
        return written

    def _begin(
        self, model: NotaGen, prompts: Sequence[PromptGroup], trainer: L.Trainer, min_pairs: int
    ) -> None:
        """Check what would fail after hours of sampling; then keep the settings."""
        earlier(self.out, self.number)
        per_prompt = self.samples.per_prompt
        pairs = self.preferences.most_pairs(len(prompts), per_prompt)
        if pairs < min_pairs:
            raise UserError(
                f"{per_prompt} pieces for each of {len(prompts)} prompts make {pairs} pairs at "
                f"most, and training needs {min_pairs} a step; raise samples.per_prompt"
            )
        held_out = self._held_out(model, 1)
        if not isfinite(likelihood(model, held_out).bits_per_character):
            raise UserError(f"{self.policy} gives no finite loss: its weights are damaged")
        for name, encoder in (("reward", self.encoder), ("judge", self.judging)):
            if encoder is not None:
                reward.check(name, _moved(encoder, trainer), prompts[0].real[0])
        drop_damaged(self.out / "samples", _each(prompts, per_prompt))
        path = self.out / "settings.json"
        if not path.exists():
            write_text(json.dumps(self._settings(), indent=1) + "\n", path)
        names = "; ".join(group.name or "no prompt" for group in prompts)
        pieces = per_prompt * len(prompts)
        print(f"{self.folder}: {pieces} pieces by {self.policy} ({names})", flush=True)

    def _held_out(self, model: NotaGen, most: int | None = None) -> list[Patches]:
        """Real pieces of the validation split, or the first ``most`` of them."""
        rows = storage.read(Path(self.corpus), "validation", self.where)
        if not len(rows):
            which = "" if self.where is None else f" with {self.where}"
            raise UserError(f"{self.corpus} has no validation piece{which} to measure with")
        chosen = rows if most is None else rows.select(range(min(most, len(rows))))
        return validation_pieces(chosen, model.config.patch_length, self.prompted)

    def _sample(
        self, model: NotaGen, prompts: Sequence[PromptGroup], trainer: L.Trainer
    ) -> list[Sample]:
        rank, ranks = trainer.global_rank, trainer.world_size
        folder = self.out / "samples"
        each = _each(prompts, self.samples.per_prompt)
        # All cut their half-written lines before any counts pieces, and count before any adds one.
        journal = on_every_rank(trainer, lambda: SampleJournal(folder / f"rank-{rank}.jsonl"))
        done = on_every_rank(trainer, lambda: {sample.number for sample in read_samples(folder)})
        share = write_share(
            model,
            each,
            done,
            journal,
            self.sampling,
            seed=1000 * self.seed + self.number,
            batch_size=self.samples.batch_size,
            max_patches=self.samples.max_patches,
            rank=rank,
            ranks=ranks,
        )
        missing = len(range(rank, len(each) - len(done), ranks))
        shown = track(share, "sampling", total=missing, disable=not trainer.is_global_zero)
        on_every_rank(trainer, lambda: deque(shown, maxlen=0))
        return read_samples(folder)

    def _score(
        self, written: Sequence[Sample], prompts: Sequence[PromptGroup], trainer: L.Trainer
    ) -> None:
        """Write a row for each piece, and the similarity of the pieces of each prompt."""
        if kept(self.out / "scores.parquet", self._scores) is not None and (
            kept(self.out / "similarity.parquet", self._similarities) is not None
        ):
            return
        cache = self.out.parent / "features"
        encoder = Features(_moved(self.encoder, trainer), cache)
        judge = None if self.judging is None else Features(_moved(self.judging, trainer), cache)
        rows, similarities = [], []
        for group in track(prompts, "scoring"):
            own = [sample for sample in written if sample.prompt == group.name]
            scored, similarity = score_group(
                own,
                group,
                encoder,
                judge,
                self.preferences.max_similarity,
                self.preferences.max_misaligned,
            )
            rows += scored
            similarities.append(similarity._asdict())
        if all(row["score"] is None for row in rows):
            raise UserError(
                f"none of the {len(rows)} pieces can be read; draw misaligned bars again "
                "(sampling.align=enforce) or train the policy for longer"
            )
        write_rows(rows, self.out / "scores.parquet")
        write_rows(similarities, self.out / "similarity.parquet")

    def _scores(self) -> list[dict[str, Any]]:
        return read_rows(self.out / "scores.parquet", Scored.__annotations__)

    def _similarities(self) -> list[dict[str, Any]]:
        return read_rows(self.out / "similarity.parquet", Similarity._fields)

    def _report(self, model: NotaGen, written: Sequence[Sample]) -> None:
        path = self.out / "report.json"
        before = earlier(self.out, self.number)
        line = kept(path, lambda: read_figures(path))
        scored = self._scores()
        if line is None:
            line = figures(
                self.policy,
                scored,
                self._similarities(),
                self.preferences.max_similarity,
                likelihood(model, self._held_out(model)).bits_per_character,
                before,
            )
            write_text(json.dumps(line, indent=1) + "\n", path)
        shown = examples(scored, {sample.number: sample.text for sample in written})
        write_text(write_page([*before, line], self.bounds, shown), self.out / "report.md")

    def _choose(self, written: Sequence[Sample]) -> None:
        """Write the chosen and the rejected pieces of each group."""
        scored = self._scores()
        candidates = [
            Candidate(
                number=row["number"],
                prompt=row["prompt"],
                score=LOWEST if row["score"] is None else row["score"],
                excluded=row["excluded"],
            )
            for row in scored
        ]
        texts = {sample.number: sample.text for sample in written}
        settings = self.preferences
        chosen = groups(candidates, settings.fraction, settings.pairing)
        rows = [
            {
                "number": piece.number,
                "group": group,
                "role": role,
                "prompt": piece.prompt,
                "score": piece.score,
                "text": texts[piece.number],
            }
            for group, preferences in enumerate(chosen)
            for role, pieces in preferences._asdict().items()
            for piece in pieces
        ]
        if not rows:
            reasons = sorted({row["excluded"] for row in scored if row["excluded"]})
            raise UserError(
                f"no piece may be chosen: {'; '.join(reasons)}; sample more pieces "
                "(stage.samples.per_prompt) or closer to the likeliest character"
            )
        write_rows(rows, self.out / "preferences.parquet")

    def _settings(self) -> dict[str, Any]:
        """Settings that the pieces and their preferences depend on."""
        return {
            "seed": self.seed,
            "policy": self.policy,
            "corpus": self.corpus,
            "reward": reward.identity(self.encoder),
            "judge": self.judge,
            "where": self.where,
            **{f"sampling.{name}": value for name, value in asdict(self.sampling).items()},
            **{f"stage.samples.{name}": value for name, value in asdict(self.samples).items()},
            **{f"stage.preferences.{n}": value for n, value in asdict(self.preferences).items()},
        }

    def check_settings(self) -> None:
        """Refuse to continue an iteration with other settings.

        Raises:
            UserError: it names the first key that differs, or the file where it is damaged.
        """
        path, settings = self.out / "settings.json", self._settings()
        if not path.is_file():
            return
        try:
            begun = read_object(path, ())
        except UserError as error:
            raise UserError(
                f"{error}; remove it if no setting was changed since, else remove {self.folder}"
            ) from error
        for name in begun | settings:  # in their order
            before, now = begun.get(name), settings.get(name)
            if now != before:
                raise UserError(
                    f"{self.folder} was begun with {name}={before} and cannot continue with {now}; "
                    "set it back, name another run (run=NAME), or remove the folder"
                )


def _moved(encoder: Encoder, trainer: L.Trainer) -> Encoder:
    """The encoder on the trainer's device, where it can be moved."""
    return encoder.to(trainer.strategy.root_device) if isinstance(encoder, nn.Module) else encoder


def _each(prompts: Sequence[PromptGroup], per_prompt: int) -> list[PromptGroup]:
    """The prompt of each piece of the iteration."""
    return [group for group in prompts for _ in range(per_prompt)]
