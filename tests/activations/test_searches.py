"""The searches over activation functions: budgets, maximisation, drift, collaborators, and that they can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch

from evosparse.activations import (
    PUBLISHED,
    Coevolution,
    Cooperative,
    GeneticProgramming,
    OneForTriple,
    PrimitiveSet,
    Random,
    Single,
    Standard,
    Triple,
)
from evosparse.activations.methods.base import ActivationSearch, Method
from evosparse.activations.workbench import behaviour
from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey, global_random

PRIMITIVES = PrimitiveSet(tuple(PUBLISHED.values()))
ROLES = ("input", "hidden", "output")
OBJECTIVES = {"worth": "max"}
SEARCHING = {
    "random": Random, "single": Single, "triple": OneForTriple, "coevolution": Coevolution, "cooperative": Cooperative
}  # fmt: skip
VARIANTS: dict[str, Method] = {
    **{name: method(n=4) for name, method in SEARCHING.items()},
    "standard": Standard(functions=("relu(x)", "tanh(x)")),
    "random, one parent": Random(n=4, sampling="one_parent"),
    "round robin": Coevolution(n=4, schedule="round_robin", duplicates="behaviour"),
    "cooperative, two draws": Cooperative(n=6, collaborators="two_draws", trials=2, credit="mean", start="none"),
    "cooperative trees": Cooperative(n=5, encoding=GeneticProgramming(), collaborators="random", population=3),
    "trees": Coevolution(n=4, encoding=GeneticProgramming(), duplicates="structure"),
}
Worth = Callable[[Triple], float | None]


def search_of(method: Method, roles: Sequence[str] = ROLES) -> ActivationSearch:
    return method.search(roles, PRIMITIVES)


def hashed(triple: Triple) -> float | None:
    """A worth that depends on the functions alone, without any order; a tenth cannot be measured."""
    number = int(triple.phenotype[:8], 16)
    return None if number % 10 == 0 and str(triple.expressions[0]) != "relu(x)" else number / 2**32


def generation(search: ActivationSearch, number: int, seed: int, worth: Worth) -> list[Candidate]:
    """Propose and judge one generation as a campaign does."""
    key = SeedKey(seed).child("ask", number)
    with global_random(key.child("deap")):
        candidates = search.ask(key)
    for index, candidate in enumerate(candidates):
        candidate.uid, candidate.generation = f"{number}.{index}", number
        value = worth(candidate.genome)
        failed = Outcome(Status.INVALID, message="not measured")
        candidate.judge(failed if value is None else Outcome(Status.OK, {"worth": value}), OBJECTIVES)
    if candidates:
        search.tell(candidates)
    return candidates


def run(search: ActivationSearch, seed: int = 0, worth: Worth = hashed) -> Iterator[list[Candidate]]:
    """Yield the judged generations until the search is complete."""
    number = 0
    while candidates := generation(search, number, seed, worth):
        yield candidates
        number += 1


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("name", SEARCHING)
def test_all_methods_have_the_same_budget_beside_the_baseline(name: str, n: int) -> None:
    search = search_of(SEARCHING[name](n=n))
    generations = list(run(search))
    assert sum(map(len, generations)) == 12 * n - 9 + 1
    assert len(generations) == search.generations
    assert [candidate.population for candidate in generations[0]] == ["baseline"]


@pytest.mark.parametrize(
    ("name", "published"),
    [("random", 3 * 7 + 1), ("single", 12 * 7 - 3), ("triple", 12 * 7 - 3), ("coevolution", 12 * 7 - 9)],
)
def test_legacy_gives_the_published_budgets(name: str, published: int) -> None:
    search = search_of(SEARCHING[name](n=7, legacy=True, start="none"))
    generations = list(run(search))
    assert sum(map(len, generations)) == published and len(generations) == search.generations


def test_standard_evaluates_what_it_is_given_and_nothing_else() -> None:
    (candidates,) = run(search_of(Standard(functions=("relu(x)", "leaky_relu(x)"))))
    assert [candidate.genome.describe() for candidate in candidates] == ["relu(x) everywhere", "leaky_relu(x) everywhere"]


@pytest.mark.parametrize("roles", [("input",), ("input", "output")])
@pytest.mark.parametrize("name", SEARCHING)
def test_networks_with_fewer_roles_have_fewer_populations(name: str, roles: tuple[str, ...]) -> None:
    search = search_of(SEARCHING[name](n=4), roles)
    generations = list(run(search))
    assert sum(map(len, generations)) == len(roles) * 13 + 1 and len(generations) == search.generations
    assert all(candidate.genome.roles == roles for candidates in generations for candidate in candidates)


def closeness_to_tanh(triple: Triple) -> float:
    x = torch.linspace(-3, 3, 64)
    return -float(((PRIMITIVES.evaluate(triple.individual.expression, x) - torch.tanh(x)) ** 2).mean())


@pytest.mark.parametrize("seed", range(10))
def test_maximisation_reaches_the_target_and_parents_never_get_worse(seed: int) -> None:
    search = search_of(Single(n=84, start="none"))  # 999 evaluations
    parents = []
    for _ in run(search, seed, closeness_to_tanh):
        parents.append(search.strategy.parent.outcome.measures["worth"])
    assert parents == sorted(parents)
    assert parents[-1] > -1e-3


@pytest.mark.parametrize("seed", range(10))
def test_the_published_direction_makes_parents_worse(seed: int) -> None:
    search = search_of(Single(n=84, start="none", direction="legacy_minimise"))
    parents = []
    for _ in run(search, seed, closeness_to_tanh):
        parents.append(search.strategy.parent.outcome.measures["worth"])
    assert parents[-1] < parents[0]
    assert search.incumbent.outcome.measures["worth"] >= parents[0]  # the best ever seen is kept all the same


def test_among_equals_the_first_child_takes_the_parents_place() -> None:
    search = search_of(Single(n=6, start="none"))
    parents = [search.strategy.parent.uid for _ in run(search, 0, lambda triple: 0.5)]
    assert parents == [f"{number}.0" for number in range(len(parents))]


def test_silent_changes_gather_while_the_function_stays() -> None:
    # Only the first parent's own function is worth anything, so no child with another function can replace it.
    genomes = []
    for seed in range(6):
        first: list[Triple] = []

        def worth(triple: Triple) -> float:
            first.append(triple)
            return float(triple.phenotype == first[0].phenotype)

        search = search_of(Single(n=40, start="none"))
        parents = [search.strategy.parent.genome for _ in run(search, seed, worth)]
        assert {parent.phenotype for parent in parents} == {parents[0].phenotype}
        genomes.append(len({parent.key for parent in parents}))
    assert max(genomes) > 5  # a function without a silent gene among its active ones, such as x, cannot drift


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", SEARCHING)
def test_the_installed_triple_never_scores_below_the_baseline_or_below_what_was_installed(name: str, seed: int) -> None:
    search = search_of(SEARCHING[name](n=5))
    best: list[float] = []
    for candidates in run(search, seed):
        measured = [candidate.outcome.measures["worth"] for candidate in candidates if candidate.ok]
        best.append(max([*best[-1:], *measured]))
        assert search.incumbent.outcome.measures["worth"] == best[-1]
    assert best[-1] >= best[0]


def test_only_what_is_better_takes_the_incumbents_place() -> None:
    search = search_of(Coevolution(n=4))
    for _ in run(search, 0, lambda triple: 0.5):
        assert search.incumbent.population == "baseline"


@pytest.mark.parametrize(("schedule", "order"), [("sequential", "iiiihhhhoooo"), ("round_robin", "ihoihoihoiho")])
def test_populations_advance_in_their_turn_beside_the_best_of_the_others(schedule: str, order: str) -> None:
    search = search_of(Coevolution(n=4, schedule=schedule))
    turns, best = "", None
    for candidates in run(search):
        (population,) = {candidate.population for candidate in candidates}
        if best is not None:
            turns += population[0]
            place = ROLES.index(population)
            for candidate in candidates:
                assert candidate.genome.active == place
                others = [(role, genes) for role, genes in enumerate(candidate.genome.genes) if role != place]
                assert all(best.genes[role] == genes for role, genes in others)
        best = search.best
    assert turns == order


def test_the_triple_search_puts_functions_in_all_places_beside_the_best() -> None:
    search = search_of(OneForTriple(n=10))
    places, best = set(), None
    for candidates in run(search):
        for candidate in candidates if best is not None else ():
            places.add(candidate.genome.active)
            assert candidate.genome == best.with_function(candidate.genome.active, candidate.genome.individual)
        best = search.best
    assert places == {0, 1, 2}


def test_the_single_search_puts_one_function_everywhere() -> None:
    for candidates in run(search_of(Single(n=5))):
        assert all(len(set(candidate.genome.genes)) == 1 for candidate in candidates)


def test_random_search_draws_new_functions_or_mutants_of_one() -> None:
    fresh = [c.genome.individual for own in list(run(search_of(Random(n=6))))[1:] for c in own]
    assert len(set(fresh)) == len(fresh)
    mutants = [c.genome.individual for own in list(run(search_of(Random(n=6, sampling="one_parent"))))[1:] for c in own]
    parent = mutants[0]
    for mutant in mutants[1:]:
        genes = zip(mutant.to_json()["nodes"], parent.to_json()["nodes"], strict=True)
        assert sum(one != other for one, other in genes) + (mutant.output != parent.output) == 1


def test_cooperative_populations_all_advance_in_every_generation() -> None:
    generations = list(run(search_of(Cooperative(n=8))))[1:-1]
    assert all({candidate.population for candidate in candidates} == set(ROLES) for candidates in generations)


@pytest.mark.parametrize("credit", ["best", "mean"])
def test_an_individual_is_credited_with_its_trials(credit: str) -> None:
    search = search_of(Cooperative(n=12, collaborators="random", trials=3, credit=credit))
    list(run(search))
    reduce = max if credit == "best" else np.mean
    for population in search.populations.values():
        assert len(population) == 4
        for individual in population:
            measured = [trial.outcome.measures["worth"] for trial in individual.trials if trial.ok]
            assert individual.fitness.values[0] == pytest.approx(reduce(measured), abs=1e-15)
            assert len({trial.genome.individual for trial in individual.trials}) == 1
        credits = [individual.fitness.values[0] for individual in population]
        assert credits == sorted(credits, reverse=True)


@pytest.mark.parametrize("collaborators", ["best", "random", "two_draws"])
def test_collaborators_are_chosen_as_told(collaborators: str) -> None:
    search = search_of(Cooperative(n=30, collaborators=collaborators, population=4))
    ranks = []
    before: dict[str, list] = {role: [] for role in ROLES}
    for candidates in run(search):
        for candidate in candidates if before["input"] else ():
            for role, genes in zip(ROLES, candidate.genome.genes, strict=True):
                if role != candidate.population:
                    ranks.append([individual.genes for individual in before[role]].index(genes))
        before = {role: list(population) for role, population in search.populations.items()}
    shares = np.bincount(ranks, minlength=4) / len(ranks)
    expected = {"best": [1, 0, 0, 0], "random": [1 / 4] * 4, "two_draws": [7 / 16, 5 / 16, 3 / 16, 1 / 16]}[collaborators]
    assert np.abs(shares - expected).max() < 0.08


@pytest.mark.parametrize("duplicates", ["structure", "behaviour"])
def test_children_differ_from_their_parent_if_that_is_asked_for(duplicates: str) -> None:
    search = search_of(Single(n=20, duplicates=duplicates, start="none"))
    parent = None
    identity = {
        "structure": lambda triple: triple.expressions[0],
        "behaviour": lambda triple: behaviour(triple.expressions[0], PRIMITIVES),
    }[duplicates]
    for candidates in run(search):
        family = [identity(candidate.genome) for candidate in candidates]
        family += [] if parent is None else [identity(parent)]
        assert len(set(family)) == len(family)
        parent = search.strategy.parent.genome
    allowed = search_of(Single(n=20, start="none"))
    phenotypes = [[candidate.genome.phenotype for candidate in candidates] for candidates in run(allowed)]
    assert any(len(set(own)) < len(own) for own in phenotypes)  # which happens otherwise


@pytest.mark.parametrize("name", VARIANTS)
def test_a_search_goes_on_from_its_state_as_if_never_interrupted(name: str) -> None:
    expected = [[candidate.genome.key for candidate in candidates] for candidates in run(search_of(VARIANTS[name]), 5)]
    search = search_of(VARIANTS[name])
    found = []
    for number in range(len(expected)):
        candidates = generation(search, number, 5, hashed)
        found.append([candidate.genome.key for candidate in candidates])
        state = search.state()
        search = search_of(VARIANTS[name])
        search.restore(State(json.loads(json.dumps(state.values)), state.arrays, state.candidates))
    assert found == expected
    assert generation(search, len(expected), 5, hashed) == []


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "standard"])
def test_what_cannot_be_measured_is_never_the_best_nor_outlives_what_can(name: str) -> None:
    search = search_of(VARIANTS[name])
    for candidates in run(search, 1):
        if any(candidate.ok for candidate in candidates):
            assert search.incumbent.ok
    for strategy in getattr(search, "strategies", {}).values():
        assert strategy.parent.ok
    for population in getattr(search, "populations", {}).values():
        assert all(individual.fitness.valid for individual in population)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_search_in_which_nothing_can_be_measured_ends_quietly(name: str) -> None:
    search = search_of(VARIANTS[name])
    assert sum(map(len, run(search, 0, lambda triple: None))) > 1
    assert search.incumbent is None


def test_parents_name_the_own_parent_first_and_then_where_the_collaborators_come_from() -> None:
    search = search_of(Coevolution(n=4))
    known: dict[str, Candidate] = {}
    for candidates in run(search):
        for candidate in candidates:
            for index, uid in enumerate(candidate.parents):
                assert uid in known
                if index == 0 and known[uid].population == candidate.population:
                    assert known[uid].genome.active == candidate.genome.active
        known |= {candidate.uid: candidate for candidate in candidates}
