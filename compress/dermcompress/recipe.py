"""How far and how gently a model is compressed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dermtrain import recipe


@dataclass(frozen=True, slots=True)
class CompressRecipe:
    """How a model is compressed; read from TOML, see `dermtrain.recipe`.

    Attributes:
        name: Name of the recipe.
        keep: Share of the bottleneck channels that stay.
        photographs: Training photographs that slimming and the int8 ranges look at.
        views: Views of each photograph that the teacher is asked about: 1, 2 (mirrored) or 4.
        distil_epochs: Epochs after slimming.
        sparsity: Share of the remaining weights that become 0; 0 leaves sparsifying out.
        sparsify_epochs: Epochs in which they do.
        quantize_epochs: Epochs of quantization-aware training.
        learning_rate: Of Adam in all three.
        batch: Photographs in a step.
    """

    name: str
    keep: float = 0.5
    photographs: int = 192
    views: int = 2
    distil_epochs: int = 2
    sparsity: float = 0.5
    sparsify_epochs: int = 1
    quantize_epochs: int = 1
    learning_rate: float = 1e-5
    batch: int = 16

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        return {
            "keep lies above 0 and is at most 1": 0 < self.keep <= 1,
            "photographs is at least 16": self.photographs >= 16,
            "views is 1, 2 or 4": self.views in (1, 2, 4),
            "sparsity lies in 0 to 0.95": 0 <= self.sparsity <= 0.95,
            "epochs are at least 0, and at least 1 to sparsify": min(
                self.distil_epochs, self.quantize_epochs, self.sparsify_epochs - bool(self.sparsity)
            )
            >= 0,
            "learning_rate is above 0": self.learning_rate > 0,
            "batch is at least 1": self.batch >= 1,
        }


def load(name: str) -> CompressRecipe:
    """Read one shipped with this package by name, or any by path; see `dermtrain.recipe.load`."""
    return recipe.load(CompressRecipe, name, Path(__file__).parent)
