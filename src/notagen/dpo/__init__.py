"""CLaMP-DPO: one iteration of preference training (paper, section 3.3)."""
