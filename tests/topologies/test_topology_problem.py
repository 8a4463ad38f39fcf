"""Sections of a campaign file, or what Python hands over, become a problem: trials, confirmation, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from topology_strategies import topologies

from evosparse.data import DataSpec, load
from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import fitness
from evosparse.engine.seeds import SeedKey
from evosparse.engine.spec import Evaluation, parse
from evosparse.errors import PluginError, SpecError
from evosparse.topologies import (
    NEAT,
    Bench,
    CustomSpec,
    DoublePoleSpec,
    DrivingSpec,
    ExaminationSpec,
    FitnessSpec,
    GymnasiumSpec,
    Interface,
    Networks,
    Problem,
    SinglePoleSpec,
    SupervisedSpec,
    Task,
    Topology,
    TopologySpec,
    XorSpec,
    task,
)  # fmt: skip
from evosparse.topologies.examination import TopologyTrial
from evosparse.topologies.methods import NEATSearch

HERE = Evaluation(workers=0)
TINY = NEAT(population=10, generations=4, until_solved=False)
POLES = NEAT(population=10, generations=6, add_connection=0.3)


class Middle(Task):
    """Answer a number between two others."""

    input_names = ("low", "high")
    output_names = ("middle",)

    def __init__(self, low: float = 0.0) -> None:
        self.low = low

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> list[Mapping[str, float]]:
        answers = networks.activate([self.low, 1.0])[:, 0]
        return [{"fitness": -abs(answer - (self.low + 1) / 2)} for answer in answers.tolist()]


@task(inputs=("low", "high"), outputs=("middle",))
def middle(networks: Networks, low: float = 0.0) -> np.ndarray:
    """The same as a function."""
    return -abs(networks.activate([low, 1.0])[:, 0] - (low + 1) / 2)


@task(inputs=2, outputs=1, maximize="speed", minimize="size")
def two_aims(networks: Networks) -> Mapping[str, np.ndarray]:
    """A task of two objectives."""
    return {"speed": networks.activate([0.0, 1.0])[:, 0], "size": np.ones(len(networks))}


@fitness(maximize="economy")
def economy(topology: Topology, data: Bench, seed: SeedKey) -> float:
    """Fitness of the task for each connection."""
    return data.evaluate([topology], [seed])[0].get("fitness", 1.0) / (1 + topology.size)


def run(problem: Problem, folder: Path, seed: int = 0) -> list[Candidate]:
    """The candidates of a whole campaign."""
    with Campaign(problem, seed, folder, evaluation=HERE) as campaign:
        campaign.run()
        return list(campaign.store.candidates(decode=Topology.from_bytes))


def found(problem: Problem, folder: Path) -> list[tuple[str, Mapping[str, float]]]:
    return [(one.genome.key, dict(one.outcome.measures)) for one in run(problem, folder)]


def test_a_task_goes_by_its_name_or_its_section_and_without_one_it_is_exclusive_or(tmp_path: Path) -> None:
    problems = (Problem(search=TINY), Problem("xor", TINY), Problem(XorSpec(), TINY))
    one, *others = (found(problem, tmp_path / f"{number}") for number, problem in enumerate(problems))
    assert all(other == one for other in others) and len(one) == 40
    assert problems[0].spec == problems[1].spec == problems[2].spec


def test_a_task_of_ones_own_may_be_an_instance_a_class_or_a_marked_function(tmp_path: Path) -> None:
    ways = (Middle(), Middle, middle, CustomSpec(function="test_topology_problem:middle"))
    one, *others = (found(Problem(own, TINY), tmp_path / f"{number}") for number, own in enumerate(ways))
    assert all(other == one for other in others) and len({key for key, _ in one}) > 20
    assert found(Problem(Middle(low=-1.0), TINY), tmp_path / "other") != one


def test_what_a_campaign_in_python_was_about_is_recorded_by_name() -> None:
    assert Problem(middle).spec.task.function == "test_topology_problem:middle"
    assert Problem(middle, fitness=economy).spec.fitness.function == "test_topology_problem:economy"
    here = (Path(__file__).resolve().parent,)
    assert Problem(middle).sources == Problem("xor", fitness=economy).sources == here and Problem("xor").sources == ()


def test_a_fitness_of_ones_own_drives_the_search_and_the_task_the_examination(tmp_path: Path) -> None:
    for way in (economy, "test_topology_problem:economy", FitnessSpec(function="test_topology_problem:economy")):
        problem = Problem("xor", TINY, fitness=way)
        assert problem.stage.fitness.objectives == {"economy": "max"}
        assert problem.examination.fitness.objectives == {"fitness": "max"}
    assert all(one.outcome.measures.keys() == {"economy"} for one in run(problem, tmp_path / "run"))


@pytest.mark.parametrize(
    ("about", "search", "expected"),
    [
        (XorSpec(), NEAT(sweeps=3), Interface(("a", "b"), ("xor",))),
        (XorSpec(), NEAT(recurrent=True, sweeps=3), Interface(("a", "b"), ("xor",), True, True, 3)),
        (SinglePoleSpec(), NEAT(), Interface(("x", "dx", "angle", "dangle", "half"), ("push",), False)),
        (SinglePoleSpec(velocities=False), NEAT(), Interface(("x", "angle", "half"), ("push",), False, True)),
        (SinglePoleSpec(velocities=False), NEAT(recurrent=False), Interface(("x", "angle", "half"), ("push",), False)),
        (GymnasiumSpec(recurrent=True), NEAT(), None),
    ],
)
def test_networks_have_the_interface_of_their_task_and_loops_where_search_or_task_want_them(
    about: XorSpec, search: NEAT, expected: Interface | None
) -> None:
    face = Problem(about, search).search.face
    assert face.recurrent if expected is None else face == expected


def test_the_hash_is_that_of_the_data() -> None:
    tracks = ("oval", "bean", "oval")
    driving = [Problem(DrivingSpec(tracks=(name,), test_tracks=("kidney",))).data_hash for name in tracks]
    assert driving[0] == driving[2] != driving[1] and len(driving[0]) == 64
    assert Problem(SupervisedSpec(data=DataSpec(name="iris"))).data_hash == load(DataSpec(name="iris")).hash
    assert Problem("xor").data_hash == ""


def test_notes_tell_the_search_the_task_and_what_is_a_reconstruction() -> None:
    assert Problem("xor").notes == ("search: neat, task: xor",)
    first, second = Problem("driving").notes
    assert first == "search: neat, task: driving" and "reconstruction" in second


def test_a_stored_document_means_the_same_again() -> None:
    document = {"name": "x", "kind": "topologies", "task": "here.py:there", "search": {"hidden_function": "tanh"}}
    spec = parse(document, "here")
    assert parse(spec.document(), "there").problem == spec.problem
    assert spec.problem.task == CustomSpec(function="here.py:there")
    assert spec.problem.search.hidden_function == ("tanh",)


def best_of(problem: Problem, count: int = 2) -> list[Candidate]:
    """Candidates that a search might have found."""
    key = SeedKey(1)
    candidates = problem.spec.search.search(problem.search.face).ask(key)[:count]
    for place, candidate in enumerate(candidates):
        candidate.uid = f"3.{place}"
    return candidates


def test_trials_are_the_winner_the_solution_and_networks_of_a_first_generation() -> None:
    problem = Problem("xor", TINY, examination=ExaminationSpec(seeds=3))
    best, other = best_of(problem)
    beginners = [("first generation", replicate) for replicate in range(3)]
    for solution, more in ((None, []), (best, []), (other, [(f"solution {other.uid}", 0)])):
        problem.search.solution = solution
        trials = problem.trials([best])
        assert [(trial.arm, trial.replicate) for trial in trials] == [("winner", 0), *more, *beginners]
    assert (trials[0].genome, trials[1].genome) == (best.genome, other.genome)
    fresh = [trial.genome for trial in trials[2:]]
    assert len(set(fresh)) == 3 and not any(len(genome.hidden) for genome in fresh)
    assert all(genome.interface == problem.search.face for genome in fresh)
    assert [trial.genome for trial in Problem("xor", TINY).trials([])[:3]] == fresh  # whatever the campaign's seed


def test_members_replicates_and_baselines_are_those_that_were_asked_for() -> None:
    about = DrivingSpec(tracks=("oval",), test_tracks=("bean",), starts="anywhere", replicates=2)
    problem = Problem(about, TINY, examination=ExaminationSpec(members=2, baselines=()))
    trials = problem.trials(best_of(problem, 3))
    assert [(trial.arm, trial.replicate) for trial in trials] == [
        ("winner 1", 0), ("winner 1", 1), ("winner 2", 0), ("winner 2", 1),
    ]  # fmt: skip
    assert Problem(about, TINY, examination=ExaminationSpec(members=0, baselines=())).trials(best_of(problem)) == []


@given(st.text(max_size=20), st.integers(0, 99), topologies())
def test_a_trial_survives_its_encoding(arm: str, replicate: int, genome: Topology) -> None:
    trial = TopologyTrial(arm, replicate, genome)
    again = TopologyTrial.from_bytes(trial.to_bytes())
    assert again == trial and again.key == trial.key and again.describe() == genome.describe()


class Confirmation(Task):
    """Confirms one of those that it is asked about."""

    input_names = output_names = ("any",)

    def __init__(self, which: int) -> None:
        self.which = which
        self.asked: list[tuple[int, Sequence[SeedKey]]] = []

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> list[Mapping[str, float]]:
        self.asked.append((len(networks), seeds))
        return [{"solved": float(len(self.asked) == self.which)}]


def balancing(which: int) -> tuple[Problem, Confirmation]:
    problem, stub = Problem(DoublePoleSpec(velocities=False, steps=200), POLES), Confirmation(which)
    problem.tasks = replace(problem.tasks, confirmation=stub)
    return problem, stub


def test_the_champion_of_each_generation_is_confirmed_until_one_has_solved_it(tmp_path: Path) -> None:
    problem, stub = balancing(3)
    candidates = run(problem, tmp_path / "run")
    assert [count for count, _ in stub.asked] == [1, 1, 1] and len(candidates) == 30
    solution = problem.search.solution
    last = [one for one in candidates if one.generation == 2]
    assert solution.uid in {one.uid for one in last}
    assert solution.outcome.measures["fitness"] == max(one.outcome.measures["fitness"] for one in last)
    assert all("solved" not in one.outcome.measures for one in candidates)
    again, other = balancing(3)
    assert found(again, tmp_path / "again") == [(one.genome.key, dict(one.outcome.measures)) for one in candidates]
    assert [seeds for _, seeds in other.asked] == [seeds for _, seeds in stub.asked]


def test_a_solution_that_is_not_the_winner_is_known_and_examined_after_resuming(tmp_path: Path) -> None:
    problem, _ = balancing(2)
    with Campaign(problem, 0, tmp_path / "run", evaluation=HERE) as campaign:
        campaign.run(1)
        assert problem.search.solution is None
    problem, _ = balancing(1)
    with Campaign.resume(tmp_path / "run", problem=problem) as campaign:
        campaign.run(6)
        assert campaign.generation == 2 and problem.search.solution.generation == 1
    problem, stub = balancing(1)
    with Campaign.resume(tmp_path / "run", problem=problem) as campaign:
        best = campaign.hall_of_fame[0]
        arms = [trial.arm for trial in problem.trials(list(campaign.hall_of_fame))]
    solution = problem.search.solution
    expected = ["winner"] if best.genome == solution.genome else ["winner", f"solution {solution.uid}"]
    assert arms[: len(expected)] == expected and not stub.asked


def test_the_task_itself_says_what_is_solved_where_there_is_no_confirmation() -> None:
    assert Problem("xor").search.confirm is None and Problem(DoublePoleSpec()).search.confirm is None
    problem = Problem(DoublePoleSpec(velocities=False))
    (candidate,) = best_of(problem, 1)
    assert problem.confirms(candidate.genome) is False and problem.search.confirm == problem.confirms


def test_tasks_and_fitness_of_several_objectives_are_refused() -> None:
    with pytest.raises(SpecError, match="expected one objective for search method neat, got speed, size"):
        Problem(two_aims)
    assert isinstance(Problem(two_aims, fitness=economy).search, NEATSearch)

    @fitness(maximize=("one", "two"))
    def many(topology: Topology) -> Mapping[str, float]:
        return {"one": 1.0, "two": 2.0}

    with pytest.raises(SpecError, match="expected one objective for search method neat, got one, two"):
        Problem("xor", fitness=many)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Problem("xorr"), lambda: TopologySpec(task="poles"), lambda: TopologySpec(search={"method": "neatt"}),
        lambda: NEAT(population=1), lambda: NEAT(generations=0), lambda: NEAT(add_node=-0.1),
        lambda: NEAT(add_connection=1.1), lambda: NEAT(c1=-1.0), lambda: NEAT(threshold=0.0),
        lambda: NEAT(survival=0.0), lambda: NEAT(hidden_function=()), lambda: NEAT(hidden_function="sigmod"),
        lambda: NEAT(output_function="sigmod"), lambda: NEAT(sweeps=0), lambda: NEAT(start="tiny"),
        lambda: NEAT(power=float("nan")), lambda: NEAT(population=10.5), lambda: FitnessSpec(parameters={"price": 1}),
        lambda: ExaminationSpec(seeds=0), lambda: ExaminationSpec(baselines=("all",)),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize("own", [print, 3, Topology])
def test_what_is_no_task_is_refused(own: object) -> None:
    with pytest.raises(PluginError, match="is no task"):
        Problem(own)
