"""Music encoders, and what is made of their features: scores and preferences."""

from notagen.reward.encoder import EncoderConfig, MusicEncoder
from notagen.reward.loading import Features, identity, load

__all__ = ["EncoderConfig", "Features", "MusicEncoder", "identity", "load"]
