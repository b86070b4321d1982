import math

import lightning as L
import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.data import DataLoader

from notagen.data.batches import Pairs, pack
from notagen.model import ModelConfig, NotaGen
from notagen.patches import encode
from notagen.stages.dpo import DPO
from notagen.training.fsdp import shard
from tests.helpers.ranks import run_on_ranks

RANKS = 2


def new_stage(**keys) -> DPO:
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(2, 1, 64, 64, dropout=0.5))
    keys = {"loss_type": "dpop", "beta": 0.1, "dpop_lambda": 10.0, "simpo_gamma": 1.0, **keys}
    return DPO(
        model,
        lambda named: torch.optim.AdamW([weight for _, weight in named], lr=1e-3),
        lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
        **{"per_character": False, "char_chunk": None, **keys},
    )


def piece(notes: str) -> torch.Tensor:
    body = "".join(f"[V:1]{note}4 {note}2 {note}{note}|\n" for note in notes)
    return encode(f"L:1/8\nM:4/4\nK:C\nV:1 treble\n{body}")


CHOSEN = [piece("CEGc"), piece("ceg")]
REJECTED = [piece("CDCDCDCDC"), piece("A")]


def pairs(stage: DPO, *indices: int) -> Pairs:
    """Pairs, whose log-probabilities under the stage's weights become the reference's."""
    pieces = [CHOSEN[i] for i in indices] + [REJECTED[i] for i in indices]
    with torch.no_grad():
        reference = torch.cat([stage.log_probs(pack([piece])) for piece in pieces])
    numbers = [*indices, *(10 + i for i in indices)]
    stage.reference |= dict(zip(numbers, reference.tolist(), strict=True))
    prompts = [f"prompt {i}" for i in indices]
    return Pairs(*pack(pieces)[:2], numbers=torch.tensor(numbers), prompts=prompts)


def trained(stage: DPO, batches: list[Pairs], steps: int) -> list[dict[str, float]]:
    """Numbers logged at each step."""
    found = []

    class Watch(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            found.append({name: float(value) for name, value in trainer.logged_metrics.items()})

    loader = DataLoader(batches, batch_size=None)
    L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        callbacks=[Watch()],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(stage, loader)
    return found


@pytest.mark.parametrize("char_chunk", [None, 4])
def test_policy_and_reference_tie_before_the_first_step(char_chunk):
    """With dropout in the configuration: neither that nor rounding switches the penalty on."""
    stage = new_stage(char_chunk=char_chunk)
    [first, *_] = trained(stage, [pairs(stage, 0, 1)], steps=1)
    assert first["train/loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert first["penalty/active"] == first["penalty/nats"] == 0
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert first["kl"] == pytest.approx(0, abs=1e-4)


def test_learns_what_is_preferred_and_says_so():
    stage = new_stage()
    before = {name: weight.clone() for name, weight in stage.model.named_parameters()}
    numbers = trained(stage, [pairs(stage, 0), pairs(stage, 1)], steps=8)
    last = numbers[-1]
    assert last["train/loss"] < 0.5
    assert last["rewards/accuracies"] == 1
    assert last["rewards/margins"] == pytest.approx(
        last["rewards/chosen"] - last["rewards/rejected"], abs=1e-4
    )
    assert last["rewards/margins/prompt 1"] == last["rewards/margins"]
    assert last["logps/chosen"] > numbers[1]["logps/chosen"]
    for name, weight in stage.model.named_parameters():
        if weight.requires_grad:
            assert not torch.equal(weight, before[name]), name


def gradients(stage: DPO, batches: list[Pairs]) -> dict[str, torch.Tensor]:
    """Of the mean over batches, away from the tie."""
    stage.log = lambda *_, **__: None
    for number in stage.reference:
        stage.reference[number] += 3.0 if number < 10 else -1.0
    for batch in batches:
        (stage.training_step(batch, 0) / len(batches)).backward()
    return {
        name: weight.grad
        for name, weight in stage.model.named_parameters()
        if weight.grad is not None
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4, msg=name)


def test_two_pairs_at_once_and_accumulated_pull_alike():
    at_once, one_by_one = new_stage(), new_stage()
    assert_same(
        gradients(one_by_one, [pairs(one_by_one, 0), pairs(one_by_one, 1)]),
        gradients(at_once, [pairs(at_once, 0, 1)]),
    )


def test_piece_after_piece_in_chunks_pulls_as_one_pass():
    packed, chunked = new_stage(), new_stage(char_chunk=3)
    assert_same(
        gradients(chunked, [pairs(chunked, 0, 1)]), gradients(packed, [pairs(packed, 0, 1)])
    )


def test_per_character_divides_by_what_is_predicted():
    stage = new_stage(per_character=True, loss_type="simpo", beta=2.0, simpo_gamma=0.5)
    batch = pairs(stage, 0)
    stage.log = lambda *_, **__: None
    counts = [sum(int((patch > 0).sum()) for patch in p[1:]) for p in (CHOSEN[0], REJECTED[0])]
    chosen, rejected = (
        stage.reference[n] / count for n, count in zip((0, 10), counts, strict=True)
    )
    expected = math.log1p(math.exp(-(2 * (chosen - rejected) - 0.5)))
    assert stage.training_step(batch, 0).item() == pytest.approx(expected)


def sharded_gradients(rank, folder):
    stage = new_stage()
    shard(stage.model, init_device_mesh("cpu", (RANKS,)))
    found = gradients(stage, [pairs(stage, rank)])
    whole = {name: gradient.full_tensor() for name, gradient in found.items()}
    if rank == 0:
        torch.save(whole, folder / "gradients.pt")


@pytest.mark.dist
def test_sharded_over_two_ranks_pulls_as_one(tmp_path):
    run_on_ranks(sharded_gradients, tmp_path, RANKS)
    stage = new_stage()
    assert_same(
        torch.load(tmp_path / "gradients.pt", weights_only=True),
        gradients(stage, [pairs(stage, 0, 1)]),
    )


def stops(rank, folder):
    stage = new_stage()
    stage.trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert stage.finite_mean(torch.tensor(float(rank))) == 0.5
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        stage.finite_mean(torch.tensor(math.nan if rank else 1.0))


@pytest.mark.dist
def test_all_ranks_stop_where_one_loss_is_not_finite(tmp_path):
    run_on_ranks(stops, tmp_path, RANKS)
