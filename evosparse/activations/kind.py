"""The one line of the registry for activation functions: how they are built from a campaign file, shown and exported."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from evosparse.activations.examination import TripleTrial, train_to_the_end
from evosparse.activations.figures import draw_curves
from evosparse.activations.genome import Triple
from evosparse.activations.module import source
from evosparse.activations.problem import ActivationProblem, ActivationSpec
from evosparse.engine.candidate import Candidate
from evosparse.engine.problem import Kind
from evosparse.engine.seeds import SeedKey


class ActivationKind(Kind):
    """Activation functions of a network's input, hidden and output layers."""

    name = "activations"
    Spec = ActivationSpec
    genomes = Triple
    suffixes = (".py", ".json", ".safetensors", ".png", ".svg")

    def build(self, spec: ActivationSpec, base: Path | None = None) -> ActivationProblem:
        """Make the problem that the sections describe."""
        return ActivationProblem.from_spec(spec, base)

    def show(self, genome: Triple) -> Mapping[str, object]:
        """Return each role's formula, its canonical form where that is another, and which of them was judged."""
        functions = {}
        for role, genes, canonical in zip(genome.roles, genome.genes, genome.expressions, strict=True):
            facts: dict[str, object] = {"formula": str(genes.expression), "encoding": genes.encoding}
            if str(canonical) != facts["formula"]:
                facts["canonical"] = str(canonical)
            functions[role] = facts
        return {"judged": genome.roles[genome.active], "functions": functions, "phenotype": genome.phenotype}

    def export(
        self, problem: ActivationProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Write a candidate, in the form that the suffix names.

        ``.py``: a torch module for each role, as source that needs nothing but torch. ``.json``: formulas and measures.
        ``.safetensors``: a network trained to the end, as the examination's first replicate was, with the formulas in its
        metadata. ``.png``, ``.svg``: the functions' curves.
        """
        return _WRITERS[path.suffix](problem, candidate, path, seed, metadata)


def _formulas(triple: Triple) -> dict[str, str]:
    return {role: str(genes.expression) for role, genes in zip(triple.roles, triple.genes, strict=True)}


def _source(
    problem: ActivationProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
) -> Mapping[str, object]:
    triple: Triple = candidate.genome
    functions = {f"{role.capitalize()}Activation": triple.function(role) for role in triple.roles}
    note = f"found by evosparse {metadata['evosparse']} (candidate {metadata['uid']}, measures {metadata['measures']})"
    path.write_text(source(functions, problem.bench.primitives, note))
    return {"file": str(path), "classes": list(functions), "functions": _formulas(triple)}


def _json(
    problem: ActivationProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
) -> Mapping[str, object]:
    values = {name: json.loads(metadata[name]) for name in ("campaign", "measures", "notes")}
    document = {"functions": _formulas(candidate.genome), **metadata, **values}
    path.write_text(json.dumps(document, indent=2) + "\n")
    return {"file": str(path), "functions": _formulas(candidate.genome)}


def _network(
    problem: ActivationProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
) -> Mapping[str, object]:
    trial = TripleTrial("winner", 0, candidate.genome)
    population = train_to_the_end(problem.examined, trial, SeedKey(seed), problem.spec.examination.epochs)
    tensors = {name: np.ascontiguousarray(values) for name, values in population.state(0).items()}
    save_file(tensors, path, {**metadata, "functions": json.dumps(_formulas(candidate.genome))})
    return {"file": str(path), "tensors": {name: list(values.shape) for name, values in tensors.items()}}


def _picture(
    problem: ActivationProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
) -> Mapping[str, object]:
    draw_curves({candidate.uid: candidate.genome}, problem.bench.primitives, path)
    return {"file": str(path), "functions": _formulas(candidate.genome)}


Writer = Callable[[ActivationProblem, Candidate, Path, int, Mapping[str, str]], Mapping[str, object]]
_WRITERS: Mapping[str, Writer] = {
    ".py": _source, ".json": _json, ".safetensors": _network, ".png": _picture, ".svg": _picture
}  # fmt: skip
