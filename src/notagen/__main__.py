"""``notagen``: run a command, or list them; ``notagen train`` is ``python -m notagen.train``."""

from __future__ import annotations

import runpy
import sys

from notagen import __version__
from notagen.errors import UserError
from notagen.exits import explained

COMMANDS = {
    "prepare": "turn scores into a prepared corpus",
    "train": "train one stage: pretrain, posttrain, finetune, dpo, m3",
    "generate": "write pieces with trained weights",
    "evaluate": "bits per character of weights on pieces not trained on",
    "export": "weights as a published-format file or as safetensors",
    "select": "the part of a corpus that sounds most like reference pieces",
    "probe": "what the features of a music encoder know",
}


def main() -> None:
    """Run the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv[:2] = [f"notagen {name}"]
        # As `python -m` does it, so that ranks and workers are started in the same way.
        runpy.run_module(f"notagen.{name}", run_name="__main__", alter_sys=True)
        return
    with explained():
        if name in ("--help", "-h"):
            print("notagen COMMAND [key=value ...]; COMMAND --help explains its keys\n")
            print("\n".join(f"  {each:<10}{line}" for each, line in COMMANDS.items()))
        elif name == "--version":
            print(f"notagen {__version__}")
        else:
            raise UserError(f"there is no command {name}; choose from {', '.join(COMMANDS)}")


if __name__ == "__main__":
    main()
