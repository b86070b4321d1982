"""``python -m notagen.generate``: write pieces with trained weights."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen import processor
from notagen.config import announce, command, plain
from notagen.errors import UserError
from notagen.prompt import Prompt, check_known


@command("generate")
def main(config: DictConfig) -> None:
    """Write ``n`` pieces and save them as scores in ``out``."""
    import torch

    processor.settle()

    from rich.progress import track

    from notagen import weights
    from notagen.batch import pack
    from notagen.generation import Form, Sampling, generate
    from notagen.generation.saving import check_formats, save, summary, write_index
    from notagen.metrics import BitsPerCharacter
    from notagen.patches import encode

    prompt = _prompt(plain(config.prompt))
    check_known(prompt, Path(config.weights))
    check_formats(config.formats)
    sampling = Sampling(**plain(config.sampling, "_target_"))
    asked = {name: value for name, value in plain(config.form).items() if value is not None}
    form = Form(**asked)
    model = weights.load(config.weights)
    out = Path(config.out)
    announce(
        "generate",
        {
            "weights": config.weights,
            "pieces": config.n,
            "prompt": ", ".join(prompt) if prompt else "none",
            "form": ", ".join(f"{name} {value}" for name, value in asked.items()) or "free",
            "alignment": sampling.align,
            "formats": ", ".join(config.formats),
            "out": out,
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    prompts = [str(prompt or "")] * config.n
    written = generate(
        model, prompts, sampling, config.seed, config.rows, config.most_patches, form
    )
    saved = []
    bits = BitsPerCharacter()
    for piece in track(written, "writing pieces", total=config.n):
        saved.append(save(piece, out, config.formats))
        batch = pack([encode(piece.text)[: model.config.patch_length]])
        with torch.inference_mode():
            bits.update(model(batch.patches, batch.lengths), batch.patches)
    saved.sort(key=lambda piece: piece.name)
    write_index(saved, out)
    print("\n".join(summary(saved)))
    print(f"bits per character that these weights need for what was written: {bits.compute():.3f}")
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
