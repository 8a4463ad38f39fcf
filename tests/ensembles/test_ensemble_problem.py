"""Sections of a campaign file become a problem: approaches, what stands in their place, trials, and pools known again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evosparse.data import DataSet, DataSpec, load
from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Resources, fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.engine.spec import Evaluation, parse
from evosparse.ensembles import (
    APPROACHES,
    NSGA2,
    UMDA,
    Bench,
    Ensemble,
    EnsembleSpec,
    FitnessSpec,
    Initialisation,
    MemberSpec,
    PoolSpec,
    Problem,
    Votes,
)  # fmt: skip
from evosparse.ensembles.examination import EnsembleTrial, ExaminationSpec
from evosparse.ensembles.fitting import Polls
from evosparse.ensembles.genome import Roster
from evosparse.ensembles.methods import Genetic
from evosparse.ensembles.protocol import approach_sections
from evosparse.errors import SpecError, StoreError

SMALL = PoolSpec(members=(MemberSpec(learner="tree"), MemberSpec(learner="knn"), MemberSpec(learner="naive_bayes")))
QUICK = UMDA(population=8, generations=3, stagnation=None)
HERE = Evaluation(workers=0)


@pytest.fixture(scope="module")
def iris() -> DataSet:
    return load(DataSpec(name="iris"))


@pytest.mark.parametrize("approach", APPROACHES)
def test_every_approach_is_a_problem_of_its_own(approach: str) -> None:
    spec = EnsembleSpec(approach=approach, data=DataSpec(name="iris"))
    sections = {"pool", "initialisation", "fitness", "search"}
    others = [EnsembleSpec(approach=other) for other in APPROACHES if other != approach]
    assert all(any(getattr(spec, name) != getattr(other, name) for name in sections) for other in others)
    problem = Problem.from_spec(spec)
    assert len(problem.stage.fitness.objectives) == 1 and problem.search.parameters == spec.search
    assert any(approach in note and "reconstruction" in note for note in problem.notes)


def test_there_are_24_approaches() -> None:
    assert len(set(APPROACHES)) == 24
    with pytest.raises(SpecError, match="did you mean 'hetero-seeded-acc-umda'"):
        approach_sections("hetero-seeded-acc-umd")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"search": {"generations": 3}}, {"search": Genetic(generations=3)}),
        ({"search": {"method": "umda"}}, {"search": UMDA()}),
        ({"pool": "bagged"}, {"pool": PoolSpec(members="bagged")}),
        ({"pool": {"judged_on": "out_of_fold"}}, {"pool": PoolSpec(judged_on="out_of_fold")}),
        ({"initialisation": "greedy"}, {"initialisation": Initialisation(by="greedy")}),
        ({"initialisation": {"high": 0.9}}, {"initialisation": Initialisation(by="accuracy", high=0.9)}),
        ({"fitness": {"weight": 0.5}}, {"fitness": FitnessSpec(aim="accuracy_diversity", weight=0.5)}),
        ({"fitness": "accuracy"}, {"fitness": FitnessSpec()}),
    ],
)
def test_what_a_section_says_itself_comes_before_the_approach(
    given: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    approach = {
        "pool": PoolSpec(), "initialisation": Initialisation(by="accuracy"), "search": Genetic(),
        "fitness": FitnessSpec(aim="accuracy_diversity"),
    }  # fmt: skip
    spec = EnsembleSpec.model_validate({"approach": "hetero-seeded-acc_div-ga", **given})
    assert {name: getattr(spec, name) for name in approach} == {**approach, **expected}


def test_a_stored_document_means_the_same_again() -> None:
    document = {"name": "x", "kind": "ensembles", "approach": "bagged-random-div-umda", "search": {"generations": 7}}
    spec = parse(document, "here")
    again = parse(spec.document(), "there")
    assert again.problem == spec.problem and again.problem.search == UMDA(generations=7)


def test_votes_from_a_file_leave_no_place_for_data() -> None:
    with pytest.raises(ValidationError, match="remove one of the two"):
        EnsembleSpec(data=DataSpec(name="iris"), pool=PoolSpec(predictions="votes.npz"))


def test_one_objective_of_ones_own_in_python_drives_a_campaign(iris: DataSet, tmp_path: Path) -> None:
    @fitness(maximize="agreement")
    def agreement(ensemble: Ensemble, data: Bench) -> float:
        return float((data.votes.labels[:, ensemble.chosen] == 1).mean()) if ensemble.size else 0.0

    problem = Problem(iris, SMALL, QUICK, fitness=agreement)
    with Campaign(problem, out=tmp_path / "run", evaluation=HERE) as campaign:
        campaign.run()
        best = campaign.hall_of_fame[0]
    shares = (problem.bench.votes.labels == 1).mean(axis=0)
    assert best.outcome.measures["agreement"] == shares.max()


def test_several_objectives_make_a_front_of_which_some_are_examined(iris: DataSet, tmp_path: Path) -> None:
    problem = Problem(
        iris, SMALL, NSGA2(population=8, generations=4), fitness="accuracy_size",
        examination=ExaminationSpec(members=2, baselines=("best_single",)),
    )  # fmt: skip
    with Campaign(problem, out=tmp_path / "run", evaluation=HERE) as campaign:
        arms = campaign.run()
        front = [(one.outcome.measures["accuracy"], one.outcome.measures["size"]) for one in campaign.hall_of_fame]
    expected = [f"winner {number}" for number in range(1, min(2, len(front)) + 1)] if len(front) > 1 else ["winner"]
    assert [arm.name for arm in arms] == [*expected, "best single"]
    assert not any(a >= c and b <= d and (a, b) != (c, d) for a, b in front for c, d in front)


def with_polls(problem: Problem, polls: Polls) -> Problem:
    problem.pool.polls = lambda make: polls
    return problem


def test_a_member_that_was_left_out_stands_at_the_end_of_the_table(iris: DataSet, tmp_path: Path) -> None:
    polls = Problem(iris, SMALL).polls
    problem = with_polls(
        Problem(iris, SMALL, QUICK, examination=ExaminationSpec(baselines=("all",))),
        replace(polls, failed={"oak": "timeout: did not return within 3 s"}),
    )
    with Campaign(problem, out=tmp_path / "run", evaluation=HERE) as campaign:
        arms = campaign.run()
    assert [arm.name for arm in arms] == ["winner", "all classifiers", "left out: oak"]
    assert arms[-1].description == "left out: timeout: did not return within 3 s"
    assert not arms[-1].measures and arms[-1].failed == 1


def test_a_trial_survives_its_encoding() -> None:
    for trial in (
        EnsembleTrial("winner", 0, "vote", (1, 0, 2)),
        EnsembleTrial("stacking", 3, "stacking"),
        EnsembleTrial("left out: oak", 0, "left out: RuntimeError: 'ä'"),
    ):
        assert EnsembleTrial.from_bytes(trial.to_bytes()) == trial
    assert EnsembleTrial("winner", 0, "vote", (1, 0, 2)).describe() == "vote of 3"


def test_measures_of_the_examination_are_those_of_the_votes(iris: DataSet) -> None:
    problem = Problem(iris, SMALL, QUICK)
    polls, votes = problem.polls, problem.polls.test
    examiner = problem.examination.fitness
    examiner.prepare(Resources(problem.examination.data))
    chosen = np.array([True, False, True])
    genome = problem.bench.ensemble(chosen)
    trials = problem.trials([Candidate(genome)])
    measured = examiner.evaluate(trials, [SeedKey(0)] * len(trials))
    found = {trial.arm: measures for trial, measures in zip(trials, measured, strict=True)}

    def decided(members: np.ndarray) -> np.ndarray:
        counts = np.stack([(votes.labels[:, members] == label).sum(axis=1) for label in range(3)], axis=1)
        return counts.argmax(axis=1)

    assert found["winner"]["test_accuracy"] == (decided(chosen) == votes.y).mean() and found["winner"]["size"] == 2
    assert found["all classifiers"]["test_accuracy"] == (decided(np.ones(3, bool)) == votes.y).mean()
    best = polls.selection.accuracies.argmax()
    assert found["best single"]["test_accuracy"] == votes.accuracies[best]
    assert found["best single"]["selection_accuracy"] == polls.selection.accuracies[best]
    assert found["oracle (bound)"]["test_accuracy"] == (votes.labels == votes.y[:, None]).any(axis=1).mean()


def shuffled(votes: Votes) -> Votes:
    return Votes(votes.names, votes.labels[::-1], votes.y, votes.classes, votes.probabilities)


def test_a_campaign_goes_on_only_with_the_votes_that_it_began_with(iris: DataSet, tmp_path: Path) -> None:
    with Campaign(Problem(iris, SMALL, QUICK), out=tmp_path / "run", evaluation=HERE) as campaign:
        campaign.run(1)
    polls = Problem(iris, SMALL).polls
    other = with_polls(Problem(iris, SMALL, QUICK), replace(polls, selection=shuffled(polls.selection)))
    with Campaign.resume(tmp_path / "run", problem=other) as campaign:
        with pytest.raises(StoreError, match="expected the votes that the campaign began with"):
            campaign.run(3)
        assert campaign.generation == 1
    with Campaign.resume(tmp_path / "run", problem=Problem(iris, SMALL, QUICK)) as campaign:
        campaign.run(3)
        assert campaign.generation == 3


def test_an_ensemble_of_another_pool_is_not_exported(iris: DataSet) -> None:
    problem = Problem(iris, SMALL)
    own = problem.bench.ensemble(np.array([True, False, True]))
    problem.expect_members(Ensemble.from_bytes(own.to_bytes()))
    for names in (("tree", "knn", "lda"), ("tree", "naive_bayes")):
        chosen = np.array([True, *[False] * (len(names) - 2), True])
        stranger = Ensemble(chosen, Roster(names, (0.5,) * len(names)))
        with pytest.raises(SpecError, match="the pool is not the one"):
            problem.expect_members(stranger)


def test_votes_are_asked_for_only_when_they_are_needed(iris: DataSet) -> None:
    def refuse(make: object) -> Polls:
        raise AssertionError("fitted for nothing")

    problem = Problem(iris, SMALL, QUICK)
    problem.pool.polls = refuse
    problem.search.restore(State({"asked": 1, "pool": "x", "since": 0}, {}, {"best": []}))
    assert problem.data_hash == iris.hash and problem.notes  # what show, hof and digest need
    with pytest.raises(AssertionError, match="fitted for nothing"):
        problem.search.ask(SeedKey(0))
