"""One iteration of CLaMP-DPO up to training: sample, score, report, pair; each kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
from datasets import Dataset
from rich.progress import track
from torch import nn

from notagen import reward
from notagen.data import storage
from notagen.data.pieces import validation_pieces
from notagen.dpo.pairs import LOWEST, Candidate, PairSettings, groups
from notagen.dpo.report import Bounds, earlier, examples, figures, write_page
from notagen.dpo.rollout import (
    PromptGroup,
    RolloutSettings,
    Sample,
    SampleJournal,
    prompt_groups,
    read_samples,
    write_share,
)
from notagen.dpo.scoring import score_group
from notagen.dpo.tables import read_rows, write_rows, write_text
from notagen.errors import UserError
from notagen.generation import Sampling
from notagen.metrics.bits import likelihood
from notagen.model import NotaGen
from notagen.prompts import known_prompts
from notagen.ranges import Count, Seed
from notagen.reward import Encoder, Features


@dataclass(frozen=True)
class Iteration:
    """Settings and folder of one iteration (paper, section 3.3).

    Each step leaves a file: ``samples/``, ``scores.parquet`` and ``similarity.parquet``,
    ``report.md``, ``preferences.parquet``. A step whose file is there is not run again.

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
        UserError: there is no such judge, or the number is below 1.
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
        if self.judge is not None:
            _ = self.judging  # not found out about after hours of sampling

    @cached_property
    def judging(self) -> Encoder | None:
        """The judge."""
        return None if self.judge is None else reward.load(self.judge)

    @property
    def out(self) -> Path:
        """The folder."""
        return Path(self.folder)

    @property
    def prompted(self) -> bool:
        """True if the policy takes prompts."""
        return known_prompts(Path(self.policy)) != []

    def run(self, model: NotaGen, trainer: L.Trainer) -> None:
        """Sample from the policy, score its pieces, report, and choose preferences.

        Every rank must call this; sampling is divided among them, the rest is done by the first.

        Args:
            model: the policy, whole, in evaluation mode.
            trainer: of the ranks.

        Raises:
            UserError: an earlier run of this iteration had other settings, or there is no prompt,
                or no piece that may be chosen.
        """
        self._check_settings(trainer)
        if (self.out / "preferences.parquet").exists():
            return
        written = self._measure(model, trainer)
        self._on_first_rank(trainer, lambda: self._choose(written))

    def measure(self, model: NotaGen, trainer: L.Trainer) -> None:
        """Sample from the policy, score its pieces and report: :meth:`run` without pairs."""
        self._check_settings(trainer)
        if not (self.out / "report.md").exists():
            self._measure(model, trainer)

    def _measure(self, model: NotaGen, trainer: L.Trainer) -> list[Sample]:
        prompted = self.prompted
        held_out = storage.read(Path(self.corpus), "validation", self.where)
        if not len(held_out):
            raise UserError(f"{self.corpus} has no validation piece with {self.where}")
        prompts = prompt_groups(
            Path(self.corpus), self.where, self.samples.min_real, prompted=prompted
        )
        if trainer.is_global_zero:
            names = "; ".join(group.name or "no prompt" for group in prompts)
            pieces = self.samples.per_prompt * len(prompts)
            print(f"{self.folder}: {pieces} pieces by {self.policy} ({names})", flush=True)
        model.to(trainer.strategy.root_device)
        written = self._sample(model, prompts, trainer)

        def score_and_report() -> None:
            self._score(written, prompts, trainer)
            self._report(model, written, held_out, prompted=prompted)

        self._on_first_rank(trainer, score_and_report)
        return written

    def _sample(
        self, model: NotaGen, prompts: Sequence[PromptGroup], trainer: L.Trainer
    ) -> list[Sample]:
        rank, ranks = trainer.global_rank, trainer.world_size
        folder = self.out / "samples"
        each = [group for group in prompts for _ in range(self.samples.per_prompt)]
        journal = SampleJournal(folder / f"rank-{rank}.jsonl")
        trainer.strategy.barrier()  # each rank has cut its own half-written line
        done = {sample.number for sample in read_samples(folder)}
        trainer.strategy.barrier()  # before any rank adds to what another counts
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
        for _ in track(share, "sampling", total=missing, disable=not trainer.is_global_zero):
            pass
        trainer.strategy.barrier()
        return read_samples(folder)

    def _score(
        self, written: Sequence[Sample], prompts: Sequence[PromptGroup], trainer: L.Trainer
    ) -> None:
        """Write a row for each piece, and the similarity of the pieces of each prompt."""
        if (self.out / "similarity.parquet").exists():
            return
        encoder, judge = (
            None if encoder is None else self._cached(encoder, trainer)
            for encoder in (self.encoder, self.judging)
        )
        assert encoder is not None
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

    def _cached(self, encoder: Encoder, trainer: L.Trainer) -> Features:
        if isinstance(encoder, nn.Module):
            encoder = encoder.to(trainer.strategy.root_device)
        return Features(encoder, self.out.parent / "features")

    def _report(
        self, model: NotaGen, written: Sequence[Sample], held_out: Dataset, *, prompted: bool
    ) -> None:
        if (self.out / "report.md").exists():
            return
        real = validation_pieces(held_out, model.config.patch_length, prompted)
        scored = read_rows(self.out / "scores.parquet")
        before = earlier(self.out, self.number)
        line = figures(
            self.policy,
            scored,
            read_rows(self.out / "similarity.parquet"),
            self.preferences.max_similarity,
            likelihood(model, real).bits_per_character,
            before,
        )
        write_text(json.dumps(line, indent=1) + "\n", self.out / "report.json")
        shown = examples(scored, {sample.number: sample.text for sample in written})
        page = write_page([*before, line], self.bounds, shown)
        write_text(page, self.out / "report.md")

    def _choose(self, written: Sequence[Sample]) -> None:
        """Write the chosen and the rejected pieces of each group."""
        scored = read_rows(self.out / "scores.parquet")
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

    def _on_first_rank(self, trainer: L.Trainer, step: Callable[[], None]) -> None:
        """Run a step on the first rank while the others wait; its error is raised on all."""
        problem = None
        if trainer.is_global_zero:
            try:
                step()
            except UserError as error:
                problem = str(error)
        if (problem := trainer.strategy.broadcast(problem)) is not None:
            raise UserError(problem)

    def _check_settings(self, trainer: L.Trainer) -> None:
        """Write the settings beside the pieces; refuse to continue with others.

        Raises:
            UserError: it names the first key that differs.
        """
        settings: dict[str, Any] = {
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
        path = self.out / "settings.json"
        if trainer.is_global_zero and not path.exists():
            self.out.mkdir(parents=True, exist_ok=True)
            write_text(json.dumps(settings, indent=1) + "\n", path)
        trainer.strategy.barrier()
        begun: dict[str, Any] = json.loads(path.read_text())
        for name in begun | settings:  # in their order
            before, now = begun.get(name), settings.get(name)
            if now != before:
                raise UserError(
                    f"{self.folder} was begun with {name}={before} and cannot go on with {now}; "
                    "set it back, name another run (run=NAME), or remove the folder"
                )
