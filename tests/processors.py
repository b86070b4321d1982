"""Run the tests of the model and of writing as on other processors.

Last bits of a product differ with the instructions it is computed with, with how many threads
share it, and with whether numba compiled it. Each of these is varied by itself, and the corners
furthest from this machine are run too; what this processor lacks is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

TESTS = Path(__file__).parent
FOLDERS = ("model", "generation")
CORES = 2  # that the runs use together
CAPABILITIES = ("default", "avx2", "avx512")

# MKL multiplies for torch whatever ATen may use; the least of processors has its order of sums.
OLDEST = {"MKL_CBWR": "COMPATIBLE"}
OPTIONS: dict[str, dict[str, str]] = {
    "numba": {},
    "numba without AVX-512": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""},
    "no numba": {},
}
WITHOUT_NUMBA = "import sys\nsys.modules['numba'] = None  # as if it were not installed\n"


class Processor(NamedTuple):
    """What a run pretends to have."""

    capability: str
    threads: int
    numba: str

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.capability}, {threads}, {self.numba}"

    def environment(self, folder: Path) -> dict[str, str]:
        """Variables for the run; the folder is its own."""
        folder.mkdir()
        path = [str(folder), os.environ.get("PYTHONPATH", "")]
        if self.numba == "no numba":  # nor in processes that the tests start
            (folder / "sitecustomize.py").write_text(WITHOUT_NUMBA)
        return (
            os.environ
            | (OLDEST if self.capability == "default" else {})
            | OPTIONS[self.numba]
            | {
                "ATEN_CPU_CAPABILITY": self.capability,
                "NOTAGEN_TEST_THREADS": str(self.threads),
                "OMP_WAIT_POLICY": "PASSIVE",  # as the commands set it
                "NUMBA_CACHE_DIR": str(folder.parent / self.numba),
                "PYTHONPATH": os.pathsep.join(filter(None, path)),
            }
        )


def processors(best: str) -> Iterator[Processor]:
    """Those to run, given what this one can do."""
    for capability in CAPABILITIES:
        yield Processor(capability, 1, "numba")
    yield Processor(best, 2, "numba")
    yield Processor(best, 1, "numba without AVX-512")
    yield Processor(best, 1, "no numba")
    yield Processor("default", 2, "no numba")
    yield Processor("avx2", 2, "numba without AVX-512")


def lacking(processor: Processor, best: str) -> bool:
    """Whether this machine cannot pretend to be it, or is it anyway."""
    if CAPABILITIES.index(processor.capability) > CAPABILITIES.index(best):
        return True
    return processor.numba == "numba without AVX-512" and best != "avx512"


def passes(processor: Processor, folder: Path) -> bool:
    """Run the tests and print a line; where one fails, what pytest said."""
    workers = ("-n", str(CORES // processor.threads))
    options = ("-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu and not chaos", *workers)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(TESTS / name for name in FOLDERS)],
        env=processor.environment(folder), cwd=TESTS.parent, capture_output=True, text=True,
    )  # fmt: skip
    printed = done.stdout.splitlines()
    result = printed[-1] if printed else ""
    print(f"{processor!s:42} {result} ({time.monotonic() - start:.0f} s in all)", flush=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    return done.returncode == 0


def main() -> None:
    """Exit with an error where a run had one."""
    best = torch.backends.cpu.get_cpu_capability().lower()
    best = best if best in CAPABILITIES else "default"  # as on ARM
    passed = []
    with tempfile.TemporaryDirectory() as folder:
        for number, processor in enumerate(dict.fromkeys(processors(best))):
            if lacking(processor, best):
                print(f"{processor!s:42} left out: this processor lacks it", flush=True)
            else:
                passed.append(passes(processor, Path(folder, str(number))))
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
