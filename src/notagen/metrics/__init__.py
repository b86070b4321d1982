"""Metrics: bits per character of a model, and of an n-gram baseline."""
