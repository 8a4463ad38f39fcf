"""The NEAT search's parameters and ablations: what each of them does to the generations of whole runs.

The generation step itself is in `test_neat_search.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from neat_runs import (
    BUSY,
    FACE,
    LOOPS,
    Worth,
    by_species,
    changed,
    fitness_of,
    hard_to_please,
    hashed,
    hopeless,
    judge,
    keys,
    run,
)
from topology_relatives import pairs_of

from evosparse.engine.candidate import Outcome, Status
from evosparse.engine.search import drive
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.methods.neat import NEAT
from evosparse.topologies.start import Start
from evosparse.topologies.tasks.base import SOLVED


def test_where_all_fail_the_search_begins_again_and_goes_on_from_there() -> None:
    method, generations = NEAT(population=10, generations=6), []
    for candidates in drive(method.search(FACE), 0):
        judge(candidates, hopeless if len(generations) in (0, 1, 3) else hashed)
        generations.append(candidates)
    parentless = [all(not one.parents for one in candidates) for candidates in generations]
    assert parentless == [True, True, True, False, True, False]
    for candidates, begins in zip(generations, parentless, strict=True):
        assert not begins or all(pairs_of(one.genome) == [(0, 3), (1, 3), (2, 3)] for one in candidates)
    assert len({tuple(keys(candidates)) for candidates in generations}) == 6


@pytest.mark.parametrize("shift", [0.0, -1000.0])
def test_a_fitness_that_is_never_positive_is_maximised(shift: float) -> None:
    method = NEAT(population=60, generations=30, add_node=0.1, add_connection=0.2)
    best = [max(map(fitness_of, candidates)) for candidates in run(method, lambda one: hard_to_please(one) + shift)]
    assert best[0] < shift - 10 and best[-1] > shift - 3


def test_to_minimise_is_to_maximise_the_negative() -> None:
    found = []
    for direction, sign in (("max", 1), ("min", -1)):
        found.append([])
        for candidates in drive(BUSY.search(FACE), 4):
            judge(candidates, lambda genome: sign * hashed(genome), direction)
            found[-1].append(keys(candidates))
    assert found[0] == found[1]


def test_without_growth_no_network_changes_its_graph() -> None:
    ways = {"add_node": 0.5, "add_connection": 0.5, "delete_node": 0.1, "delete_connection": 0.1}
    found = [one.genome for candidates in run(NEAT(growth=False, generations=5, **ways)) for one in candidates]
    assert {tuple(pairs_of(genome)) for genome in found} == {((0, 3), (1, 3), (2, 3))}
    assert len(set(found)) > 400
    grown = [one.genome for candidates in run(NEAT(generations=5, **ways)) for one in candidates]
    assert len({tuple(pairs_of(genome)) for genome in grown}) > 100


@pytest.mark.parametrize(
    ("mating", "mutation_only", "expected"), [(False, 0.25, 0), (True, 1.0, 0), (True, 0.25, 0.75), (True, 0.0, 1)]
)
def test_as_many_children_have_two_parents_as_is_said(mating: bool, mutation_only: float, expected: float) -> None:
    method = NEAT(generations=12, mating=mating, mutation_only=mutation_only, speciation=False)
    children = [one for candidates in run(method) for one in candidates if one.generation]
    # All but one champion of 150, and those whose parents would be the same one of some 26 measured survivors.
    share = expected * (1 - 1 / 26) * 149 / 150
    assert abs(np.mean([len(one.parents) == 2 for one in children]) - share) <= 0.05 * expected


def test_parents_are_of_different_species_only_where_that_is_on() -> None:
    for rate, expected in ((0.0, False), (1.0, True)):
        mixed, before = [], {}
        for candidates in run(changed(BUSY, interspecies=rate, mutation_only=0.0, stagnation=100)):
            mixed += [len({before[uid] for uid in one.parents}) > 1 for one in candidates if len(one.parents) == 2]
            before = {one.uid: one.population for one in candidates}
        assert any(mixed) == expected and (all(mixed) or not expected)


def test_without_speciation_all_compete_with_all() -> None:
    groups = {one.population for candidates in run(changed(BUSY, speciation=False)) for one in candidates}
    assert groups == {"species 0"}
    assert len({one.population for candidates in run(BUSY) for one in candidates}) > 3


@pytest.mark.parametrize("face", [FACE, LOOPS], ids=["forward", "recurrent"])
def test_the_first_networks_have_the_form_that_they_should(face: Interface) -> None:
    def first(start: Start) -> list[Topology]:
        return [one.genome for one in next(run(NEAT(start=start, population=200), face=face))]

    sources, outputs = range(face.sources), face.output_nodes
    direct = {(source, target) for source in sources for target in outputs}
    assert all(set(pairs_of(genome)) == direct and genome.enabled.all() for genome in first(Start()))
    hidden = range(face.fixed, face.fixed + 3)
    dense = direct | {(source, node) for source in sources for node in hidden}
    dense |= {(node, target) for node in hidden for target in outputs}
    assert all(set(pairs_of(genome)) == dense for genome in first(Start(form="dense", hidden=3)))
    drawn = first(Start(form="random", hidden=3, density=0.8))
    assert {len(genome.hidden) for genome in drawn} >= {1, 2, 3} and len({tuple(pairs_of(one)) for one in drawn}) > 50
    for genome in drawn:
        genome.check()
        assert set(genome.hidden.tolist()) <= set(hidden) and set(outputs) <= set(genome.target.tolist())


def test_the_threshold_adapts_to_the_number_of_species_that_is_wanted() -> None:
    method = NEAT(population=100, generations=60, target_species=8, threshold=1.0, threshold_step=0.5)
    search, counts, thresholds = method.search(FACE), [], [method.threshold]
    for candidates in run(method, hashed, 1, search=search):
        counts.append(len({one.population for one in candidates}))
        expected = thresholds[-1] + 0.5 * np.sign(counts[-1] - 8)
        thresholds.append(search.threshold)
        assert thresholds[-1] == pytest.approx(max(expected, 0.5))
    assert counts[0] != 8 and 5 < np.mean(counts[30:]) < 11
    fixed = changed(method, target_species=None).search(FACE)
    list(run(method, search=fixed))
    assert fixed.threshold == 1.0


def test_the_search_ends_with_the_generation_that_solves_the_task_if_it_should() -> None:
    for until_solved, expected in ((True, 3), (False, 6)):
        method, generations = NEAT(population=10, generations=6, until_solved=until_solved), 0
        search = method.search(FACE)
        for candidates in drive(search, 0):
            for place, candidate in enumerate(candidates):
                measures = {"worth": 1.0, SOLVED: float(generations >= 2 and place == 7)}
                candidate.judge(Outcome(Status.OK, measures), {"worth": "max"})
            generations += 1
        assert generations == expected and search.solution.uid == "2.7"


@pytest.mark.parametrize("worth", [hashed, hard_to_please, hopeless])
@pytest.mark.parametrize("tested", ["best", "species"])
def test_each_generation_one_champion_is_tested_of_all_or_of_the_best_species_not_tested_since_it_improved(
    tested: str, worth: Worth
) -> None:
    asked: list[str] = []
    method = changed(BUSY, tested=tested, generations=20)
    search = method.search(FACE, lambda genome: bool(asked.append(genome.key)))
    known: dict[str, float] = {}
    done: set[str] = set()
    generations = []
    for candidates in run(method, worth, search=search):
        measured = [one for one in candidates if one.ok]
        tops = {name: max(map(fitness_of, members)) for name, members in by_species(measured).items()}
        done = {name for name in done & tops.keys() if tops[name] <= known[name]}
        known = {name: max(top, known.get(name, top)) for name, top in tops.items()}
        fresh = {name: top for name, top in tops.items() if tested == "best" or name not in done} or tops
        best = max(fresh.values(), default=None)
        generations.append([one for one in measured if one.population in fresh and fitness_of(one) == best])
        if generations[-1]:
            # Of equals the first is tested.
            done.add(generations[-1][0].population)
    assert asked == [equals[0].genome.key for equals in generations if equals]
    assert len(asked) == (0 if worth is hopeless else 20)


@pytest.mark.parametrize("penalty", [-1e3, -1e20, -1.7e308])
def test_a_penalty_however_large_leaves_the_others_in_their_order(penalty: float) -> None:
    method, before = NEAT(population=40, generations=8, speciation=False), []
    for candidates in run(method, lambda genome: penalty if genome.weight[0] > 1 else hashed(genome)):
        if before:
            best = max((one for one in before if one.ok), key=fitness_of)
            assert candidates[0].genome == best.genome
            survivors = sorted((fitness_of(one) for one in before if one.ok), reverse=True)
            least = survivors[int(method.survival * len(survivors))]
            value = {one.uid: fitness_of(one) for one in before if one.ok}
            assert all(value[parent] >= least for one in candidates for parent in one.parents)
        before = candidates
