"""A search that has a length of its own runs for that length, unless it is asked for another number of generations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from campaign_toys import BitsKind, BitsProblem, BitsSpec

from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate
from evosparse.engine.listeners import Listener, progress_line
from evosparse.engine.spec import Evaluation, Stop

Begin = Callable[..., Campaign]


class Timed(Listener):
    """Collects how many generations of a second each the progress says are left at most."""

    def __init__(self) -> None:
        self.left: list[int] = []

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        told = re.search(r"at most (\d+) s left", progress_line(campaign, seconds=1.0))
        self.left.append(int(told[1]) if told else 0)


class Stopped(Exception):
    """The campaign was stopped from outside."""


class Stopper(Listener):
    """Stops a campaign after its first generation."""

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        raise Stopped


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evosparse.engine.problem.kinds", lambda: {"bits": BitsKind()})


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Begin the campaign of a search of that length in the folder `run` of the test."""

    def campaign(length: int | None, stop: Stop = Stop()) -> Campaign:
        return Campaign(toy(length), out=tmp_path / "run", stop=stop, evaluation=Evaluation(workers=0))

    return campaign


def toy(length: int | None) -> BitsProblem:
    problem = BitsProblem(BitsSpec(population=4, most=length))
    problem.search.generations = length
    return problem


@pytest.mark.parametrize(
    ("length", "stop", "generations", "reason"),
    [
        (None, Stop(), 10, "generations"),
        (3, Stop(), 3, "search complete"),
        (14, Stop(), 14, "search complete"),
        (14, Stop(generations=2), 2, "generations"),
        (14, Stop(generations=10), 10, "generations"),
        (3, Stop(generations=20), 3, "search complete"),
        (14, Stop(evaluations=9), 3, "evaluations"),
    ],
)
def test_a_search_takes_its_own_length_unless_a_criterion_holds_before(
    begin: Begin, length: int | None, stop: Stop, generations: int, reason: str
) -> None:
    with begin(length, stop) as campaign:
        campaign.run()
        assert (campaign.generation, campaign.store.reason) == (generations, reason)


def test_a_search_of_a_known_length_is_not_asked_for_what_comes_after(begin: Begin) -> None:
    with begin(3) as campaign:
        asked = []
        ask = campaign.problem.search.ask
        campaign.problem.search.ask = lambda key: asked.append(key) or ask(key)
        campaign.run()
    assert len(asked) == 3


@pytest.mark.parametrize(("length", "left"), [(None, range(9, -1, -1)), (3, [2, 1, 0]), (14, range(13, -1, -1))])
def test_the_time_left_is_that_of_the_search(begin: Begin, length: int | None, left: Sequence[int]) -> None:
    timed = Timed()
    with begin(length) as campaign:
        campaign.run(listener=timed)
    assert timed.left == list(left)


def test_a_number_given_to_run_cuts_a_search_which_then_goes_on_to_its_own_length(begin: Begin) -> None:
    with begin(14) as campaign:
        campaign.run(2)
        assert (campaign.generation, campaign.store.reason) == (2, "generations")
    with Campaign.resume(campaign.folder, problem=toy(14)) as resumed:
        resumed.run(4)
        assert (resumed.generation, resumed.store.reason) == (4, "generations")
    own = campaign.spec.model_copy(update={"stop": Stop()})
    with Campaign.resume(campaign.folder, own, toy(14)) as resumed:
        resumed.run()
        assert (resumed.generation, resumed.store.reason) == (14, "search complete")


def test_an_open_search_goes_on_for_more_generations_than_its_default(begin: Begin) -> None:
    with begin(None) as campaign:
        campaign.run()
        campaign.run(12)
        assert (campaign.generation, campaign.store.reason) == (12, "generations")


def test_the_stored_document_says_that_nobody_asked_for_a_number(begin: Begin) -> None:
    with begin(3) as campaign:
        campaign.run()
        assert campaign.store.header.document["stop"]["generations"] is None
    with Campaign.resume(campaign.folder, problem=toy(3)) as resumed:
        assert resumed.last_generation == 3 and resumed.spec.stop == Stop()


@pytest.mark.parametrize(("length", "generations"), [(None, 10), (3, 3), (14, 10)])
def test_a_document_from_before_with_ten_generations_is_resumed_as_it_was_meant(
    begin: Begin, length: int | None, generations: int
) -> None:
    with begin(length, Stop(generations=10)) as campaign:
        with pytest.raises(Stopped):
            campaign.run(listener=Stopper())
        assert campaign.generation == 1 and campaign.store.header.document["stop"]["generations"] == 10
    with Campaign.resume(campaign.folder, problem=toy(length)) as resumed:
        resumed.run()
        assert resumed.generation == generations
