"""CLaMP-DPO: make the pieces that an encoder scores high likelier than those it scores low."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader

from notagen.data import storage
from notagen.data.batches import Batch, Pairs, PieceLoader, ShuffledBatches, pack
from notagen.data.pieces import FixedPieces, prompts_of
from notagen.data.validation import fixed_loader, subset
from notagen.dpo.iteration import Iteration
from notagen.dpo.loss import LossName, Preference, preference_loss
from notagen.dpo.pairs import Pair, PreferencePairs
from notagen.dpo.ranks import on_first_rank
from notagen.dpo.tables import kept, read_facts, read_rows, write_rows
from notagen.errors import UserError
from notagen.model import NotaGen, predicted
from notagen.model.config import Level
from notagen.model.weights import fingerprint
from notagen.patches import Patches, encode
from notagen.prompts import Prompt
from notagen.ranges import Count, Length, Positive, PositiveOrZero, Seed
from notagen.stages.base import MakeOptimizer, MakeSchedule
from notagen.stages.language_model import LanguageModel


class DPO(LanguageModel):
    """Preference optimisation on pairs of the policy's own pieces (paper, section 3.3).

    The backbone stays in evaluation mode: dropout would move a whole piece's log-probability by
    several nats. Validation, inherited, is the likelihood of real music.

    Args:
        model: the policy, at first equal to the reference.
        optimizer, schedule, freeze: as in pre-training.
        loss_type, beta, dpop_lambda, simpo_gamma: as in :func:`preference_loss`.
        per_character: divide the log-probability of a piece by its number of characters.
        char_chunk: None runs each pair through the model in one pass; a number runs piece after
            piece, holding the activations of that many patches at a time.
    """

    def __init__(
        self,
        model: NotaGen,
        optimizer: MakeOptimizer | None = None,
        schedule: MakeSchedule | None = None,
        loss_type: LossName = "dpop",
        beta: Positive = 0.1,
        dpop_lambda: PositiveOrZero = 10.0,
        simpo_gamma: PositiveOrZero = 1.0,
        per_character: bool = False,
        char_chunk: Count | None = None,
        freeze: Level | None = None,
    ) -> None:
        super().__init__(model.eval(), optimizer, schedule, 0, char_chunk, freeze)
        self.loss_type: LossName = loss_type
        self.beta = beta
        self.dpop_lambda = dpop_lambda
        self.simpo_gamma = simpo_gamma
        self.per_character = per_character
        self.reference: dict[int, float] = {}  # log-probability of each piece, in nats

    def on_train_start(self) -> None:
        """Compute the log-probabilities under the policy before its first step: the reference's.

        Where ``reference`` is given already, nothing is computed. It is the same
        :meth:`log_probs`, on the same ranks and in the same precision, as in a step: policy and
        reference tie at first.
        """
        if self.reference:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.reference = data.known_reference(resumed=self.trainer.global_step > 0)
        self.trainer.strategy.barrier()  # before any rank writes what another looks for
        if self.reference:
            return
        precision = self.trainer.precision_plugin
        with torch.no_grad(), precision.forward_context():
            for number, piece in data.pieces.items():
                batch = self.trainer.strategy.batch_to_device(pack([piece]), self.device)
                self.reference[number] = float(self.log_probs(batch))
        if self.trainer.is_global_zero:
            data.keep_reference(self.reference)

    def on_train_batch_start(self, batch: Pairs, index: int) -> None:  # type: ignore[override]
        """Draw nothing: a step is a function of weights and pairs."""
        assert not self.model.training

    def training_step(self, batch: Pairs, index: int) -> Tensor:  # type: ignore[override]
        """Mean loss of the pairs."""
        policy = self.log_probs(batch)
        reference = policy.new_tensor([self.reference[n] for n in batch.numbers.tolist()])
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
    """Pairs of the policy's own pieces to train on, and real music to validate on.

    Its ``setup`` runs the iteration up to training: the policy samples on the Trainer's own ranks,
    while its weights are whole.

    Args:
        iteration: what is done before training, and its folder.
        corpus: a prepared corpus, for the real pieces to validate on.
        patch_length: the model's context, in patches; a longer piece counts up to there, for both
            policy and reference.
        batch_size: pairs a step on each rank.
        seed: of the order of the pairs.
        where: which pieces of the corpus, as in pre-training.
        validation_pieces: number of real pieces to validate on, at most; None for all.
    """

    def __init__(
        self,
        iteration: Iteration,
        corpus: str,
        patch_length: Length,
        batch_size: Count,
        seed: Seed,
        where: str | None = None,
        validation_pieces: Count | None = None,
    ) -> None:
        super().__init__()
        self.iteration = iteration
        self.path = iteration.out
        self.corpus = Path(corpus)
        self.patch_length = patch_length
        self.batch_size = batch_size
        self.seed = seed
        self.where = where
        self.validation_pieces = validation_pieces
        self.pieces: dict[int, Patches] = {}
        self.policy_hash = ""

    @property
    def prompts(self) -> list[Prompt]:
        """Prompts that the policy knows; of one that takes any, those of the real pieces."""
        known = self.iteration.known
        return prompts_of(self._real("train")) if known is None else known

    def setup(self, stage: str | None = None) -> None:
        """Run the iteration up to training, and make the pairs; to validate, do neither.

        Raises:
            UserError: see :meth:`Iteration.run`; or there are fewer pairs than a batch; or a
                resumed run has lost its pairs.
        """
        if stage not in ("fit", None):
            return
        assert self.trainer is not None
        policy = cast(DPO, self.trainer.lightning_module).model
        needed = self.batch_size * self.trainer.world_size
        if self.trainer.ckpt_path is not None:
            on_first_rank(self.trainer, self._check_begun)
        else:
            self.iteration.run(policy, self.trainer, needed)
            self.policy_hash = fingerprint(policy.state_dict())
        rows = self.iteration.read_preferences()
        self.pieces = {row["number"]: encode(row["text"])[: self.patch_length] for row in rows}
        self.prompt_of_piece = {row["number"]: row["prompt"] for row in rows}
        self.pairs = PreferencePairs(rows)
        if len(self.pairs) < needed:
            raise UserError(
                f"{self.path} has {len(self.pairs)} pairs, fewer than one batch of "
                f"{self.batch_size} on each of {self.trainer.world_size} ranks; sample more pieces "
                "or lower stage.data.batch_size"
            )

    def known_reference(self, *, resumed: bool) -> dict[int, float]:
        """Log-probabilities under the reference where they were computed before; else empty.

        Args:
            resumed: whether the policy has been trained already, and so is the reference no more.

        Raises:
            UserError: a resumed run has lost them.
        """
        path = self.path / "reference.parquet"
        if resumed:
            with self._needed_to_resume():
                return self._read_reference(path)
        if kept(path, lambda: self._read_reference(path)) is None:
            return {}
        if read_facts(path) != self._reference_facts():
            return {}  # of other pieces or weights
        return self._read_reference(path)

    @staticmethod
    def _read_reference(path: Path) -> dict[int, float]:
        return {row["number"]: row["log_prob"] for row in read_rows(path, ("number", "log_prob"))}

    def _check_begun(self) -> None:
        """Check that training can continue with the pairs that it began with."""
        self.iteration.check_settings()
        with self._needed_to_resume():
            self.iteration.read_preferences()

    @contextmanager
    def _needed_to_resume(self) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            raise UserError(
                f"{error}, and the policy is no longer what it was; remove "
                f"{self.path / 'checkpoints'} to train from the beginning"
            ) from error

    def keep_reference(self, log_probs: Mapping[int, float]) -> None:
        """Write the reference's log-probabilities, with hashes of pieces and weights."""
        rows = [{"number": number, "log_prob": value} for number, value in log_probs.items()]
        write_rows(rows, self.path / "reference.parquet", self._reference_facts())

    def train_dataloader(self) -> PieceLoader:
        """Batches of pairs, all once before any comes again."""
        assert self.trainer is not None
        batches = ShuffledBatches(
            len(self.pairs),
            self.batch_size,
            self.seed,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return PieceLoader(self.pairs, batches, workers=0, collate=self._collate)

    def val_dataloader(self) -> DataLoader[Any]:
        """Real music, always the same, dealt to the ranks."""
        assert self.trainer is not None
        rows = subset(self._real("validation"), self.validation_pieces)
        pieces = FixedPieces(rows, self.patch_length, self.iteration.prompted)
        ranks = self.trainer.global_rank, self.trainer.world_size
        return fixed_loader(rows, pieces, self.patch_length, *ranks)

    def _collate(self, pairs: Sequence[Pair]) -> Pairs:
        numbers = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        batch = pack([self.pieces[number] for number in numbers])
        return Pairs(
            batch.patches,
            batch.lengths,
            numbers=torch.tensor(numbers),
            prompts=[self.prompt_of_piece[pair.chosen] for pair in pairs],
        )

    def _reference_facts(self) -> dict[str, str]:
        pieces = (self.path / "preferences.parquet").read_bytes()
        return {"pieces": hashlib.sha256(pieces).hexdigest(), "weights": self.policy_hash}

    def _real(self, split: str) -> Any:
        return storage.read(self.corpus, split, self.where)
