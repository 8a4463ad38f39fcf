"""One search for an ensemble, without a campaign around it: for estimators, tests and experiments with thousands of searches."""

from __future__ import annotations

from dataclasses import dataclass

from evosparse.engine.candidate import Candidate
from evosparse.engine.evaluate import check_measures
from evosparse.engine.fitness import Fitness, Resources
from evosparse.engine.search import drive
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.methods.base import EnsembleSearch, Method
from evosparse.errors import CampaignFailed


@dataclass(frozen=True)
class Selection:
    """What a search found.

    Args:
        best: the best candidate of all generations, the first of equals.
        evaluations: number of ensembles that were judged.
        search: after its last generation.
    """

    best: Candidate
    evaluations: int
    search: EnsembleSearch


def select(
    bench: Bench, method: Method, fitness: Fitness, start: Initialisation = Initialisation(), seed: int = 0
) -> Selection:
    """Search for the best ensemble, as a campaign with the same seed does.

    Args:
        bench: the votes.
        method: with its parameters.
        fitness: with one objective.
        start: where the search begins.
        seed: of all randomness.

    Raises:
        SpecError: the method cannot be driven by the fitness.
        CampaignFailed: no ensemble could be judged.
    """
    method.check_fitness(fitness)
    fitness.prepare(Resources(bench))
    search = method.search(bench, start)
    best, evaluations = None, 0
    for candidates in drive(search, seed):
        genomes = [candidate.genome for candidate in candidates]
        # The key is of use to a fitness that draws random numbers, which those of this room do not.
        keys = [SeedKey(seed).child("evaluate", evaluations + index) for index in range(len(genomes))]
        for candidate, result in zip(candidates, fitness.evaluate(genomes, keys), strict=True):
            candidate.judge(check_measures(fitness, result), fitness.objectives)
            if candidate.ok and (best is None or candidate.fitness > best.fitness):
                best = candidate
        evaluations += len(candidates)
    if best is None:
        raise CampaignFailed("no ensemble could be judged: every candidate was refused by the fitness")
    return Selection(best, evaluations, search)
