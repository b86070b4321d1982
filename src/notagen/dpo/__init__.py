"""One iteration of CLaMP-DPO: sample, score, prefer; generation meets reward and data here."""

from notagen.dpo.iteration import launch_fabric, prepare, store_reference

__all__ = ["launch_fabric", "prepare", "store_reference"]
