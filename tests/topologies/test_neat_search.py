"""The NEAT search as a whole (NE8): its generation step against a slow reference, and taken up again alike.

Networks are judged by hashes of their genes or by sums of their weights, so that thousands take a moment.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neat_runs import (
    BUSY,
    FACE,
    LOOPS,
    Worth,
    by_species,
    changed,
    constant,
    fitness_of,
    hard_to_please,
    hashed,
    hopeless,
    judge,
    keys,
    run,
)
from topology_relatives import loop_free, pairs_of
from topology_strategies import interfaces

from evosparse.engine.candidate import Candidate
from evosparse.engine.codec import array_from_bytes, array_to_bytes, from_json, to_json
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.methods.neat import NEAT, NEATSearch
from evosparse.topologies.species import Distance


class Chronicle:
    """Who may have children and how many, kept by a slow reader of the generations."""

    def __init__(self, method: NEAT) -> None:
        self.method = method
        self.known: dict[str, tuple[float, int]] = {}  # the best fitness of a species, and the generation it came in
        self.best = (-np.inf, 0)
        self.number = -1

    def read(self, candidates: list[Candidate]) -> None:
        self.number += 1
        groups = by_species(candidates)
        for name, members in groups.items():
            top = fitness_of(members[0])
            if name not in self.known or top > self.known[name][0]:
                self.known[name] = (top, self.number)
        self.known = {name: self.known[name] for name in groups}
        top = max(best for best, _ in self.known.values())
        if max(fitness_of(members[0]) for members in groups.values()) > self.best[0]:
            self.best = (top, self.number)

    def eligible(self) -> set[str]:
        """The species that may have children: those that improved of late, or else the two best."""
        ranked = sorted(self.known, key=lambda name: (-self.known[name][0], int(name.split()[1])))
        if self.method.patience is not None and self.number - self.best[1] > self.method.patience:
            self.best = (self.best[0], self.number)
            return set(ranked[:2])
        lively = {name for name, (_, when) in self.known.items() if self.number - when < self.method.stagnation}
        return {ranked[0], *lively} if lively else set(ranked[:2])


def shares(groups: dict[str, list[Candidate]], eligible: set[str], total: int) -> dict[str, float]:
    """How many children each species is due: in proportion to the sum of its members' shared fitness."""
    values = [fitness_of(one) for members in groups.values() for one in members]
    lowest = min(*values, 0.0) if values else 0.0
    sums = {
        name: sum((fitness_of(one) - lowest) / len(members) for one in members)
        for name, members in groups.items()
        if name in eligible
    }
    whole = sum(sums.values())
    return {name: value / whole * total if whole else total / len(sums) for name, value in sums.items()}


@pytest.mark.parametrize("worth", [hashed, hard_to_please, constant])
@pytest.mark.parametrize("seed", range(2))
def test_ne8_a_generation_has_the_children_that_species_are_due_and_champions(worth: Worth, seed: int) -> None:
    method = changed(BUSY, generations=20, threshold=6.0)
    chronicle, before, kept, outcast = Chronicle(method), [], 0, 0
    for candidates in run(method, worth, seed):
        assert len(candidates) == method.population
        if before:
            groups, eligible = by_species(before), chronicle.eligible()
            home = {one.uid: one.population for one in before if one.ok}
            value = {one.uid: fitness_of(one) for one in before if one.ok}
            due = shares(groups, eligible, method.population)
            outcast += len(groups) - len(eligible)
            for name, members in groups.items():
                children = [one for one in candidates if home[one.parents[0]] == name]
                assert abs(len(children) - due.get(name, 0)) < (1 if name in eligible else 1e-9)
                if len(members) > method.champion_from and children:
                    best = {one.genome for one in members if fitness_of(one) == fitness_of(members[0])}
                    champions = [one for one in children if len(one.parents) == 1 and one.genome in best]
                    assert any(value[one.parents[0]] == fitness_of(members[0]) for one in champions)
                    kept += 1
                # The last that may have children is the one in the place of the share that survives.
                least = fitness_of(members[int(method.survival * len(members))])
                for child in children:
                    assert 1 <= len(child.parents) <= 2 and len(set(child.parents)) == len(child.parents)
                    assert all(home[parent] == name and value[parent] >= least for parent in child.parents)
                    assert value[child.parents[0]] == max(value[parent] for parent in child.parents)
        chronicle.read(candidates)
        before = candidates
    assert kept >= 10 and (outcast > 0 or worth is not hashed)


