"""How well weights know pieces."""

import math

import numpy as np
import pytest
import torch

from notagen.data.batches import pack
from notagen.data.pieces import validation_pieces
from notagen.metrics.bits import likelihood
from notagen.metrics.bits_metric import BitsPerCharacter
from notagen.model import ModelConfig, NotaGen
from notagen.patches import PAD, decode


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return NotaGen(ModelConfig(1, 1, 64, 128)).eval()


def test_is_that_of_whole_pieces_and_what_the_metric_says(model, rows):
    pieces = validation_pieces(rows[:3], 128)
    found = likelihood(model, pieces)
    nats = -model.log_prob(pieces).double().sum().item()
    bits = BitsPerCharacter()
    for batch in (pack([piece]) for piece in pieces):
        bits.update(model(batch.patches, batch.lengths), batch.patches)
    assert found.characters == sum(len(decode(piece)) for piece in pieces)
    assert found.bits_per_character == pytest.approx(nats / found.characters / math.log(2))
    assert found.bits_per_character == pytest.approx(float(bits.compute()))
    n_predicted = sum(int(np.sum(piece[1:] != PAD)) for piece in pieces)  # the first patch is given
    assert found.loss == pytest.approx(nats / n_predicted)


def test_of_no_pieces_is_not_a_number(model):
    found = likelihood(model, [])
    assert found.characters == 0
    assert math.isnan(found.loss)
    assert math.isnan(found.bits_per_character)
