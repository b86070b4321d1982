"""One iteration of CLaMP-DPO: sample, score, prefer; generation meets reward and data here."""

from notagen.iteration.reference import store_reference
from notagen.iteration.steps import prepare, ranks

__all__ = ["prepare", "ranks", "store_reference"]
