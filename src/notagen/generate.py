"""``python -m notagen.generate``: write pieces with trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from notagen.config import announce, build, command, listed, plain
from notagen.errors import UserError
from notagen.prompts import Prompt, check_known
from notagen.training import cpu

if TYPE_CHECKING:
    from notagen.model import NotaGen


@command("generate")
def main(config: DictConfig) -> None:
    """Write ``n`` pieces and save them as scores in ``out``."""
    cpu.configure()

    from rich.progress import track

    from notagen.generation import Form, generate
    from notagen.generation.saving import check_formats, save, summary, write_index
    from notagen.metrics.bits import likelihood
    from notagen.model import weights
    from notagen.patches import encode

    prompt = _prompt(plain(config.prompt))
    check_known(prompt, Path(config.weights))
    formats = listed(config.formats)
    check_formats(formats)
    for key in ("n", "batch_size", "max_patches"):
        if not (isinstance(config[key], int) and config[key] >= 1):
            raise UserError(f"{key} must be a whole number from 1 on, not {config[key]}")
    out = Path(config.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder as out=")
    sampling = build(config.sampling)
    asked = {name: value for name, value in plain(config.form).items() if value is not None}
    form = Form(**asked)
    model = _placed(weights.load(config.weights), str(config.precision))
    announce(
        "generate",
        {
            "weights": config.weights,
            "pieces": config.n,
            "prompt": ", ".join(prompt) if prompt else "none",
            "form": ", ".join(f"{name} {value}" for name, value in asked.items()) or "free",
            "alignment": sampling.align,
            "formats": ", ".join(formats),
            "out": out,
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    prompts = [str(prompt or "")] * config.n
    written = generate(
        model,
        prompts,
        sampling,
        config.seed,
        config.batch_size,
        config.max_patches,
        form,
        quantize=config.quantize,
        cuda_graphs=config.cuda_graphs,
    )
    saved = []
    pieces = []
    for piece in track(written, "writing pieces", total=config.n):
        saved.append(save(piece, out, formats))
        pieces.append(encode(piece.text)[: model.config.patch_length])
    saved.sort(key=lambda piece: piece.name)
    write_index(saved, out)
    print("\n".join(summary(saved)))
    bits = likelihood(model, pieces).bits_per_character
    print(f"bits per character that these weights need for what was written: {bits:.3f}")
    print(f"scores: {out}")


def _placed(model: NotaGen, precision: str) -> NotaGen:
    """On a GPU where there is one, with weights of the type that is asked for."""
    import torch

    types = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}
    if precision not in types:
        raise UserError(f"precision must be one of {', '.join(types)}, not {precision}")
    if torch.cuda.is_available():
        return model.to("cuda", types[precision])
    if precision != "32":
        raise UserError(f"precision={precision} needs a CUDA device; leave it at 32")
    return model


def _prompt(labels: dict[str, str | None]) -> Prompt | None:
    from notagen.notation import plain_line

    given = {name: plain_line(str(label)) for name, label in labels.items() if label is not None}
    if not given:
        return None
    if len(given) < len(labels):
        missing = ", ".join(f"prompt.{name}" for name in labels if name not in given)
        raise UserError(f"a prompt has three labels; {missing} is missing")
    return Prompt(**given)


if __name__ == "__main__":
    main()
