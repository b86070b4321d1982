"""Cached decoding: the decoder, and its computations in torch or in machine code."""
