"""Tries a fitness on a few genomes, here and on a worker, and says what is wrong before a campaign starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evosparse.engine.candidate import Outcome
from evosparse.engine.evaluate import InProcessEvaluator, Job
from evosparse.engine.problem import Problem
from evosparse.engine.seeds import SeedKey, global_random
from evosparse.engine.spec import CampaignSpec
from evosparse.errors import CampaignFailed, PluginError

_GENOMES = 2
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
        PluginError: the fitness fails, cannot be sent to a worker, or does not give the same result again.
    """
    fitness, policy = problem.stage.fitness, spec.evaluation.policy
    key = SeedKey(spec.seed).child("ask", 0)
    with global_random(key.child("deap")):
        candidates = problem.search.ask(key)[:_GENOMES]
    jobs = [Job.of(candidate.genome, spec.seed) for candidate in candidates]
    yield f"found: objectives {', '.join(f'{name} ({way})' for name, way in fitness.objectives.items())}"
    try:
        with InProcessEvaluator(problem.stage, policy) as evaluator:
            here = evaluator.evaluate(jobs)
            _expect_ok(here)
            yield f"runs here: {_told(here[0])}, {here[0].seconds:.3g} s for each genome"
            _expect_equal(here, [evaluator.evaluate([job])[0] for job in jobs], "evaluated alone")
        yield "repeatable: the same alone and together"
        if on_worker:
            from evosparse.engine.cluster import Cluster  # importing Ray takes a second

            with Cluster(1, sources=problem.sources) as cluster, cluster.evaluator(problem.stage, policy) as evaluator:
                there = evaluator.evaluate(jobs)
            _expect_ok(there)
            _expect_equal(here, there, "evaluated on a worker")
            yield "runs on a worker: sent, imported and evaluated there with the same result"
    except CampaignFailed as error:
        raise PluginError(f"{_BROKEN}: {str(error).splitlines()[0]}{_place(str(error))}; mend it") from error


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
