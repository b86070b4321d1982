"""Measures of weights and of text: bits per character, n-gram models."""
