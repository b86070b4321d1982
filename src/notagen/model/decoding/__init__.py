"""Cached decoding: in torch, or in machine code."""
