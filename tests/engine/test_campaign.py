"""A campaign gives the same result however it is run, stops when it should, and is continued only as itself."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from campaign_toys import FUNCTIONS, BitsKind, BitsProblem, BitsSpec, Counting
from rich.console import Console

from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate
from evosparse.engine.listeners import BarProgress, Listener, PlainProgress
from evosparse.engine.spec import CampaignSpec, Evaluation, Stop
from evosparse.engine.store import Store
from evosparse.errors import CampaignFailed, PluginError, StoreError

SMALL = Evaluation(workers=0, batch=4)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evosparse.engine.problem.kinds", lambda: {"bits": BitsKind()})


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Campaign]:
    """Begin campaigns in the folders 0, 1, 2, ... of the test."""

    def campaign(problem: BitsProblem | None = None, **settings: object) -> Campaign:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return Campaign(problem or BitsProblem(), out=folder, **{"evaluation": SMALL, **settings})

    return campaign


def digest_of(campaign: Campaign, generations: int | None = None, listener: Listener = Listener()) -> str:
    """Run a campaign to its end and let go of it."""
    with campaign:
        campaign.run(generations, listener=listener)
        return campaign.store.digest()


def function(name: str, **parameters: object) -> BitsProblem:
    return BitsProblem(BitsSpec(function=name, **parameters))


@pytest.mark.parametrize(
    ("name", "stop", "generations", "reason"),
    [
        ("noisy", Stop(generations=3), 3, "generations"),
        ("noisy", Stop(evaluations=25), 3, "evaluations"),  # of 12 each
        ("noisy", Stop(evaluations=24), 2, "evaluations"),
        ("flat", Stop(target=0.0), 1, "target"),
        ("flat", Stop(target=0.1, generations=2), 2, "generations"),
        ("flat", Stop(stagnation=3, generations=50), 4, "stagnation"),
        ("noisy", Stop(wall_time=1e-9), 1, "wall time"),
    ],
)
def test_the_search_stops_as_soon_as_a_criterion_holds(
    begin: Callable[..., Campaign], name: str, stop: Stop, generations: int, reason: str
) -> None:
    with begin(function(name), stop=stop) as campaign:
        campaign.run()
        assert (campaign.generation, campaign.store.reason, campaign.store.finished) == (generations, reason, True)


@pytest.mark.parametrize(("name", "target"), [("ones", 13.0), ("zeros", 3.0)])
def test_the_target_is_reached_in_the_direction_of_the_objective(
    begin: Callable[..., Campaign], name: str, target: float
) -> None:
    with begin(function(name), stop=Stop(generations=200, target=target)) as campaign:
        campaign.run()
        per_generation = [[candidate.outcome.measures[name] for candidate in campaign.store.candidates(number)]
                          for number in range(campaign.generation)]  # fmt: skip
    reached = [any((value >= target) if name == "ones" else (value <= target) for value in values)
               for values in per_generation]  # fmt: skip
    assert reached == [False] * (len(reached) - 1) + [True]


def test_an_equal_best_is_no_better_best(begin: Callable[..., Campaign]) -> None:
    with begin(function("flat"), hall_of_fame=100) as campaign:
        campaign.run(5)
        assert campaign.logbook.select("improved") == [True, False, False, False, False]


def test_a_search_that_is_complete_ends_the_campaign_and_is_not_asked_again(begin: Callable[..., Campaign]) -> None:
    campaign = begin(function("noisy", most=2))
    first = digest_of(campaign)
    told = Recording()
    with Campaign.resume(campaign.folder) as again:
        arms = again.run(50, listener=told)
        assert (again.generation, again.store.reason, again.store.digest()) == (2, "search complete", first)
        assert [arm.name for arm in arms] == ["winner", "nothing"]
    assert told.evaluated == 0


def test_the_hall_of_fame_holds_the_best_genomes_each_once(begin: Callable[..., Campaign]) -> None:
    with begin(function("ones", flips=0.05), hall_of_fame=7) as campaign:
        campaign.run(12)
        found = {candidate.genome.key: candidate.outcome.measures["ones"] for candidate in campaign.store.candidates()}
        members = list(campaign.hall_of_fame)
        assert [member.uid for member in members] == [member.uid for member in campaign.store.hall_of_fame()]
    assert len({member.genome.key for member in members}) == 7
    assert [member.outcome.measures["ones"] for member in members] == sorted(found.values(), reverse=True)[:7]


def test_several_objectives_keep_the_whole_pareto_front(begin: Callable[..., Campaign]) -> None:
    with begin(function("both"), hall_of_fame=1) as campaign:
        campaign.run(6)
        found = {(ones, value) for ones, value in _measures(campaign.store.candidates())}
        front = _measures(campaign.store.hall_of_fame())
    undominated = {
        (ones, value)
        for ones, value in found
        if not any(more >= ones and less <= value and (more, less) != (ones, value) for more, less in found)
    }
    assert len(front) == len(set(front)) > 1
    assert set(front) == undominated


@pytest.mark.parametrize("cache", [True, False])
def test_failed_candidates_are_recorded_and_never_enter_the_hall_of_fame(
    begin: Callable[..., Campaign], cache: bool
) -> None:
    with begin(function("faulty"), hall_of_fame=50, evaluation=SMALL.model_copy(update={"cache": cache})) as campaign:
        campaign.run(6)
        candidates = list(campaign.store.candidates(decode=BitsKind.genomes.from_bytes))
        members = {member.genome.value for member in campaign.hall_of_fame}
    expected = {0: "failed", 3: "invalid"}
    assert {"failed", "invalid", "ok"} == {candidate.outcome.status for candidate in candidates}
    assert all(candidate.outcome.status == expected.get(candidate.genome.value % 6, "ok") for candidate in candidates)
    assert members and not any(value % 3 == 0 for value in members)


def test_the_logbook_and_the_database_hold_the_statistics_of_what_succeeded(begin: Callable[..., Campaign]) -> None:
    with begin(function("faulty")) as campaign:
        campaign.run(3)
        rows = campaign.store.generations()
        for row in rows:
            candidates = list(campaign.store.candidates(row.number))
            values = [candidate.outcome.measures["ones"] for candidate in candidates if candidate.ok]
            assert row.record["failed"] == len(candidates) - len(values)
            assert (row.record["ones"]["min"], row.record["ones"]["max"]) == (min(values), max(values))
            assert row.record["ones"]["mean"] == pytest.approx(sum(values) / len(values))
        assert campaign.logbook.chapters["ones"].select("max") == [row.record["ones"]["max"] for row in rows]


def test_with_the_cache_equal_genomes_are_evaluated_once(begin: Callable[..., Campaign]) -> None:
    counting = Counting()
    with begin(BitsProblem(BitsSpec(flips=0.02), counting)) as campaign:
        campaign.run(8)
        decode = BitsKind.genomes.from_bytes
        proposed = [candidate.genome.value for candidate in campaign.store.candidates(decode=decode)]
        assert campaign.store.evaluations() == len(set(proposed)) < len(proposed)
    assert Counter(counting.asked) == dict.fromkeys(proposed, 1)


def test_the_cache_outlives_an_interruption(begin: Callable[..., Campaign]) -> None:
    campaign = begin(BitsProblem(BitsSpec(flips=0.02), Counting()))
    digest_of(campaign, 4)
    known = {candidate.genome.key for candidate in _candidates(campaign.folder)}
    counting = Counting()
    with Campaign.resume(campaign.folder, problem=BitsProblem(BitsSpec(flips=0.02), counting)) as resumed:
        resumed.run(8)
    assert counting.asked and not {BitsKind.genomes(value).key for value in counting.asked} & known


@pytest.mark.parametrize("name", ["noisy", "both", "faulty"])
def test_the_digest_is_the_same_with_and_without_cache_and_progress(begin: Callable[..., Campaign], name: str) -> None:
    uncached = SMALL.model_copy(update={"cache": False})
    terminal = Console(file=io.StringIO(), force_terminal=True)
    digests = {
        digest_of(begin(function(name)), 3),
        digest_of(begin(function(name), evaluation=uncached), 3),
        digest_of(begin(function(name)), 3, PlainProgress(Console(file=io.StringIO()))),
        digest_of(begin(function(name), evaluation=uncached), 3, BarProgress(terminal)),
    }
    assert len(digests) == 1
    assert digests != {digest_of(begin(function(name), seed=1), 3)}


@pytest.mark.parametrize(("name", "stage"), [("faulty", "committed"), ("both", "committed"), ("noisy", "evaluating")])
def test_an_interrupted_campaign_goes_on_to_the_same_digest(
    begin: Callable[..., Campaign], name: str, stage: str
) -> None:
    whole = digest_of(begin(function(name)), 4)
    for number in range(4):
        campaign = begin(function(name), stop=Stop(generations=4))
        with pytest.raises(Stopped), campaign:
            campaign.run(listener=Stopper(number, stage))
        with Campaign.resume(campaign.folder) as resumed:
            assert resumed.generation == number + (stage == "committed")
            resumed.run()
            assert resumed.store.digest() == whole


def test_more_generations_can_be_added_to_a_finished_campaign(begin: Callable[..., Campaign]) -> None:
    whole = digest_of(begin(), 7)
    campaign = begin()
    shorter = digest_of(campaign, 3)
    with Campaign.resume(campaign.folder) as resumed:
        assert digest_of(resumed, 7) == whole != shorter
    with Store.open(campaign.folder) as store:
        assert store.header.document["stop"]["generations"] == 7


def test_the_same_object_can_run_on(begin: Callable[..., Campaign]) -> None:
    with begin() as campaign:
        for generations in (2, 2, 5):
            campaign.run(generations)
        assert campaign.store.digest() == digest_of(begin(), 5)


def test_another_search_space_is_refused_with_a_difference(begin: Callable[..., Campaign]) -> None:
    campaign = begin()
    before = digest_of(campaign, 2)
    changed = campaign.spec.model_copy(update={"problem": BitsSpec(population=13), "seed": 1})
    with pytest.raises(StoreError) as error:
        Campaign.resume(campaign.folder, changed)
    assert "population: 12 -> 13" in str(error.value) and "seed: 0 -> 1" in str(error.value)
    with Store.open(campaign.folder) as store:
        assert store.digest() == before and store.header.document["population"] == 12


def test_other_stop_criteria_and_workers_are_accepted(begin: Callable[..., Campaign]) -> None:
    campaign = begin()
    digest_of(campaign, 2)
    spec: CampaignSpec = campaign.spec
    freer = spec.evaluation.model_copy(update={"cache": False, "retries": 3, "timeout": 7.0})
    changed = spec.model_copy(update={"name": "other", "stop": Stop(generations=4), "evaluation": freer})
    with Campaign.resume(campaign.folder, changed) as resumed:
        assert digest_of(resumed) == digest_of(begin(), 4)


def test_other_data_are_refused(begin: Callable[..., Campaign]) -> None:
    campaign = begin()
    digest_of(campaign, 2)
    with pytest.raises(StoreError, match="hash .* got other data"):
        Campaign.resume(campaign.folder, problem=BitsProblem(data=b"other"))
    Campaign.resume(campaign.folder).close()  # the refusal let go of the folder


def test_a_campaign_in_which_everything_fails_says_so(begin: Callable[..., Campaign]) -> None:
    campaign = begin(function("hopeless"))
    with pytest.raises(CampaignFailed, match=r"no candidate was evaluated with success.*show RUN 0\.0"), campaign:
        campaign.run(2)
    candidates = _candidates(campaign.folder)
    assert len(candidates) == 24 and {candidate.outcome.status for candidate in candidates} == {"failed"}
    with Store.open(campaign.folder) as store:
        assert not store.finished and store.hall_of_fame() == []


def test_control_c_leaves_a_run_that_can_be_resumed(begin: Callable[..., Campaign]) -> None:
    problem = BitsSpec()
    whole = digest_of(begin(BitsProblem(problem, Counting())), 4)
    for moment in (1, 20, 30):
        campaign = begin(BitsProblem(problem, Counting(interrupt_at=moment)), stop=Stop(generations=4))
        with pytest.raises(KeyboardInterrupt), campaign:
            campaign.run()
        with Campaign.resume(campaign.folder, problem=BitsProblem(problem, Counting())) as resumed:
            assert digest_of(resumed) == whole


def test_an_objective_with_a_name_of_the_logbook_is_refused_before_anything_is_written(
    begin: Callable[..., Campaign], tmp_path: Path
) -> None:
    clashing = Counting()
    clashing.objectives = {"failed": "min"}
    with pytest.raises(PluginError, match="objectives other than .* got 'failed'"):
        begin(BitsProblem(own=clashing))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_gets_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/bits", "runs/bits-2"):
        with Campaign(BitsProblem(), name="bits", evaluation=SMALL) as campaign:
            assert campaign.folder == Path(folder)


def test_the_examination_pairs_its_arms(begin: Callable[..., Campaign]) -> None:
    with begin() as campaign:
        winner, nothing = campaign.run(3)
        best = campaign.hall_of_fame[0].genome.value.bit_count()
    noises = [[value - base for value in arm.measures["noisy"].values] for arm, base in ((winner, best), (nothing, 0))]
    assert noises[0] == pytest.approx(noises[1])
    assert noises[0][0] != noises[0][1]


def test_plain_lines_tell_generation_best_and_rate(begin: Callable[..., Campaign]) -> None:
    text = io.StringIO()
    with begin(function("faulty")) as campaign:
        campaign.run(3, listener=PlainProgress(Console(file=text)))
        best = campaign.logbook.chapters["ones"].select("max")
        failed = campaign.logbook.select("failed")
    lines = [line for line in text.getvalue().splitlines() if line.startswith("generation ")]
    assert len(lines) == 3
    for number, line in enumerate(lines):
        told = f"generation {number}: 12 candidates, {failed[number]} failed, ones best {best[number]:g}, mean "
        assert line.startswith(told)
        assert "/s" in line
    assert "s left" in lines[0] and "s left" not in lines[-1]
    assert text.getvalue().rstrip().endswith("done after 3 generations (generations)")


def test_plain_lines_survive_a_generation_without_success(begin: Callable[..., Campaign]) -> None:
    text = io.StringIO()
    with pytest.raises(CampaignFailed), begin(function("hopeless")) as campaign:
        campaign.run(1, listener=PlainProgress(Console(file=text)))
    assert "generation 0: 12 candidates, 12 failed, " in text.getvalue()


def test_the_bar_draws_on_a_terminal_and_ends_with_the_campaign(begin: Callable[..., Campaign]) -> None:
    text = io.StringIO()
    with begin() as campaign:
        campaign.run(2, listener=BarProgress(Console(file=text, force_terminal=True, width=120)))
    assert "generation 1: 12 candidates" in text.getvalue()


def test_a_listener_is_told_of_every_evaluation(begin: Callable[..., Campaign]) -> None:
    told = Recording()
    with begin() as campaign:
        campaign.run(4, listener=told)
        assert told.evaluated == campaign.store.evaluations() + 4  # the trials of the examination
    assert (told.generations, told.ended) == ([0, 1, 2, 3], 1)


def test_every_function_of_the_toy_is_used() -> None:
    assert FUNCTIONS.keys() == set(BitsSpec.model_fields["function"].annotation.__args__)


class Stopped(Exception):
    """The campaign was stopped from outside."""


class Stopper(Listener):
    """Stops a campaign in a generation, in the midst of its evaluations or after its commit."""

    def __init__(self, number: int, stage: str) -> None:
        self._number, self._stage = number, stage

    def progress(self, campaign: Campaign, done: int, total: int) -> None:
        if self._stage == "evaluating" and campaign.generation == self._number and done in (4, total):
            raise Stopped

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        if self._stage == "committed" and campaign.generation == self._number + 1:
            raise Stopped


class Recording(Listener):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.evaluated, self.ended = 0, 0
        self.generations: list[int] = []
        self._before = 0

    def progress(self, campaign: Campaign, done: int, total: int) -> None:
        self._before = 0 if done == 0 else self._before
        self.evaluated += done - self._before
        self._before = done

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        self.generations.append(candidates[0].generation)

    def end(self, campaign: Campaign) -> None:
        self.ended += 1


def _measures(candidates: Sequence[Candidate]) -> list[tuple[float, float]]:
    return [(candidate.outcome.measures["ones"], candidate.outcome.measures["value"]) for candidate in candidates]


def _candidates(folder: Path) -> list[Candidate]:
    with Store.open(folder) as store:
        return list(store.candidates())
