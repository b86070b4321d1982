"""The hierarchical decoder: patch level, char level, their weights, and cached decoding."""

from notagen.model.config import ModelConfig
from notagen.model.decode import Decoder
from notagen.model.network import NotaGen, predicted

__all__ = ["Decoder", "ModelConfig", "NotaGen", "predicted"]
