"""Folders that hold no encoder, or a damaged one, are named."""

import json

import pytest

from notagen.errors import UserError
from notagen.reward import EncoderConfig, MusicEncoder, check, load

SIZES = {"layers": 1, "hidden_size": 64, "feature_size": 8, "patch_length": 64}


@pytest.fixture
def folder(tmp_path):
    MusicEncoder(EncoderConfig(**SIZES)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "7",
        "null",
        "{}",
        json.dumps({"hidden_size": 64, "feature_size": 8}),
        json.dumps({**SIZES, "layers": "two"}),
        json.dumps({**SIZES, "layers": None}),
        json.dumps({**SIZES, "hidden_size": 0}),
        json.dumps({**SIZES, "hidden_size": 128}),
        json.dumps({**SIZES, "hidden_size": 32}),
        json.dumps({**SIZES, "feature_size": -1}),
    ],
)
def test_a_configuration_of_another_shape(folder, config):
    (folder / "config.json").write_text(config)
    with pytest.raises(UserError, match=r"cannot load a music encoder from .*model"):
        load(folder)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "zeros"])
def test_weights_that_are_damaged(folder, damage):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:1000], "zeros": bytes(1000)}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    with pytest.raises(UserError, match=r"cannot load a music encoder from .*model"):
        load(folder)


def test_an_encoder_is_tried_with_a_piece(folder, rows):
    check("reward", load(folder), rows[0]["text"])
