"""A model so small that it learns two short pieces by heart in seconds."""

import pytest
import torch

from notagen.model import ModelConfig, NotaGen
from notagen.patches import encode

_HEADER = "%%score 1 2\nL:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
_BARS = ["[V:1]C2 E2 G2 c2|[V:2]C4 G,4|", "[V:1]F4 A4|[V:2]F,2 A,2 C4|", "[V:1]GFED C4|[V:2]C,8|"]


def _piece(bars: list[str]) -> str:
    return _HEADER + "".join(f"{bar}\n" for bar in bars)


@pytest.fixture(scope="session")
def learned() -> NotaGen:
    """Writes bars of two voices; at a high temperature about half of them do not agree."""
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(1, 1, 64, patch_length=64, dropout=0.0))
    pieces = [encode(_piece(_BARS * 2)), encode(_piece(_BARS[::-1] * 2))]
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(pieces).backward()
        optimizer.step()
    return model.eval()
