"""Tries a fitness on a few genomes, here and on a worker, and says what is wrong before a campaign starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evosparse.engine.candidate import Genome, Outcome, Status
from evosparse.engine.evaluate import Evaluator, InProcessEvaluator, Job
from evosparse.engine.fitness import Fitness, Invalid, Resources, Result
from evosparse.engine.problem import Problem, Stage
from evosparse.engine.search import drive
from evosparse.engine.seeds import SeedKey
from evosparse.engine.spec import CampaignSpec
from evosparse.errors import CampaignFailed, PluginError

_GENOMES = 2
_TRIES = 20  # genomes that a fitness may refuse to measure before it counts as broken
_PLACE = re.compile(r'File "(.+)", line (\d+)')
_BROKEN = "the fitness function does not work"


def check(problem: Problem, spec: CampaignSpec, on_worker: bool) -> Iterator[str]:
    """Evaluate the first genomes of a campaign: together, each alone, and on a Ray worker of this machine.

    Args:
        problem: of the campaign.
        spec: of the campaign.
        on_worker: whether to try a worker too.

    Yields:
        What has been found to work, a line each.

    Raises:
        PluginError: the fitness fails, measures none of the first genomes, cannot be sent to a worker, or does not
            give the same result again.
    """
    stage, policy = problem.stage, spec.evaluation.policy
    objectives = stage.fitness.objectives
    yield f"found: objectives {', '.join(f'{name} ({way})' for name, way in objectives.items())}"
    noting = _Noting(stage.fitness)
    try:
        with InProcessEvaluator(Stage(noting, stage.data, stage.genomes), policy) as evaluator:
            jobs, here, reasons = _measured(problem, spec.seed, evaluator, noting)
            yield f"runs here: {_told(here[0])}, {here[0].seconds:.3g} s for each genome"
            if reasons:
                yield f"refused {len(reasons)} of {len(reasons) + len(jobs)} genomes, the first: {reasons[0]}"
            _expect_equal(here, [evaluator.evaluate([job])[0] for job in jobs], "evaluated alone")
        yield "repeatable: the same alone and together"
        if on_worker:
            from evosparse.engine.cluster import Cluster  # importing Ray takes a second

            with Cluster(1, sources=problem.sources) as cluster, cluster.evaluator(stage, policy) as evaluator:
                there = evaluator.evaluate(jobs)
            _expect_ok(there)
            _expect_equal(here, there, "evaluated on a worker")
            yield "runs on a worker: sent, imported and evaluated there with the same result"
    except CampaignFailed as error:
        raise PluginError(f"{_BROKEN}: {str(error).splitlines()[0]}{_place(str(error))}; mend it") from error


class _Noting(Fitness):
    """A fitness that notes what it refuses to measure, which is not the same as a result that is wrong.

    Args:
        fitness: what everything is passed on to.

    Attributes:
        refused: the keys of genomes for which it returned an `Invalid`.
    """

    def __init__(self, fitness: Fitness) -> None:
        self._fitness = fitness
        self.objectives, self.batched = fitness.objectives, fitness.batched
        self.refused: set[SeedKey] = set()

    def prepare(self, resources: Resources) -> None:
        self._fitness.prepare(resources)

    def evaluate(self, genomes: Sequence[Genome], seeds: Sequence[SeedKey]) -> Sequence[Result]:
        results = self._fitness.evaluate(genomes, seeds)
        if isinstance(results, Sequence):  # the evaluator complains of anything else
            self.refused.update(seed for seed, result in zip(seeds, results) if isinstance(result, Invalid))
        return results


def _measured(
    problem: Problem, seed: int, evaluator: Evaluator, noting: _Noting
) -> tuple[list[Job], list[Outcome], list[str]]:
    """Return jobs that can be measured, two if possible, their outcomes when done together, and why others cannot."""
    jobs: list[Job] = []
    here: list[Outcome] = []
    reasons: list[str] = []
    tried = 0
    for candidates in drive(problem.search, seed):
        candidates = list(candidates)
        while candidates and len(jobs) < _GENOMES and tried < _TRIES:
            some = [candidates.pop(0) for _ in range(min(_GENOMES - len(jobs), len(candidates), _TRIES - tried))]
            tried += len(some)
            new = [Job.of(candidate.genome, seed) for candidate in some]
            outcomes = evaluator.evaluate([*jobs, *new])
            _expect_equal(here, outcomes[: len(jobs)], "evaluated beside another")
            for candidate, job, outcome in zip(some, new, outcomes[len(jobs) :], strict=True):
                candidate.judge(outcome, noting.objectives)
                if outcome.status is Status.INVALID and job.seed in noting.refused:
                    reasons.append(outcome.message)
                    continue
                _expect_ok([outcome])
                jobs.append(job)
            here = [outcome for outcome in outcomes if outcome.ok]
        if len(jobs) == _GENOMES or tried == _TRIES:
            break
    if not jobs:
        got = f"none, the last one is refused with {reasons[-1]!r}" if reasons else "a search that proposes nothing"
        raise PluginError(f"{_BROKEN}: expected measures of one of the first {tried} genomes, got {got}; mend it")
    return jobs, here, reasons


def _expect_ok(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if not outcome.ok:
            raise PluginError(f"{_BROKEN}: {_told(outcome)}{_place(outcome.traceback)}; mend it")


def _expect_equal(first: Sequence[Outcome], second: Sequence[Outcome], how: str) -> None:
    for one, other in zip(first, second, strict=True):
        if one.status != other.status or dict(one.measures) != dict(other.measures):
            raise PluginError(
                f"the fitness function is not repeatable: {_told(one)} first, {_told(other)} when {how}: draw random "
                "numbers from the argument 'seed' alone, and let a result depend on its own genome only"
            )


def _told(outcome: Outcome) -> str:
    # In full, because two results may differ in their last digits.
    measures = ", ".join(f"{name} {value!r}" for name, value in outcome.measures.items())
    return measures if outcome.ok else f"{outcome.status}: {outcome.message}"


def _place(traceback: str) -> str:
    """Return where the last call of a traceback stood; nothing if it does not tell."""
    calls = _PLACE.findall(traceback)
    return f" ({calls[-1][0]}, line {calls[-1][1]})" if calls else ""
