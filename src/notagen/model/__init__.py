"""The hierarchical decoder: patch level, char level, weights, LoRA, cached decoding."""

from notagen.model.config import ModelConfig
from notagen.model.decoding.decoder import Decoder
from notagen.model.notagen import NotaGen, predicted

__all__ = ["Decoder", "ModelConfig", "NotaGen", "predicted"]
