"""Weights in a folder or on the hub, for every model of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from huggingface_hub import PyTorchModelHubMixin

from notagen.atomic import replacing


class HubModel(PyTorchModelHubMixin):
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub``."""

    def save_whole(self, out: Path) -> None:
        """As ``save_pretrained``, whole or not at all; what is at ``out`` is replaced."""
        with replacing(out) as unfinished:
            self.save_pretrained(unfinished)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        config: Any = None,
        strict: bool = True,
        map_location: str = "cpu",
        **options: Any,
    ) -> Self:
        """As inherited, but strict unless told otherwise, and a folder is read without a notice."""
        file = Path(model_id) / "model.safetensors"
        if not file.is_file():
            options |= {"config": config, "strict": strict, "map_location": map_location}
            model: Self = super()._from_pretrained(model_id=model_id, **options)
        elif config is None:
            raise ValueError(f"{model_id} has no config.json that tells its sizes")
        else:
            model = cls._load_as_safetensor(cls(config), str(file), map_location, strict)
        return model
