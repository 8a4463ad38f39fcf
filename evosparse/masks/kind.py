"""The one line of the registry for masks: how they are built from a campaign file, shown and exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from evosparse.engine.candidate import Candidate
from evosparse.engine.problem import Kind
from evosparse.engine.seeds import SeedKey
from evosparse.masks.examination import train_to_the_end
from evosparse.masks.genome import Mask
from evosparse.masks.problem import MaskProblem, MaskSpec


class MaskKind(Kind):
    """Sparse masks at initialisation."""

    name = "masks"
    Spec = MaskSpec
    genomes = Mask
    suffixes = (".safetensors",)

    def build(self, spec: MaskSpec, base: Path | None = None) -> MaskProblem:
        """Make the problem that the sections describe."""
        return MaskProblem.from_spec(spec, base)

    def show(self, genome: Mask) -> Mapping[str, object]:
        """Return the sparsity of the whole and of each layer."""
        return {
            "weights": genome.count,
            "of": genome.size,
            "sparsity": genome.sparsity,
            "layers": [
                {
                    "name": layer.name,
                    "shape": list(layer.shape),
                    "weights": layer.count,
                    "of": layer.size,
                    "density": layer.count / layer.size,
                }
                for layer in genome.layers
            ],
        }

    def export(
        self, problem: MaskProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Train the mask to the end, as the examination's first replicate did, and write weights and mask to safetensors.

        The file holds each parameter under its name in the network, removed weights as zeros, and for each masked layer
        ``NAME.mask`` as bytes of 0 and 1.
        """
        population = train_to_the_end(problem.bench, problem.trial_of(candidate.genome), SeedKey(seed))
        tensors = {name: np.ascontiguousarray(values) for name, values in population.state(0).items()}
        for layer in candidate.genome.layers:
            tensors[f"{layer.name}.mask"] = layer.to_bool().astype(np.uint8)
        save_file(tensors, path, dict(metadata))
        return {"file": str(path), "tensors": {name: list(values.shape) for name, values in tensors.items()}}
