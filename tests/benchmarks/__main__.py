"""``make bench``: one table, a line as soon as it is measured, and the same as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.suite import suite
from benchmarks.table import heading, line


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="nano only, two rounds (2 min)")
    parser.add_argument("--slow", action="store_true", help="also small: 1×1024, DPO, writing")
    parser.add_argument("--rounds", type=int, help="of reference and ours in turn")
    parser.add_argument("--threads", type=int, default=1, help="of torch; with 2, mind wall time")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of training")
    parser.add_argument("--out", type=Path, default=Path("runs/bench.json"), help="JSON file")
    options = parser.parse_args()
    chosen = suite(quick=options.quick, slow=options.slow, rounds=options.rounds)
    before, started = os.getloadavg()[0], perf_counter()
    rows = []
    print(heading(), flush=True)
    on_processor = options.device == "cpu"
    for row in chosen.rows(options.threads) if on_processor else chosen.rows_on(options.device):
        print(line(row), flush=True)
        rows.append(row)
    machine = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "device": "cpu" if on_processor else torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "rounds": chosen.rounds,
        "load before": before,
        "load after": os.getloadavg()[0],
        "minutes": (perf_counter() - started) / 60,
    }
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table = {"machine": machine, "rows": [asdict(row) for row in rows]}
    options.out.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n")


def processor() -> str:
    """The processor's name where the system tells it."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor()
    lines = information.read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
