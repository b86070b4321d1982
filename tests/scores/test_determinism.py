"""Reading gives the same text in any process."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from music21 import corpus

from notagen.scores import read, to_midi
from tests.helpers.music21_scores import DUET
from tests.helpers.random_kern import random_kern

_READ = """
import sys
from notagen.scores import read
for path in sys.argv[2:]:
    filler = [object() for _ in range(int(sys.argv[1]))]  # other places in memory
    print(*(tune.to_interleaved() for tune in read(path)))
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A file of each format, with several voices on a staff."""
    kern, abc, midi = (tmp_path / f"a.{suffix}" for suffix in ("krn", "abc", "mid"))
    kern.write_text(random_kern(3)[0])
    abc.write_text(DUET)
    mazurka = Path(corpus.getWork("chopin/mazurka06-2.krn"))
    xml = Path(corpus.getWork("haydn/opus1no1/movement5.mxl"))
    midi.write_bytes(to_midi(read(kern)[0]))
    return [kern, abc, midi, mazurka, xml]


def test_the_same_text_in_two_processes(files: list[Path]) -> None:
    texts = {
        hashlib.sha256(
            subprocess.run(
                [sys.executable, "-c", _READ, str(1000 * seed), *map(str, files)],
                env=os.environ | {"PYTHONHASHSEED": str(seed)},
                capture_output=True,
                check=True,
            ).stdout
        ).hexdigest()
        for seed in (1, 2)
    }
    assert len(texts) == 1
