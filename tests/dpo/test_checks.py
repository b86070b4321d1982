"""What an iteration lacks is said before its policy writes a piece, and nothing is left behind."""

import pytest
import torch

from notagen.model import ModelConfig, NotaGen
from notagen.prompts import Prompt, save_known
from notagen.reward import EncoderConfig, MusicEncoder
from tests.helpers.iterations import overrides, random_start

HAYDN = Prompt("Classical", "Haydn, Joseph", "Chamber")
BACH = Prompt("Baroque", "Bach, Johann Sebastian", "Choral")


class Unlike:
    """Not an encoder."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checks")
    random_start(folder)
    broken = NotaGen(ModelConfig(1, 1, 64, 128))
    torch.nn.init.constant_(broken.char_decoder.ln_f.weight, torch.nan)
    broken.save_pretrained(folder / "broken")
    deaf = MusicEncoder(EncoderConfig(1, 64, 32, 64))
    torch.nn.init.constant_(deaf.projection.weight, torch.nan)
    deaf.save_pretrained(folder / "deaf")
    return folder


def start(folder):
    return f"init_from={folder}/runs/one/finetune/model"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["reward.name=nowhere"], "no music encoder at nowhere"),
        (["reward.name={}/runs/one/finetune/model"], "holds another model, not a music encoder"),
        (["reward.name={}/deaf"], "reward encodes one piece as .* not finite"),
        (["~reward", "+reward={{_target_: tests.dpo.test_checks.Unlike}}"], "reward has no encode"),
        (["~reward"], "Interpolation key 'reward' not found"),
        (["stage.judge=nowhere"], "no music encoder at nowhere"),
        (["stage.judge={}/deaf"], "judge encodes one piece as"),
        (["init_from={}/broken"], "gives no finite loss"),
        (["model.hidden_size=128"], "is of another size .hidden_size 64."),
        (["stage.data.where='voices == 77'"], "no prompt has 2 pieces"),
        (["stage.data.where='piece in @only'"], "cannot choose pieces by"),
        (["stage.samples.min_real=7"], "no prompt has 7 pieces"),
        (["stage.samples.per_prompt=1"], "make 0 pairs at most, and training needs 2"),
        (["stage.data.batch_size=50"], "make 9 pairs at most, and training needs 50"),
        (["iteration=0"], "iteration.*0"),
    ],
)
def test_what_it_lacks_is_said_first(run, folder, corpus, keys, said):
    policy = () if keys[0].startswith("init_from") else (start(folder),)
    given = overrides(folder, corpus, "lacks", *(key.format(folder) for key in (*policy, *keys)))
    if "~reward" in keys:
        given = [key for key in given if not key.startswith("reward.name=")]
    with pytest.raises(SystemExit, match=said):
        run("train", *given)
    for name in ("samples", "settings.json", "model"):
        assert not (folder / "runs/lacks/dpo-1" / name).exists()


def test_a_corpus_without_validation_pieces_of_that_kind(run, folder, corpus, rows):
    most = max(row["bars"] for row in rows[6:])
    only = f"stage.data.where='bars > {most} or bars < 20'"
    with pytest.raises(SystemExit, match="no validation piece with bars"):
        run("train", *overrides(folder, corpus, "lacks", start(folder), only))


def test_prompts_that_the_policy_does_not_know_are_not_used(run, folder, corpus):
    policy = folder / "runs/bach/finetune/model"
    NotaGen.from_pretrained(folder / "runs/one/finetune/model").save_pretrained(policy)
    save_known([BACH], policy)
    with pytest.raises(
        SystemExit, match="none of the 1 prompts that the policy knows has 2 pieces"
    ):
        run("train", *overrides(folder, corpus, "bach"))
    save_known([BACH, HAYDN], policy)
    with pytest.raises(SystemExit, match=r"no piece may be chosen|none of the"):  # they are random
        run("train", *overrides(folder, corpus, "bach"))
    [line] = {
        line.split(",")[1]
        for line in (folder / "runs/bach/dpo-1/samples/rank-0.jsonl").read_text().splitlines()
    }
    assert "Classical" in line
