"""Crews: answers are those of the workers, in this process and on Ray, and the death of a worker costs a repetition."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import pytest
from crew_toys import Adder, refuse

from evosparse.engine import crew as crews
from evosparse.engine.cluster import Cluster
from evosparse.engine.crew import Crew, LocalCrew, Make, Member, RayCrew
from evosparse.errors import CampaignFailed, ClusterError, PluginError, SpecError

PARTS = (10, 20)


@pytest.fixture(scope="module")
def cluster(connected: None) -> Iterator[Cluster]:
    with Cluster(2, sources=[Path(__file__).parent], process=Member) as own:
        yield own


@pytest.fixture(params=["local", "ray"])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    with ExitStack() as stack:
        if request.param == "local":
            yield stack.enter_context(LocalCrew(Adder, PARTS))
        else:
            yield stack.enter_context(RayCrew(request.getfixturevalue("cluster"), Adder, PARTS))


def test_each_worker_answers_with_its_own_part(crew: Crew) -> None:
    sums = []
    for task in range(3):
        for number in range(2):
            crew.submit(number, task)
        answers = dict(crew.next() for _ in range(2))
        assert [answers[number][1] for number in range(2)] == [task + 1] * 2
        sums.append([answers[number][0] for number in range(2)])
    assert sums == [[10, 20], [11, 21], [12, 22]]


def test_what_a_worker_complains_of_arrives(crew: Crew) -> None:
    crew.submit(1, "complain")
    with pytest.raises(SpecError, match="no such task"):
        crew.next()


def test_local_tasks_are_done_in_their_order() -> None:
    crew = LocalCrew(Adder, PARTS)
    for number in (1, 0):
        crew.submit(number, 0)
    assert [crew.next()[0] for _ in range(2)] == [1, 0]


def test_a_dead_worker_is_replaced_and_its_task_done(cluster: Cluster) -> None:
    with RayCrew(cluster, Adder, PARTS) as crew:
        for number in range(2):
            crew.submit(number, 0)
        first = dict(crew.next() for _ in range(2))
        os.kill(first[0][2], signal.SIGKILL)
        for number in range(2):
            crew.submit(number, 5)
        second = dict(crew.next() for _ in range(2))
        assert [second[number][0] for number in range(2)] == [15, 25]
        assert second[0][1] == 1 and second[0][2] != first[0][2], "a fresh process"
        assert second[1][1] == 2 and second[1][2] == first[1][2], "the other one lives on"


def test_a_task_that_kills_every_worker_ends_it(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "_DEATHS", 1)
    with RayCrew(cluster, Adder, PARTS) as crew:
        crew.submit(0, "die")
        with pytest.raises(ClusterError, match="worker 0 died 2 times at one task: its process died"):
            crew.next()


@pytest.mark.parametrize(
    ("make", "task", "kind", "message"),
    [(Adder, "divide", CampaignFailed, "worker 0 cannot go on: .*ZeroDivisionError"), (refuse, 1, SpecError, "no worker for 10")],
)
def test_errors_of_workers_are_told(
    cluster: Cluster, make: Make, task: object, kind: type[Exception], message: str
) -> None:
    with RayCrew(cluster, make, PARTS) as crew:
        crew.submit(0, task)
        with pytest.raises(kind, match=message):
            crew.next()


def test_a_worker_without_room_is_told_of(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "_PATIENCE", 0.5)
    with RayCrew(cluster, Adder, (1, 2, 3)) as crew:  # on two CPUs
        crew.submit(2, 0)
        with pytest.raises(ClusterError, match="worker 2 of 3 could not be started in 0.5 s"):
            crew.next()


def test_what_cannot_travel_is_refused(cluster: Cluster) -> None:
    with pytest.raises(PluginError, match="the data cannot be sent to workers"):
        RayCrew(cluster, Adder, [Lock()])
