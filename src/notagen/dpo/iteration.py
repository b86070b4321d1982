"""One iteration of CLaMP-DPO up to training: sample, score, pair, report; each kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import lightning as L
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from lightning.fabric.strategies.ddp import DDPStrategy
from omegaconf import DictConfig
from rich.progress import track

from notagen import reward
from notagen.atomic import replacing
from notagen.config import announce, build, plain
from notagen.data import storage
from notagen.data.pieces import validation_pieces
from notagen.dpo.pairs import LOWEST, Candidate, groups
from notagen.dpo.report import Bounds, earlier, examples, figures, write_page
from notagen.dpo.rollout import (
    PromptGroup,
    Sample,
    SampleJournal,
    prompt_groups,
    read_samples,
    write_share,
)
from notagen.dpo.scoring import score_group
from notagen.errors import UserError
from notagen.metrics.bits import likelihood
from notagen.model import NotaGen, weights
from notagen.prompts import known_prompts
from notagen.reward import Features
from notagen.stages.dpo import DPOData

_RANK_TIMEOUT: Final = timedelta(days=1)  # of ranks that wait while others sample, and one scores


def launch_fabric(trainer: DictConfig) -> L.Fabric:
    """Start the processes of a trainer, which all come here; it will find them there."""
    fabric = L.Fabric(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.get("num_nodes", 1),
        strategy=DDPStrategy(timeout=_RANK_TIMEOUT) if trainer.get("strategy") else "auto",
    )
    fabric.launch()
    return fabric


def prepare(fabric: L.Fabric, config: DictConfig, policy: str, out: Path) -> None:
    """Sample from the policy, score what it wrote, choose preferences, report.

    Args:
        fabric: the ranks, among which sampling is divided.
        config: as composed.
        policy: weights to sample from.
        out: folder of the iteration.

    Raises:
        UserError: an earlier run of this iteration had other settings, or there is nothing to ask
            the policy for, or nothing to prefer.
    """
    stage = config.stage
    check_settings(fabric, config, policy, out)
    last = "report.md" if stage.until == "score" else "preferences.parquet"
    if (out / last).exists():
        return
    prompted = known_prompts(Path(policy)) != []
    held_out = storage.read(Path(config.corpus.prepared), "validation", stage.data.where)
    if not len(held_out):
        raise UserError(f"{config.corpus.prepared} has no validation piece with {stage.data.where}")
    prompts = prompt_groups(
        Path(config.corpus.prepared),
        stage.data.where,
        stage.samples.min_real,
        prompted=prompted,
    )
    if fabric.is_global_zero:
        announce(
            "prefer",
            {
                "iteration": config.iteration,
                "policy": policy,
                "prompts": "; ".join(target.name or "none" for target in prompts),
                "pieces": stage.samples.per_prompt * len(prompts),
                "encoder": config.reward.weights,
                "judge": stage.judge or "none",
                "out": out,
            },
        )
    model = weights.load(policy).to(fabric.device)
    written = _sample(fabric, model, prompts, config, out)
    problem = None
    if fabric.is_global_zero:
        try:
            _score(written, prompts, config, out, fabric.device)
            _report(model, policy, written, held_out, config, out, prompted=prompted)
            if stage.until != "score":
                _prefer(written, config, out)
        except UserError as error:
            problem = str(error)
    if (problem := fabric.broadcast(problem)) is not None:  # the others wait here
        raise UserError(problem)


def _sample(
    fabric: L.Fabric, model: NotaGen, prompts: Sequence[PromptGroup], config: DictConfig, out: Path
) -> list[Sample]:
    settings = config.stage.samples
    folder = out / "samples"
    each = [target for target in prompts for _ in range(settings.per_prompt)]
    journal = SampleJournal(folder / f"rank-{fabric.global_rank}.jsonl")
    fabric.barrier()
    done = {sample.number for sample in read_samples(folder)}
    fabric.barrier()
    share = write_share(
        model,
        each,
        done,
        journal,
        build(config.sampling, align=settings.align),
        seed=1000 * config.seed + config.iteration,
        batch_size=settings.batch_size,
        max_patches=settings.max_patches,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
    )
    missing = len(range(fabric.global_rank, len(each) - len(done), fabric.world_size))
    for _ in track(share, "sampling", total=missing, disable=not fabric.is_global_zero):
        pass
    fabric.barrier()
    return read_samples(folder)


def _score(
    written: Sequence[Sample],
    prompts: Sequence[PromptGroup],
    config: DictConfig,
    out: Path,
    device: torch.device,
) -> None:
    """Write what is found out about each piece, and how much the pieces of a prompt are alike."""
    if (out / "similarity.parquet").exists():
        return
    encoder, judge = (
        None if name is None else Features(reward.load(name).to(device), out.parent / "features")
        for name in (config.reward.weights, config.stage.judge)
    )
    assert encoder is not None
    preferences = config.stage.preferences
    rows, similarities = [], []
    for target in track(prompts, "scoring"):
        own = [sample for sample in written if sample.target == target.name]
        scored, similarity = score_group(
            own, target, encoder, judge, preferences.max_similarity, preferences.max_misaligned
        )
        rows += scored
        similarities.append(similarity._asdict())
    if all(row["score"] is None for row in rows):
        raise UserError(
            f"none of the {len(rows)} pieces can be read; draw misaligned bars again "
            "(stage.samples.align=enforce) or train the policy for longer"
        )
    write_rows(rows, out / "scores.parquet")
    write_rows(similarities, out / "similarity.parquet")


def _prefer(written: Sequence[Sample], config: DictConfig, out: Path) -> None:
    settings = config.stage.preferences
    scored = read_rows(out / "scores.parquet")
    candidates = [
        Candidate(
            number=row["number"],
            prompt=row["target"],
            score=LOWEST if row["score"] is None else row["score"],
            excluded=row["excluded"],
        )
        for row in scored
    ]
    texts = {sample.number: sample.text for sample in written}
    rows = [
        {
            "number": piece.number,
            "group": group,
            "role": role,
            "prompt": piece.prompt,
            "score": piece.score,
            "text": texts[piece.number],
        }
        for group, preferences in enumerate(groups(candidates, settings.fraction, settings.pairing))
        for role, pieces in preferences._asdict().items()
        for piece in pieces
    ]
    if not rows:
        raise UserError(
            "no piece may be chosen: "
            + "; ".join(sorted({row["excluded"] for row in scored if row["excluded"]}))
            + "; sample more pieces (stage.samples.per_prompt) or closer to the likeliest character"
        )
    write_rows(rows, out / "preferences.parquet")


def _report(
    model: NotaGen,
    policy: str,
    written: Sequence[Sample],
    held_out: Dataset,
    config: DictConfig,
    out: Path,
    *,
    prompted: bool,
) -> None:
    if (out / "report.md").exists():
        return
    real = validation_pieces(held_out, model.config.patch_length, prompted)
    scored = read_rows(out / "scores.parquet")
    before = earlier(out, config.iteration)
    line = figures(
        policy,
        scored,
        read_rows(out / "similarity.parquet"),
        config.stage.preferences.max_similarity,
        likelihood(model, real).bits_per_character,
        before,
    )
    write_text(json.dumps(line, indent=1) + "\n", out / "report.json")
    shown = examples(scored, {sample.number: sample.text for sample in written})
    bounds = Bounds(**plain(config.stage.bounds))
    write_text(write_page([*before, line], bounds, shown), out / "report.md")


def check_settings(fabric: L.Fabric, config: DictConfig, policy: str, out: Path) -> None:
    """Keep what the steps before training were run with; refuse to go on with something else.

    Raises:
        UserError: naming the first key that differs.
    """
    settings: dict[str, Any] = {
        "seed": config.seed,
        "policy": policy,
        "corpus": config.corpus.prepared,
        "reward": config.reward.weights,
        "judge": config.stage.judge,
        "where": config.stage.data.where,
        **{f"sampling.{name}": value for name, value in plain(config.sampling).items()},
        **{f"stage.samples.{name}": value for name, value in plain(config.stage.samples).items()},
        **{f"stage.preferences.{n}": value for n, value in plain(config.stage.preferences).items()},
    }
    path = out / "settings.json"
    if fabric.is_global_zero and not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(settings, indent=1) + "\n", path)
    fabric.barrier()
    begun: dict[str, Any] = json.loads(path.read_text())
    for name in begun | settings:  # in their order
        before, now = begun.get(name), settings.get(name)
        if now != before:
            raise UserError(
                f"{out} was begun with {name}={before} and cannot go on with {now}; "
                "set it back, name another run (run=NAME), or remove the folder"
            )


def write_rows(
    rows: Sequence[Mapping[str, Any]], path: Path, facts: Mapping[str, str] | None = None
) -> None:
    """Write rows to a Parquet file, with facts that say what they were made from."""
    table = pa.Table.from_pylist([dict(row) for row in rows]).replace_schema_metadata(facts)
    with replacing(path) as unfinished:
        pq.write_table(table, unfinished)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet file."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def read_facts(path: Path) -> dict[str, str]:
    """What the rows of a Parquet file were made from."""
    facts = pq.read_schema(path).metadata
    return {key.decode(): value.decode() for key, value in facts.items()}


def write_text(text: str, path: Path) -> None:
    """Write a text file."""
    with replacing(path) as unfinished:
        unfinished.write_text(text)


def store_reference(
    fabric: L.Fabric, trainer: L.Trainer, stage: L.LightningModule, data: DPOData, out: Path
) -> None:
    """Compute the log-probability of each preferred or rejected piece under the policy as it is.

    They are kept with hashes of pieces and weights, and computed again only where these differ.
    """
    path = out / "reference.parquet"
    pieces = (out / "preferences.parquet").read_bytes()
    facts = {
        "pieces": hashlib.sha256(pieces).hexdigest(),
        "weights": weights.fingerprint(stage.state_dict()),
    }
    known = path.exists() and read_facts(path) == facts
    fabric.barrier()
    if known:
        return
    trainer.limit_predict_batches = 1.0  # all: also where fast_dev_run says one
    predicted = trainer.predict(stage, datamodule=data)
    assert predicted is not None
    if fabric.is_global_zero:
        rows = [
            {"number": number, "log_prob": float(log_prob)}
            for number, log_prob in zip(data.pieces, predicted, strict=True)
        ]
        write_rows(rows, path, facts)
    fabric.barrier()