@pytest.mark.parametrize("scope", ["generation", "run"])
@pytest.mark.parametrize("face", [FACE, LOOPS], ids=["forward", "recurrent"])
def test_ne8_a_thousand_networks_are_sound_and_their_innovations_unique(scope: str, face: Interface) -> None:
    ends: dict[int, tuple[int, int]] = {}  # of all innovations of the run
    last, numbers, seen = -1, {}, 0
    for candidates in run(changed(BUSY, innovation_scope=scope), hashed, 3, face):
        if scope == "generation":
            numbers = {}
        for genome in (candidate.genome for candidate in candidates):
            seen += 1
            genome.check()
            pairs = pairs_of(genome)
            assert len(set(pairs)) == len(pairs) and (face.recurrent or loop_free(pairs))
            assert Topology.from_bytes(genome.to_bytes()) == genome
            for number, pair in zip(genome.innovation.tolist(), pairs, strict=True):
                assert ends.setdefault(number, pair) == pair
                if number > last:
                    assert numbers.setdefault(pair, number) == number
        last = max(ends)
    assert seen == 1000 and last > 100
    # Within a run nodes are joined under other numbers only where those of earlier generations are forgotten.
    assert (len(set(ends.values())) < len(ends)) == (scope == "generation")


@settings(deadline=None, max_examples=25)
@given(
    st.builds(
        NEAT, population=st.integers(2, 12), generations=st.just(4),
        start=st.sampled_from(("minimal", "random", "dense")), growth=st.booleans(), mating=st.booleans(),
        speciation=st.booleans(), threshold=st.floats(0.1, 4), target_species=st.none() | st.integers(1, 4),
        representative=st.sampled_from(("random_previous", "champion", "first")),
        stagnation=st.integers(1, 3), patience=st.none() | st.integers(1, 3), champion_from=st.integers(0, 5),
        survival=st.floats(0.01, 1), mutation_only=st.floats(0, 1), mate_only=st.floats(0, 1),
        interspecies=st.floats(0, 1), add_node=st.floats(0, 1), add_connection=st.floats(0, 1), toggle=st.floats(0, 1),
        delete_node=st.floats(0, 1), delete_connection=st.floats(0, 1), mutate_function=st.floats(0, 1),
        split=st.sampled_from(("any", "oldest")), small_genome_n=st.sampled_from(("one_below_20", "always_n", "one")),
        weight_clip=st.none() | st.floats(0.1, 3), equal_fitness_genes=st.sampled_from(("random", "both", "first")),
    ),
    interfaces(),
    st.sampled_from((hashed, hard_to_please, constant, hopeless)),
    st.integers(0, 2**20),
)  # fmt: skip
def test_whatever_the_parameters_the_population_keeps_its_size_and_is_sound(
    method: NEAT, face: Interface, worth: Worth, seed: int
) -> None:
    generations = list(run(method, worth, seed, face))
    assert [len(candidates) for candidates in generations] == [method.population] * 4
    for before, candidates in pairwise(generations):
        measured = {one.uid for one in before if one.ok}
        for candidate in candidates:
            candidate.genome.check()
            assert face.recurrent or loop_free(pairs_of(candidate.genome))
            assert measured.issuperset(candidate.parents) and bool(candidate.parents) == bool(measured)


