"""``python -m notagen.generate``: write pieces with trained weights."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen.config import announce, build, command, plain
from notagen.errors import UserError
from notagen.prompt import Prompt, check_known


@command("generate")
def main(config: DictConfig) -> None:
    """Write ``n`` pieces and save them as scores in ``out``."""
    from rich.progress import track

    from notagen import weights
    from notagen.generation import generate
    from notagen.generation.saving import check_formats, save, write_index

    prompt = _prompt(plain(config.prompt))
    check_known(prompt, Path(config.weights))
    check_formats(config.formats)
    model = weights.load(config.weights)
    out = Path(config.out)
    announce(
        "generate",
        {
            "weights": config.weights,
            "pieces": config.n,
            "prompt": ", ".join(prompt) if prompt else "none",
            "formats": ", ".join(config.formats),
            "out": out,
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    prompts = [str(prompt or "")] * config.n
    written = generate(
        model, prompts, build(config.sampling), config.seed, config.rows, config.most_patches
    )
    saved = [
        save(piece, out, config.formats)
        for piece in track(written, "writing pieces", total=config.n)
    ]
    saved.sort(key=lambda piece: piece.name)
    write_index(saved, out)
    for piece in saved:
        if not piece.is_complete:
            reason = piece.problem or f"{piece.ending}, {piece.silent_voices} voices never sound"
            print(f"{piece.name} is not complete: {reason}")
    bars = sum(piece.bars for piece in saved)
    aligned = sum(piece.aligned_bars for piece in saved)
    print(f"complete pieces: {sum(piece.is_complete for piece in saved)} of {config.n}")
    print(f"bars that last as long in all voices: {aligned} of {bars}")
    print(f"scores: {out}")


def _prompt(labels: dict[str, str | None]) -> Prompt | None:
    given = {name: label for name, label in labels.items() if label is not None}
    if not given:
        return None
    if len(given) < len(labels):
        missing = ", ".join(f"prompt.{name}" for name in labels if name not in given)
        raise UserError(f"a prompt has three labels; {missing} is missing")
    return Prompt(**given)


if __name__ == "__main__":
    main()
