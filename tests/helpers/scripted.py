"""A model whose next characters are written down, on any processor the same.

It is a real NotaGen with weights set by hand. Whatever it knows of a token stands in a place of
its own: the character, the slot, and a mood, which is the note that comes next. Rules look for
them and say what follows. All but one leave a single character, ahead by ten nats or more; after
a note one of three durations is drawn, whose likelihoods lie 0.8 nats apart. What a product's last
bits can do is less than a thousandth of a nat.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from notagen.model import ModelConfig, NotaGen
from notagen.patches import EOS, PATCH_SIZE, VOCABULARY

SCALE = "CDEFGAB"
"""Each voice goes up and begins again: a note follows that of two patches before."""

DUET = "%%score 1 2\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n[r:0/{}][V:1]"
"""What it goes on from, with up to 19 bars to come. Its voices agree in two bars of five."""

_LENGTH = 32
_NOTE = (6, 12, 13)  # slots: "|[V:2]C8|", "[r:0/7][V:1]C8", "[r:0/19][V:1]C8"
_LETTERS = 64  # places of a patch: which note it holds, after those of its position
_MOODS = 112  # places of both levels
_SLOTS = 11  # places of the char level, those of control characters


class Rule(NamedTuple):
    """What follows where one of some characters stands before one of some slots, in a mood."""

    following: dict[str, float]
    characters: str = ""  # any
    slots: tuple[int, ...] = ()  # any
    mood: int | None = None  # any


RULES = (
    Rule({"|": 4}, slots=(0,)),
    Rule({"[": 4}, "|", (1,)),
    Rule({"[": 4}, "]", (7, 8)),  # after a mark
    Rule({"V": 4}, "["),
    Rule({":": 4}, "V"),
    Rule({"1": 4}, ":", (10, 11)),
    Rule({"2": 4}, ":", (4,)),
    Rule({"]": 4}, "12"),
    Rule({"C": 1}, "]", _NOTE),
    *(Rule({note: 4}, "]", _NOTE, mood) for mood, note in enumerate(SCALE)),
    Rule({"8": 4, "4": 3.88, "6": 3.76}, SCALE, tuple(slot + 1 for slot in _NOTE)),
    Rule({chr(EOS): 4}, "468", (14, 15)),
    Rule({"|": 4}, "468", (8,)),
    Rule({"\n": 4}, "|", (9,)),
)


@torch.no_grad()
def scripted() -> NotaGen:
    """Writes two voices in the scale, in bars of which some last longer than others."""
    model = NotaGen(ModelConfig(1, 1, VOCABULARY, patch_length=_LENGTH, dropout=0.0))
    for name, weight in model.named_parameters():
        weight.fill_(1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else 0.0)
    _remember(model)
    _recall(model)
    _follow(model)
    return model.eval()


def _remember(model: NotaGen) -> None:
    """The patch level: which note the patch before the last holds, and so the mood of the next."""
    level = model.patch_decoder
    level.wpe.weight[:, :_LENGTH] = torch.eye(_LENGTH)
    embedding = level.patch_embedding.weight.view(PATCH_SIZE, VOCABULARY, -1)
    attention = level.h[0].attn
    query, key, value = attention["c_attn"].weight.chunk(3)
    query[: _LENGTH - 1, 1:_LENGTH] = 3 * torch.eye(_LENGTH - 1)
    key[:_LENGTH, :_LENGTH] = 3 * torch.eye(_LENGTH)
    level.ln_f.weight.zero_()
    for mood, note in enumerate(SCALE):
        embedding[_NOTE, ord(note), _LETTERS + mood] = 1
        value[(mood + 1) % len(SCALE), _LETTERS + mood] = 1
        attention["c_proj"].weight[_MOODS + mood, mood] = 1
        level.ln_f.weight[_MOODS + mood] = 0.36


def _recall(model: NotaGen) -> None:
    """The char level's attention: from each character to the beginning, where the mood stands."""
    attention = model.char_decoder.h[0].attn
    _, key, value = attention["c_attn"].weight.chunk(3)
    attention["c_attn"].bias[0] = 10
    key[0, _SLOTS] = 5
    for mood in range(len(SCALE)):
        value[mood, _MOODS + mood] = 0.5
        attention["c_proj"].weight[_MOODS + mood, mood] = 1


def _follow(model: NotaGen) -> None:
    """The char level's rules, one hidden unit each: as steep as steps, which norms do not move."""
    level = model.char_decoder
    level.wte.weight.copy_(4 * torch.eye(VOCABULARY))
    for slot, place in enumerate(level.wpe.weight):
        place[_SLOTS + slot] = 4
    for unit, rule in enumerate(RULES):
        looks, says = (level.h[0].mlp[name] for name in ("c_fc", "c_proj"))
        groups = [
            [ord(character) for character in rule.characters],
            [_SLOTS + slot for slot in rule.slots],
            [] if rule.mood is None else [_MOODS + rule.mood],
        ]
        for group in groups:
            looks.weight[unit, group] = 4
        looks.bias[unit] = -4 * (3, 10.5, 17.6)[sum(map(bool, groups)) - 1]
        for character, weight in rule.following.items():
            says.weight[ord(character), unit] = weight