@pytest.mark.parametrize("representative", ["champion", "first"])
def test_each_network_joins_the_first_species_whose_representative_of_before_is_near(representative: str) -> None:
    rule, before, founded = Distance(BUSY.c1, BUSY.c2, BUSY.c3), [], 0
    for candidates in run(changed(BUSY, representative=representative, population=40)):
        members = [one for one in before if one.ok] if representative == "champion" else before
        measured = by_species(before)
        known = {}
        for one in sorted(members, key=fitness_of, reverse=True) if representative == "champion" else members:
            if one.population in measured:
                known.setdefault(one.population, one.genome)
        known = dict(sorted(known.items(), key=lambda entry: int(entry[0].split()[1])))
        for one in candidates:
            near = [name for name, genome in known.items() if rule.between(one.genome, genome) < BUSY.threshold]
            if not near:
                near = [f"species {founded}"]
                founded += 1
                known[near[0]] = one.genome
            assert one.population == near[0]
        before = candidates
    assert founded > 10


def test_a_random_representative_is_a_member_of_the_generation_before() -> None:
    rule, before, joined = Distance(BUSY.c1, BUSY.c2, BUSY.c3), [], 0
    for candidates in run(changed(BUSY, population=40)):
        homes = {one.population for one in before}
        for one in (one for one in candidates if one.population in homes):
            members = [other.genome for other in before if other.population == one.population]
            assert any(rule.between(one.genome, genome) < BUSY.threshold for genome in members)
            joined += 1
        before = candidates
    assert joined > 200


def stored(candidate: Candidate) -> Candidate:
    """A candidate as a campaign's database gives it back."""
    genome = Topology.from_bytes(candidate.genome.to_bytes())
    kept = Candidate(genome, candidate.parents, uid=candidate.uid, generation=candidate.generation)
    kept.judge(candidate.outcome, candidate.fitness.objectives)
    return kept


def restored(search: NEATSearch, state: State) -> NEATSearch:
    arrays = {name: array_from_bytes(array_to_bytes(array), name) for name, array in state.arrays.items()}
    groups = {name: [stored(candidate) for candidate in group] for name, group in state.candidates.items()}
    search.restore(State(from_json(to_json(state.values), dict, "a state"), arrays, groups))
    return search


VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "stagnation": {"stagnation": 1, "patience": 2},
    "target": {"target_species": 5},
    "run": {"innovation_scope": "run", "interspecies": 0.2},
    "champion": {"representative": "champion"},
    "first": {"representative": "first"},
    "no species": {"speciation": False},
    "tested": {"tested": "species"},
}


def test_of_equally_fit_genomes_the_newest_have_children() -> None:
    method = changed(BUSY, generations=6, survival=0.2, champion_from=100, interspecies=0)
    for before, candidates in pairwise(run(method, constant)):
        newest = set()
        for members in by_species(before).values():
            members = sorted(members, key=lambda one: int(one.uid.partition(".")[2]), reverse=True)
            newest |= {one.uid for one in members[: int(0.2 * len(members)) + 1]}
        assert {parent for one in candidates for parent in one.parents} <= newest


@pytest.mark.parametrize("worth", [hashed, hard_to_please, hopeless])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_search_goes_on_from_its_state_as_if_never_interrupted(name: str, worth: Worth) -> None:
    method = changed(BUSY, population=40, **VARIANTS[name])
    tested: tuple[list[Topology], list[Topology]] = ([], [])  # none of which has solved it
    whole = method.search(FACE, tested[0].append)
    expected = [(keys(candidates), whole.species.tolist()) for candidates in run(method, worth, 5, search=whole)]
    search = method.search(FACE, tested[1].append)
    for number, (genomes, species) in enumerate(expected):
        candidates = search.ask(SeedKey(5).child("ask", number))
        assert (keys(candidates), search.species.tolist()) == (genomes, species)
        for index, candidate in enumerate(candidates):
            candidate.uid, candidate.generation = f"{number}.{index}", number
        judge(candidates, worth)
        search.tell(candidates)
        search.state()
        search = restored(method.search(FACE, tested[1].append), search.state())
    assert tested[0] == tested[1]
    assert search.history == whole.history and search.ask(SeedKey(5).child("ask", len(expected))) == []


def test_a_seed_decides_everything() -> None:
    one, again, other = ([keys(candidates) for candidates in run(BUSY, seed=seed)] for seed in (1, 1, 2))
    assert one == again and all(mine != theirs for mine, theirs in zip(one, other, strict=True))
