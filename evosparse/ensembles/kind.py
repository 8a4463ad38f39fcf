"""The one line of the registry for ensembles: how they are built from a campaign file, shown and exported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from evosparse.engine.candidate import Candidate
from evosparse.engine.problem import Kind
from evosparse.ensembles.figures import draw_ensemble
from evosparse.ensembles.genome import Ensemble
from evosparse.ensembles.problem import EnsembleProblem, EnsembleSpec
from evosparse.ensembles.voting import VotingEnsemble, save


class EnsembleKind(Kind):
    """Which classifiers of a pool vote."""

    name = "ensembles"
    Spec = EnsembleSpec
    genomes = Ensemble
    suffixes = (".json", ".skops", ".png", ".svg")

    def build(self, spec: EnsembleSpec, base: Path | None = None) -> EnsembleProblem:
        """Make the problem that the sections describe."""
        return EnsembleProblem.from_spec(spec, base)

    def show(self, genome: Ensemble) -> Mapping[str, object]:
        """Return the size, and each member's accuracy on the examples that drove the search, the best first."""
        members = sorted(genome.members, key=lambda member: -member[1])
        return {"size": genome.size, "of": genome.pool, "members": [{"name": name, "accuracy": accuracy} for name, accuracy in members]}

    def export(
        self, problem: EnsembleProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Write a candidate, in the form that the suffix names.

        ``.json``: members with accuracies and weights, and how they vote. ``.skops``: the fitted classifier, which
        `ensembles.load` reads; the members are fitted as they were for the final table. ``.png``, ``.svg``: the members'
        accuracies and their disagreement, and the marginals over generations where the method has any.
        """
        problem.expect_members(candidate.genome)
        return _WRITERS[path.suffix](problem, candidate, path, metadata)


def _facts(problem: EnsembleProblem, ensemble: Ensemble) -> dict[str, object]:
    weights = problem.bench.chamber.weights
    own = [1.0] * ensemble.size if weights is None else weights[ensemble.chosen].tolist()
    members = [
        {"name": name, "accuracy": accuracy, "weight": weight}
        for (name, accuracy), weight in zip(ensemble.members, own, strict=True)
    ]
    return {"size": ensemble.size, "vote": problem.spec.vote.model_dump(mode="json"), "members": members}


def _json(problem: EnsembleProblem, candidate: Candidate, path: Path, metadata: Mapping[str, str]) -> Mapping[str, object]:
    values = {name: json.loads(metadata[name]) for name in ("campaign", "measures", "notes")}
    facts = _facts(problem, candidate.genome) | {"classes": list(problem.class_names)}
    path.write_text(json.dumps({**facts, **metadata, **values}, indent=2) + "\n")
    return {"file": str(path), "size": candidate.genome.size, "members": [name for name, _ in candidate.genome.members]}


def _classifier(
    problem: EnsembleProblem, candidate: Candidate, path: Path, metadata: Mapping[str, str]
) -> Mapping[str, object]:
    ensemble: Ensemble = candidate.genome
    names = [name for name, _ in ensemble.members]
    weights = problem.bench.chamber.weights
    chosen = None if weights is None else weights[ensemble.chosen]
    members = problem.pool.fit(names)
    save(VotingEnsemble(members, names, list(problem.class_names), problem.spec.vote.rule, chosen, dict(metadata)), path)
    return {"file": str(path), "size": ensemble.size, "members": names, "read by": "evosparse.ensembles.load"}


def _picture(
    problem: EnsembleProblem, candidate: Candidate, path: Path, metadata: Mapping[str, str]
) -> Mapping[str, object]:
    draw_ensemble(problem.bench.votes, candidate.genome, getattr(problem.search, "history", ()), path)
    return {"file": str(path), "size": candidate.genome.size}


_WRITERS = {".json": _json, ".skops": _classifier, ".png": _picture, ".svg": _picture}
