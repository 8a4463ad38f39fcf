"""The one line of the registry for published methods: how they are built from a campaign file, shown and exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from evosparse.engine.candidate import Candidate
from evosparse.engine.problem import Kind
from evosparse.errors import StoreError
from evosparse.sparsify.compact import compact
from evosparse.sparsify.genome import Recipe
from evosparse.sparsify.problem import SparsifyProblem, SparsifySpec
from evosparse.sparsify.trained import decode


class SparsifyKind(Kind):
    """Published methods of sparse training."""

    name = "sparsify"
    Spec = SparsifySpec
    genomes = Recipe
    suffixes = (".safetensors", ".py")

    def build(self, spec: SparsifySpec, base: Path | None = None) -> SparsifyProblem:
        """Make the problem that the sections describe."""
        return SparsifyProblem.from_spec(spec, base)

    def show(self, genome: Recipe) -> Mapping[str, object]:
        """Return the method with all its parameters."""
        parameters = genome.method.model_dump(mode="json")
        return {"sparsity": genome.sparsity, "replicate": genome.replicate, **parameters}

    def export(
        self, problem: SparsifyProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Write the network as it was at the end of its training: to safetensors, or without dead units to Python source.

        The safetensors hold each parameter under its name in the network, removed weights as zeros, and for each masked
        layer ``NAME.mask`` as bytes of 0 and 1. The source builds the smaller dense network that answers as the masked one
        (see `compact`); its parameters are in a file of the same name beside it, with the suffix ``.safetensors``.
        """
        if candidate.uid not in problem.search.networks:
            raise StoreError(f"candidate {candidate.uid} left no network: {candidate.outcome.message or 'it failed'}; name another")
        connections, final, _ = decode(problem.bench.network, problem.search.networks[candidate.uid])
        if path.suffix == ".py":
            smaller = compact(problem.bench.network, connections, final)
            beside = path.with_suffix(".safetensors")
            parameters = {name: value.numpy().copy() for name, value in smaller.module.state_dict().items()}
            path.write_text(smaller.to_python(beside.name))
            save_file(parameters, beside, dict(metadata))
            return {"file": str(path), "tensors": {name: list(values.shape) for name, values in parameters.items()}}
        tensors = {name: np.ascontiguousarray(values) for name, values in final.items()}
        for layer, own in zip(problem.bench.network.layers, connections, strict=True):
            mask = np.zeros(layer.size, np.uint8)
            mask[own] = 1
            tensors[f"{layer.name}.mask"] = mask.reshape(layer.shape)
        save_file(tensors, path, dict(metadata))
        return {"file": str(path), "tensors": {name: list(values.shape) for name, values in tensors.items()}}
