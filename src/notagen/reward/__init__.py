"""Music encoders and the rewards computed from their features."""

from notagen.reward.encoder import EncoderConfig, MusicEncoder
from notagen.reward.loading import Encoder, Features, check, identity, load

__all__ = ["Encoder", "EncoderConfig", "Features", "MusicEncoder", "check", "identity", "load"]
