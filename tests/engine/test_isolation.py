"""Bad genomes on worker processes: each costs itself alone, and its outcome tells what it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from toys import Misbehaving, Number, jobs_for, misbehaving

from evosparse.engine.candidate import Outcome, Status
from evosparse.engine.cluster import Cluster
from evosparse.engine.evaluate import InProcessEvaluator, Policy
from evosparse.engine.fitness import Fitness, as_fitness
from evosparse.engine.problem import Stage

HARMLESS = {  # the worker survives
    "raise": (Status.FAILED, "RuntimeError: no such luck"),
    "raise unusual": (Status.FAILED, "Unusual: by the back door"),
    "sys.exit": (Status.FAILED, "called sys.exit(4)"),
    "nan": (Status.INVALID, "expected a finite number for 'score', got nan"),
    "infinity": (Status.INVALID, "got inf"),
    "wrong key": (Status.INVALID, "expected the objectives score, got points"),
    "wrong type": (Status.INVALID, "expected a number for 'score', got str"),
    "hoard": (Status.FAILED, "an evaluation may allocate 0.25 GiB; evaluation.memory_gib raises the limit"),
    "hoard numpy": (Status.FAILED, "an evaluation may allocate 0.25 GiB; evaluation.memory_gib raises the limit"),
    "hoard torch": (Status.FAILED, "an evaluation may allocate 0.25 GiB; evaluation.memory_gib raises the limit"),
}
SLOW = {
    "loop": (Status.TIMEOUT, "did not return within 0.3 s"),
    "sleep": (Status.TIMEOUT, "did not return within 0.3 s"),
}
DEAF = (Status.TIMEOUT, "its process was killed")
DEAD = (Status.CRASHED, "its process died")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(2, sources=[Path(__file__).parent]) as cluster:
        yield cluster


def mixed(deeds: Sequence[str], apart: int) -> list[Number]:
    """Return genomes of which every so many is bad, in the order of the deeds."""
    return [Number(value, deeds[value // apart] if value % apart == 1 else "") for value in range(apart * len(deeds))]


def check(cluster: Cluster, fitness: Fitness, bad: dict[str, tuple[Status, str]], policy: Policy, apart: int) -> None:
    """Compare with a run without the bad ones."""
    genomes = mixed(list(bad), apart)
    with cluster.evaluator(Stage(fitness, None, Number), policy) as evaluator:
        outcomes = evaluator.evaluate(jobs_for(genomes))
    good = [genome for genome in genomes if not genome.deed]
    undisturbed = iter(InProcessEvaluator(Stage(fitness, None, Number), policy).evaluate(jobs_for(good)))
    for genome, outcome in zip(genomes, outcomes, strict=True):
        if genome.deed:
            status, message = bad[genome.deed]
            assert (genome.deed, outcome.status) == (genome.deed, status), outcome
            assert message in outcome.message
            assert outcome.attempts == 1 + policy.retries * (status is not Status.INVALID)
            assert outcome.measures == {}
        else:
            assert same(outcome, next(undisturbed)), outcome


def same(outcome: Outcome, other: Outcome) -> bool:
    return (outcome.status, outcome.measures, outcome.attempts) == (other.status, other.measures, other.attempts)


both_ways = pytest.mark.parametrize("fitness", [Misbehaving(), as_fitness(misbehaving)], ids=["batched", "one by one"])


@both_ways
def test_a_bad_genome_that_leaves_the_worker_alive(cluster: Cluster, fitness: Fitness) -> None:
    check(cluster, fitness, HARMLESS, Policy(batch=8, retries=1, memory_gib=0.25), apart=8)


@both_ways
def test_a_bad_genome_that_does_not_return(cluster: Cluster, fitness: Fitness) -> None:
    check(cluster, fitness, SLOW, Policy(batch=8, timeout=0.3, retries=0), apart=8)


def test_a_bad_genome_that_must_be_killed_or_dies_amid_a_batch(cluster: Cluster) -> None:
    check(cluster, Misbehaving(), {"native": DEAF, "exit": DEAD}, Policy(batch=4, timeout=0.3, retries=0), apart=4)


def test_a_bad_genome_that_must_be_killed_or_dies_is_tried_again(cluster: Cluster) -> None:
    bad = {"swallow": DEAF, "kill": DEAD}
    check(cluster, as_fitness(misbehaving), bad, Policy(batch=1, timeout=0.3, retries=1), apart=2)


def test_an_accident_of_a_worker_changes_no_outcome(cluster: Cluster, tmp_path: Path) -> None:
    jobs = jobs_for([Number(value) for value in range(8)])
    with cluster.evaluator(Stage(_once(tmp_path / "struck"), None, Number), Policy(batch=4)) as evaluator:
        struck = evaluator.evaluate(jobs)
        again = evaluator.evaluate(jobs)
    assert (tmp_path / "struck").exists()
    assert [outcome.measures["size"] for outcome in struck] == [4.0] * 8
    assert all(map(same, struck, again))


def _once(path: Path) -> Fitness:
    """Return a fitness that kills its process the first time, and measures the size of its batches."""

    class Once(Fitness):
        objectives = {"size": "max"}

        def evaluate(self, genomes: Sequence[Number], seeds: Sequence[object]) -> list[dict[str, float]]:
            import os

            if not path.exists():
                path.touch()
                os._exit(1)
            return [{"size": len(genomes)}] * len(genomes)

    return Once()
