"""Loading and saving in a folder or on the Hugging Face hub, for every model of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from huggingface_hub import PyTorchModelHubMixin

from notagen.atomic import replacing


class HubModel(PyTorchModelHubMixin):
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub``."""

    def save_whole(self, out: Path) -> None:
        """Save as ``save_pretrained`` does, but atomically; replaces what is at ``out``."""
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
        """Load a folder or a hub id; strict by default, where huggingface_hub's default is lax."""
        # huggingface_hub prints "Loading weights from local directory" for a folder, so a folder
        # is read here.
        file = Path(model_id) / "model.safetensors"
        if not file.is_file():
            options |= {"config": config, "strict": strict, "map_location": map_location}
            model: Self = super()._from_pretrained(model_id=model_id, **options)
        elif config is None:
            raise ValueError(f"{model_id} has no config.json that tells its sizes")
        else:
            model = cls._load_as_safetensor(cls(config), str(file), map_location, strict)
        return model
