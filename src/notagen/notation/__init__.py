"""The text of a score: NotaGen's ABC dialect, parsed, printed, measured and transposed."""

from notagen.errors import NotationError
from notagen.notation.bars import Bar, Token, bar_duration, print_length, tokens
from notagen.notation.clean import clean, plain_line
from notagen.notation.keys import KEYS, Key, keys_within, parse_key, semitones_between
from notagen.notation.tune import Alignment, Tune

__all__ = [
    "KEYS",
    "Alignment",
    "Bar",
    "Key",
    "NotationError",
    "Token",
    "Tune",
    "bar_duration",
    "clean",
    "keys_within",
    "parse_key",
    "plain_line",
    "print_length",
    "semitones_between",
    "tokens",
]
