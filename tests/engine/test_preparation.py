"""A problem may prepare itself on the campaign's evaluators; what a fitness hands back beside measures is not stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from campaign_toys import Bits, BitsKind, BitsProblem, BitsSpec

from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.evaluate import Evaluator, InProcessEvaluator, Job, Policy, check_measures
from evosparse.engine.fitness import Fitness, Invalid, Measured, as_fitness, fitness
from evosparse.engine.listeners import Listener
from evosparse.engine.problem import Stage
from evosparse.engine.search import drive
from evosparse.engine.seeds import SeedKey
from evosparse.engine.spec import Evaluation
from evosparse.engine.store import Store
from evosparse.errors import CampaignFailed

EVALUATION = Evaluation(workers=0, batch=4)
JOBS = [Job.of(Bits(value), 3) for value in range(6)]


@fitness(maximize="ones")
def telling(genome: Bits) -> Measured | Invalid:
    """Count the bits, and hand back the number in words; numbers above four are refused."""
    if genome.value > 4:
        return Invalid("too many")
    return Measured({"ones": genome.value.bit_count()}, f"spelled {genome.value}".encode())


class Together(Fitness):
    """Tells with each genome how many came with it."""

    objectives = {"ones": "max"}

    def evaluate(self, genomes: Sequence[Bits], seeds: Sequence[SeedKey]) -> list[Measured]:
        return [Measured({"ones": 0.0}, bytes([len(genomes)])) for _ in genomes]


class Preparing(BitsProblem):
    """Evaluates some numbers before the search, and remembers when it was asked to."""

    def __init__(self, spec: BitsSpec = BitsSpec(), own: Fitness | None = None) -> None:
        super().__init__(spec, own)
        self.first = as_fitness(telling)
        self.answers: list[list[Outcome]] = []
        self.asked = 0

    def prepare(self, make: Callable[[Stage], Evaluator], progress: Callable[[int, int], None], seed: int) -> None:
        assert self.search.asked == self.asked  # before the search begins, or goes on
        with make(Stage(self.first, None, Bits)) as evaluator:
            self.answers.append(evaluator.evaluate(JOBS, lambda new: progress(new, len(JOBS))))


class Told(Listener):
    """Remembers every word of progress, and what was done by then."""

    def __init__(self) -> None:
        self.words: list[tuple[int, int, int]] = []

    def progress(self, campaign: Campaign, done: int, total: int) -> None:
        self.words.append((campaign.generation, done, total))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evosparse.engine.problem.kinds", lambda: {"bits": BitsKind()})


def test_a_payload_goes_to_whoever_asked_and_a_refusal_has_none() -> None:
    with InProcessEvaluator(Stage(as_fitness(telling), None, Bits), Policy(batch=4)) as evaluator:
        outcomes = evaluator.evaluate(JOBS)
    assert [outcome.payload for outcome in outcomes] == [*(f"spelled {value}".encode() for value in range(5)), b""]
    assert [outcome.measures for outcome in outcomes[:5]] == [{"ones": value.bit_count()} for value in range(5)]
    assert outcomes[5].status is Status.INVALID and outcomes[5].message == "too many"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (Measured({"zeros": 1.0}, b"x"), "expected the objectives ones, got zeros"),
        (Measured({"ones": float("nan")}, b"x"), "a finite number"),
        (Measured("many", b"x"), "expected a mapping"),
        (Measured({"ones": 1.0}, "text"), "the result cannot be read"),
    ],
)
def test_measures_with_a_payload_are_checked_like_any_others(result: Measured, told: str) -> None:
    outcome = check_measures(as_fitness(telling), result)
    assert outcome.status is Status.INVALID and told in outcome.message


def test_a_payload_is_not_stored_and_changes_no_digest(tmp_path: Path) -> None:
    @fitness(maximize="ones")
    def silent(genome: Bits) -> dict[str, float] | Invalid:
        result = telling(genome)
        return result if isinstance(result, Invalid) else result.measures

    digests = set()
    for name, function in (("telling", telling), ("silent", silent)):
        with Campaign(BitsProblem(own=as_fitness(function)), out=tmp_path / name, evaluation=EVALUATION) as campaign:
            campaign.problem.search.ask = lambda key: [Candidate(Bits(value)) for value in range(6)]
            campaign.run(1)
        with Store.open(tmp_path / name) as store:
            digests.add(store.digest())
            found = [candidate.outcome for candidate in store.candidates(decode=Bits.from_bytes)]
        assert sum(outcome.ok for outcome in found) == 5 and not any(outcome.payload for outcome in found)
        assert b"spelled" not in (tmp_path / name / "campaign.sqlite").read_bytes()
    assert len(digests) == 1


def test_a_problem_is_prepared_once_before_its_search_begins_and_again_before_it_goes_on(tmp_path: Path) -> None:
    problem, told = Preparing(), Told()
    with Campaign(problem, out=tmp_path / "run", evaluation=EVALUATION) as campaign:
        campaign.run(2, listener=told)
    assert [[outcome.ok for outcome in answers] for answers in problem.answers] == [[True] * 5 + [False]]
    assert told.words[:6] == [(0, 1, 6)] * 6

    again = Preparing()
    again.asked = 2
    with Campaign.resume(tmp_path / "run", problem=again) as campaign:
        campaign.run(4)
    assert len(again.answers) == 1
    finished = Preparing()
    with Campaign.resume(tmp_path / "run", problem=finished) as campaign:
        campaign.run(4)
    assert not finished.answers


def test_in_preparation_each_genome_is_a_batch_of_its_own(tmp_path: Path) -> None:
    problem = Preparing(own=Together())
    problem.first = Together()
    with Campaign(problem, out=tmp_path / "run", evaluation=EVALUATION) as campaign:
        campaign.run(1)
    assert [outcome.payload for outcome in problem.answers[0]] == [b"\x01"] * 6


def test_preparing_changes_nothing_that_is_found(tmp_path: Path) -> None:
    digests = set()
    for name, problem in (("prepared", Preparing()), ("plain", BitsProblem())):
        with Campaign(problem, out=tmp_path / name, evaluation=EVALUATION) as campaign:
            campaign.run(3)
            digests.add(campaign.store.digest())
    assert len(digests) == 1


def test_a_campaign_that_cannot_be_prepared_begins_no_generation(tmp_path: Path) -> None:
    class Unprepared(BitsProblem):
        def prepare(self, make: Callable[[Stage], Evaluator], progress: Callable[[int, int], None], seed: int) -> None:
            raise CampaignFailed("nothing to begin with")

    with Campaign(Unprepared(), out=tmp_path / "run", evaluation=EVALUATION) as campaign:
        with pytest.raises(CampaignFailed, match="nothing to begin with"):
            campaign.run(2)
        assert campaign.generation == 0 and not campaign.store.finished


def test_a_search_driven_alone_proposes_what_a_campaign_with_its_seed_does(tmp_path: Path) -> None:
    with Campaign(BitsProblem(), seed=9, out=tmp_path / "run", evaluation=EVALUATION) as campaign:
        campaign.run(5)
        stored = [(one.uid, one.genome) for one in campaign.store.candidates(decode=Bits.from_bytes)]
    problem, alone = BitsProblem(BitsSpec(most=5)), []
    with InProcessEvaluator(problem.stage, Policy()) as evaluator:
        for candidates in drive(problem.search, 9):
            outcomes = evaluator.evaluate([Job.of(one.genome, 9) for one in candidates])
            for one, outcome in zip(candidates, outcomes, strict=True):
                one.judge(outcome, problem.stage.fitness.objectives)
            alone += [(one.uid, one.genome) for one in candidates]
    assert alone == stored and len({genome for _, genome in alone}) > 12
