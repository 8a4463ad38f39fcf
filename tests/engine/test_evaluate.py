"""What becomes of genomes good and bad in one process, and the rules of isolation that every evaluator follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import Misbehaving, Number, Unprepared, jobs_for, misbehaving, plain

from evosparse.engine.candidate import Outcome, Status
from evosparse.engine.evaluate import Batches, InProcessEvaluator, Job, Policy, check_measures
from evosparse.engine.fitness import Fitness, Invalid, Resources, as_fitness
from evosparse.engine.limits import TimeUp, explain_memory, one_thread, time_limit
from evosparse.engine.problem import Stage
from evosparse.errors import CampaignFailed

FITNESSES = {"batched": Misbehaving(), "one by one": as_fitness(misbehaving)}
BAD = {
    "raise": (Status.FAILED, "RuntimeError: no such luck"),
    "raise broken": (Status.FAILED, "Broken: (its text cannot be read)"),
    "raise unusual": (Status.FAILED, "Unusual: by the back door"),
    "sys.exit": (Status.FAILED, "called sys.exit(4)"),
    "loop": (Status.TIMEOUT, "did not return within 0.2 s"),
    "sleep": (Status.TIMEOUT, "did not return within 0.2 s"),
    "nan": (Status.INVALID, "expected a finite number for 'score', got nan"),
    "infinity": (Status.INVALID, "expected a finite number for 'score', got inf"),
    "huge": (Status.INVALID, "OverflowError"),
    "wrong key": (Status.INVALID, "expected the objectives score, got points"),
    "wrong type": (Status.INVALID, "expected a number for 'score', got str: 'three'"),
    "unfit": (Status.INVALID, "no way from input to output"),
}


def in_process(fitness: Fitness, jobs: Sequence[Job], policy: Policy = Policy(), data: object = None) -> list[Outcome]:
    with InProcessEvaluator(Stage(fitness, data, Number), policy) as evaluator:
        return evaluator.evaluate(jobs)


@pytest.mark.parametrize("way", FITNESSES)
@pytest.mark.parametrize("deed", BAD)
def test_a_bad_genome_costs_only_itself_and_tells_why(deed: str, way: str) -> None:
    good = [Number(value) for value in range(6)]
    alone = in_process(FITNESSES[way], jobs_for(good))
    policy = Policy(batch=4, timeout=0.2, retries=0)
    together = in_process(FITNESSES[way], jobs_for([*good[:2], Number(9, deed), *good[2:]]), policy)
    bad = together.pop(2)
    status, message = BAD[deed]
    assert [outcome.measures for outcome in together] == [outcome.measures for outcome in alone]
    assert bad.status is status
    assert message in bad.message
    assert not bad.measures
    assert bool(bad.traceback) == (status is Status.FAILED)


@pytest.mark.parametrize("way", FITNESSES)
def test_a_genome_that_fails_once_is_tried_again_alone(way: str) -> None:
    class Moody(Fitness):
        objectives = {"score": "max"}
        batched = way == "batched"

        def prepare(self, resources: Resources) -> None:
            self.moods = [3]

        def evaluate(self, genomes: Sequence[Number], seeds: Sequence[object]) -> list[dict[str, float]]:
            if any(genome.value == 1 for genome in genomes) and self.moods[0]:
                self.moods[0] -= 1
                raise RuntimeError("not now")
            return [{"score": genome.value} for genome in genomes]

    jobs = jobs_for([Number(0), Number(1)])
    calls_alone = 2 if way == "batched" else 3
    for retries in range(4):
        outcomes = in_process(Moody(), jobs, Policy(retries=retries))
        patient = retries >= calls_alone
        assert outcomes[0].measures == {"score": 0}
        assert outcomes[1].status is (Status.OK if patient else Status.FAILED)
        assert outcomes[1].attempts == (calls_alone + 1 if patient else retries + 1)


def test_the_outcomes_of_a_function_do_not_depend_on_the_batch() -> None:
    jobs = jobs_for([Number(value) for value in range(10)])
    expected = [outcome.measures for outcome in in_process(as_fitness(plain), jobs)]
    for batch in (1, 3, 10, 100):
        assert [outcome.measures for outcome in in_process(as_fitness(plain), jobs, Policy(batch=batch))] == expected


def test_a_fitness_that_cannot_prepare_fails_the_campaign_with_its_message() -> None:
    with pytest.raises(CampaignFailed, match="OSError: the licence server is down"):
        in_process(Unprepared(), [])


@pytest.mark.parametrize("result", [[{"score": 1.0}], "xy", {"score": 1.0}, None, iter([1, 2])])
def test_a_batch_answered_with_the_wrong_shape_fails_with_what_was_expected(result: object) -> None:
    class Shapeless(Misbehaving):
        def evaluate(self, genomes: Sequence[Number], seeds: Sequence[object]) -> object:
            return result if len(genomes) > 1 else [{"score": 1.0}] * 2

    outcomes = in_process(Shapeless(), jobs_for([Number(0), Number(1)]), Policy(retries=0))
    assert {outcome.status for outcome in outcomes} == {Status.FAILED}
    assert "must return a sequence of 1 results, got list of length 2" in outcomes[0].message


@pytest.mark.parametrize("number", [3, 2.5, True, np.float32(2.5), np.int8(3), np.array(2.5), torch.tensor(2.5)])
def test_every_kind_of_single_number_is_a_measure(number: object) -> None:
    outcome = check_measures(Misbehaving(), {"score": number})
    assert outcome.measures == {"score": float(number)}
    assert type(outcome.measures["score"]) is float


@pytest.mark.parametrize("value", [np.ones(2), np.array([]), torch.ones(2), 1j, np.complex64(1), None, [1.0], "1"])
def test_what_is_not_a_single_number_is_invalid(value: object) -> None:
    assert check_measures(Misbehaving(), {"score": value}).status is Status.INVALID


def test_a_result_that_breaks_when_it_is_read_is_invalid() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("broken")

    outcome = check_measures(Misbehaving(), {"score": Broken()})
    assert outcome.status is Status.INVALID
    assert "ValueError: broken" in outcome.message


def test_the_reason_why_a_genome_is_invalid_becomes_its_message_in_one_line() -> None:
    assert check_measures(Misbehaving(), Invalid("too\n  deep")) == Outcome(Status.INVALID, message="too deep")
    assert len(check_measures(Misbehaving(), Invalid("deep " * 1000)).message) == 500


@given(
    count=st.integers(0, 40),
    batch=st.integers(1, 12),
    retries=st.integers(0, 2),
    bad=st.sets(st.integers(0, 39), max_size=3),
    deadly=st.booleans(),
    accidents=st.lists(st.sampled_from(["node left", "killed", None]), max_size=20),
)
def test_isolation_finds_exactly_the_bad_genomes(
    count: int, batch: int, retries: int, bad: set[int], deadly: bool, accidents: list[str | None]
) -> None:
    """Every batch with a bad genome fails as a whole or dies; accidents befall batches on their way, and one by one."""
    reported: list[int] = []
    jobs = [Job(b"", None)] * count
    batches = Batches(jobs, Policy(batch, retries=retries), reported.append)
    whole = [batch.positions for batch in batches._waiting]
    while (taken := batches.take()) is not None:
        accident = accidents.pop() if accidents else None
        crash = Outcome(Status.CRASHED)
        if accident == "node left":
            batches.put_back(taken)
        elif accident == "killed" and len(taken.jobs) > 1 and taken.attempt <= retries and taken.whole:
            batches.lose(taken, crash)
            assert batches._waiting[0].positions == taken.positions, "an accident must not change the shape of a batch"
        elif bad.isdisjoint(taken.positions):
            batches.settle(taken, [Outcome(Status.OK, {"x": position}) for position in taken.positions])
        elif deadly:
            batches.lose(taken, crash)
        else:
            batches.settle(taken, None if len(taken.jobs) > 1 else [Outcome(Status.FAILED)])
    assert batches.finished
    outcomes = batches.outcomes()
    assert [index for index, outcome in enumerate(outcomes) if not outcome.ok] == sorted(bad & set(range(count)))
    assert all(outcome.measures == {"x": index} for index, outcome in enumerate(outcomes) if outcome.ok)
    assert all(outcome.attempts == retries + 1 for outcome in outcomes if not outcome.ok)
    assert sum(reported) == count
    assert [position for positions in whole for position in positions] == list(range(count))


def test_time_limits_interrupt_and_leave_no_alarm_behind() -> None:
    with pytest.raises(TimeUp), time_limit(0.05):
        while True:
            pass
    with time_limit(0.05):
        pass
    time.sleep(0.1)  # an alarm left behind would ring now


def test_a_time_limit_in_another_thread_does_no_harm() -> None:
    ran = []

    def work() -> None:
        with time_limit(0.01):
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran


def test_one_thread_is_restored_after() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_only_a_lack_of_memory_is_explained_with_the_limit() -> None:
    assert "evaluation.memory_gib" in explain_memory("MemoryError:", 2)
    assert explain_memory("ValueError: memory", 2) == "ValueError: memory"
