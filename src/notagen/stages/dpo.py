"""CLaMP-DPO: make the pieces that an encoder scores high likelier than those it scores low."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pyarrow.parquet as pq
import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader

from notagen.data import storage
from notagen.data.batches import Batch, Pairs, PieceLoader, ShuffledBatches, pack
from notagen.data.pieces import prompt_of, validation_pieces
from notagen.dpo.loss import LossName, Preference, preference_loss
from notagen.dpo.pairs import Pair, PreferencePairs
from notagen.errors import UserError
from notagen.model import NotaGen, predicted
from notagen.patches import Patches, encode
from notagen.prompts import Prompt
from notagen.stages.base import MakeOptimizer, MakeSchedule
from notagen.stages.language_model import LanguageModel


class DPO(LanguageModel):
    """Preference optimisation on pairs of the policy's own pieces (paper, section 3.3).

    The backbone stays in evaluation mode: dropout would move a whole piece's log-probability by
    several nats. Validation, inherited, is the likelihood of real music.

    Args:
        model: the policy, at first equal to the reference.
        optimizer, schedule: as in pre-training.
        seed: as in pre-training; nothing is drawn here.
        loss_type, beta, dpop_lambda, simpo_gamma: as in :func:`preference_loss`.
        per_character: divide the log-probability of a piece by its number of characters.
        char_chunk: None runs each pair through the model in one pass; a number runs piece after
            piece, holding the activations of so many patches at a time.
    """

    def __init__(
        self,
        model: NotaGen,
        optimizer: MakeOptimizer,
        schedule: MakeSchedule,
        seed: int,
        loss_type: LossName,
        beta: float,
        dpop_lambda: float,
        simpo_gamma: float,
        per_character: bool,
        char_chunk: int | None = None,
    ) -> None:
        super().__init__(model.eval(), optimizer, schedule, seed, char_chunk)
        self.loss_type: LossName = loss_type
        self.beta = beta
        self.dpop_lambda = dpop_lambda
        self.simpo_gamma = simpo_gamma
        self.per_character = per_character

    def on_train_batch_start(self, batch: Pairs, index: int) -> None:  # type: ignore[override]
        """Draw nothing: a step is a function of weights and pairs."""
        assert not self.model.training

    def training_step(self, batch: Pairs, index: int) -> Tensor:  # type: ignore[override]
        """Mean loss of the pairs."""
        policy, reference = self.log_probs(batch), batch.reference
        if self.per_character:
            characters = self._characters(batch)
            policy, reference = policy / characters, reference / characters
        (chosen, rejected), (reference_chosen, reference_rejected) = (
            policy.chunk(2),
            reference.chunk(2),
        )
        found = preference_loss(
            chosen,
            rejected,
            reference_chosen,
            reference_rejected,
            loss_type=self.loss_type,
            beta=self.beta,
            dpop_lambda=self.dpop_lambda,
            simpo_gamma=self.simpo_gamma,
        )
        loss = found.loss.mean()
        mean = self.finite_mean(loss)
        self.log("train/loss", mean, prog_bar=True, batch_size=len(batch.prompts))
        self._log(batch.prompts, found, policy.detach(), reference)
        return loss

    def predict_step(self, batch: Batch, index: int) -> Tensor:
        """Log-probability of each piece, float64 [pieces], in nats."""
        # FSDP2 keeps buffers, which training could not write to if they came of inference mode.
        with torch.inference_mode(False), torch.no_grad():
            return self.log_probs(batch).cpu()

    def log_probs(self, batch: Batch | Pairs) -> Tensor:
        """Log-probability of each whole piece, float64 [pieces], in nats.

        The one way to it, for reference and policy, so that before the first step they tie.
        """
        lengths = batch.lengths.tolist()
        if self.char_chunk is None:
            pieces = [*torch.split(self.model(batch.patches, lengths), lengths)]
        else:  # alone, every character of a piece weighs the same, as chunks require
            pieces = [
                self.model(patches, [len(patches)], self.char_chunk)
                for patches in torch.split(batch.patches, lengths)
            ]
        return -torch.stack([nll.sum(dtype=torch.float64) for nll in pieces])

    @staticmethod
    def _characters(batch: Pairs) -> Tensor:
        lengths = batch.lengths.tolist()
        counted = torch.split(predicted(batch.patches, lengths), lengths)
        return torch.stack([piece.sum() for piece in counted])

    def _log(
        self, prompts: list[str], found: Preference, policy: Tensor, reference: Tensor
    ) -> None:
        """Log by the names that trl gave these numbers, over all pairs and by prompt."""
        chosen, rejected = policy.chunk(2)
        numbers = {
            "rewards/chosen": found.chosen_reward,
            "rewards/rejected": found.rejected_reward,
            "rewards/margins": found.margin,
            "rewards/accuracies": found.accuracy,
            "logps/chosen": chosen,
            "logps/rejected": rejected,
            "penalty/active": (found.penalty > 0).float(),
            "penalty/nats": found.penalty,
            # The pieces were drawn from the reference, though not at random.
            "kl": (reference - policy).view(2, -1).mean(dim=0),
        }
        for name, values in numbers.items():
            self.log(name, values.mean(), batch_size=len(prompts))
            for prompt in set(filter(None, prompts)):
                own = torch.tensor([prompt == other for other in prompts], device=values.device)
                self.log(f"{name}/{prompt}", values[own].mean(), batch_size=1)


class DPOData(L.LightningDataModule):
    """Pairs to train on, and real music to validate on.

    Args:
        path: folder of the iteration, with ``preferences.parquet`` and, for training,
            ``reference.parquet``.
        corpus: a prepared corpus, for its validation pieces.
        patch_length: the model's context, in patches; a longer piece counts up to there, for
            policy and reference alike.
        batch_size: pairs a step on each rank.
        seed: of the order of the pairs.
        where: which pieces of the corpus, as in pre-training.
    """

    def __init__(
        self,
        path: str,
        corpus: str,
        patch_length: int,
        batch_size: int,
        seed: int,
        where: str | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.corpus = Path(corpus)
        self.patch_length = patch_length
        self.batch_size = batch_size
        self.seed = seed
        self.where = where
        self.rows = pq.read_table(self.path / "preferences.parquet").to_pylist()
        self.pieces: dict[int, Patches] = {
            row["number"]: encode(row["text"])[:patch_length] for row in self.rows
        }

    @property
    def prompted(self) -> bool:
        """Whether the pieces begin with a prompt."""
        return any(row["prompt"] for row in self.rows)

    @property
    def prompts(self) -> list[Prompt]:
        """What the policy has been asked for, where it takes prompts: all of the chosen pieces."""
        return [prompt_of(row) for row in self._real("train")] if self.prompted else []

    def setup(self, stage: str | None = None) -> None:
        """Make the pairs.

        Raises:
            UserError: they are fewer than a batch.
        """
        assert self.trainer is not None
        self.pairs = PreferencePairs(self.rows)
        if len(self.pairs) < self.batch_size * self.trainer.world_size:
            raise UserError(
                f"{self.path} has {len(self.pairs)} pairs, fewer than one batch of "
                f"{self.batch_size} on each of {self.trainer.world_size} ranks; sample more pieces "
                "or lower stage.data.batch_size"
            )

    def predict_dataloader(self) -> DataLoader[Patches]:
        """Every piece once, in the order of the file, whose reference log-probability is asked."""
        return DataLoader(list(self.pieces.values()), batch_size=1, collate_fn=pack)  # type: ignore[arg-type]

    def train_dataloader(self) -> PieceLoader:
        """Batches of pairs, all once before any comes again."""
        assert self.trainer is not None
        reference = pq.read_table(self.path / "reference.parquet").to_pylist()
        self.reference = {row["number"]: row["log_prob"] for row in reference}
        self.prompt_texts = {row["number"]: row["prompt"] for row in self.rows}
        batches = ShuffledBatches(
            len(self.pairs),
            self.batch_size,
            self.seed,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return PieceLoader(self.pairs, batches, workers=0, collate=self._collate)

    def val_dataloader(self) -> DataLoader[Patches]:
        """Real music, always the same."""
        held_out = validation_pieces(self._real("validation"), self.patch_length, self.prompted)
        return DataLoader(held_out, batch_size=self.batch_size, collate_fn=pack)  # type: ignore[arg-type]

    def _collate(self, pairs: Sequence[Pair]) -> Pairs:
        numbers = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        return Pairs(
            *pack([self.pieces[number] for number in numbers])[:2],
            reference=torch.tensor([self.reference[n] for n in numbers], dtype=torch.float64),
            prompts=[self.prompt_texts[pair.chosen] for pair in pairs],
        )

    def _real(self, split: str) -> Any:
        return storage.read(self.corpus, split, self.where)
