"""``python -m notagen.generate``: generate pieces with trained weights."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen.config import announce, build, command, listed, plain
from notagen.errors import UserError
from notagen.notation import plain_line
from notagen.prompts import choose
from notagen.training import cpu


@command("generate")
def main(config: DictConfig) -> None:
    """Generate ``n`` pieces and save them as scores in ``out``, beside those that are there."""
    cpu.configure()

    from notagen.generation import Form
    from notagen.generation.saving import INDEX, check_formats, first_to_open, summary

    labels = {name: label for name, label in plain(config.prompt).items() if label is not None}
    prompt = choose({k: plain_line(str(v)) for k, v in labels.items()}, Path(config.weights))
    formats = listed(config.formats)
    check_formats(formats)
    out = Path(config.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder as out=")
    sampling = build(config.sampling)
    requested = {name: value for name, value in plain(config.form).items() if value is not None}
    form = Form(**requested)
    announce(
        "generate",
        {
            "weights": config.weights,
            "pieces": config.n,
            "prompt": ", ".join(prompt) if prompt else "none",
            "form": ", ".join(f"{name} {value}" for name, value in requested.items()) or "free",
            "alignment": sampling.align,
            "formats": ", ".join(formats),
            "out": out,
        },
    )

    # Seconds of imports, which the plan need not wait for.
    from notagen.generation.to_folder import generate_to_folder, to_device
    from notagen.model import weights

    model = to_device(weights.load(config.weights), str(config.precision))
    saved = generate_to_folder(
        model,
        [str(prompt or "")] * config.n,
        out,
        formats,
        sampling,
        config.seed,
        config.batch_size,
        config.max_patches,
        form,
        quantize=config.quantize,
        cuda_graphs=config.cuda_graphs,
    )
    number = "1 piece" if config.n == 1 else f"{config.n} pieces"
    to_open = first_to_open(saved.pieces, out)
    print(f"{number} in {out}/" + (f": open {to_open}" if to_open else ", none of them a score"))
    print("\n".join(summary(saved.pieces)))
    print(f"bits per character of these pieces by their model: {saved.bits_per_character:.3f}")
    if not any(piece.is_complete for piece in saved.pieces):
        raise UserError(
            f"none of the pieces is complete; {out / INDEX} says why. Train longer, or try "
            "sampling=careful, another seed or a longer max_patches"
        )


if __name__ == "__main__":
    main()
