"""NEAT per second: evosparse against neat-python, in the same run, on the same networks, with one thread.

``evaluations``: genomes of the first generation, and of a later one of evosparse's NEAT, are judged by both libraries
with the same seeds; making networks of them is part of it. neat-python drives Gymnasium's CartPole-v1, and cars either
through evosparse's environment for Gymnasium or, with less between, as a batch of one; evosparse drives them by its
tasks, CartPole-v1 also by Gymnasium. ``generations``: whole ones from the first on, each library with its own children.
``search``: one generation's children and species alone, of large genomes that are the same for both. All ways in turns
after a short round that is not measured; medians of processor time, which other work on the machine disturbs least.
Prints JSON.

    python experiments/benchmarks/topologies.py > topologies.json
"""

from __future__ import annotations

import os

for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy and torch read it

import argparse
import json
import pickle
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import count
from statistics import mean, median

import numpy as np
from neat_python import (
    Episode,
    Network,
    config_of,
    episode_by_cars,
    episode_by_environment,
    episode_on_cartpole,
    neat,
    translated,
)

from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.search import State, drive
from evosparse.engine.seeds import SeedKey
from evosparse.topologies.fitness import Bench
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.methods import NEAT
from evosparse.topologies.methods.neat import NEATSearch
from evosparse.topologies.problem import interface
from evosparse.topologies.tasks.base import Task
from evosparse.topologies.tasks.driving.task import DrivingSpec
from evosparse.topologies.tasks.gymnasium import GymnasiumSpec
from evosparse.topologies.tasks.shared import episode_seeds

Prepared = Callable[[int], Callable[[], object]]  # of a round: what is then timed
OURS, THEIRS = "evosparse", "neat-python"
BY_GYMNASIUM = f"{OURS}, engine: python"


@dataclass(frozen=True)
class Course:
    """What is to be learned.

    Args:
        task: evosparse's, whose networks are those of all the others.
        purpose: of its episodes, whose seeds all ways have.
        tasks: further ones that measure the same, by name.
        episodes: neat-python's ways of it, by name; the last one is its fastest.
        evolved: generations after which many networks are good at it.
    """

    task: Task
    purpose: str
    tasks: Mapping[str, Task]
    episodes: Mapping[str, Episode]
    evolved: int


def courses() -> dict[str, Course]:
    """Return CartPole-v1, one episode for each network, and driving as evosparse has it, one drive on each track."""
    twin = GymnasiumSpec().tasks().search
    slow = GymnasiumSpec(engine="python").tasks().search
    driving = DrivingSpec().tasks().search
    by_names = {
        f"{THEIRS}, environment": episode_by_environment(driving),
        f"{THEIRS}, batch of one": episode_by_cars(driving),
    }
    return {
        "CartPole-v1": Course(twin, twin.purpose, {BY_GYMNASIUM: slow}, {THEIRS: episode_on_cartpole(slow)}, 12),
        "driving": Course(driving, driving.purpose, {}, by_names, 5),
    }


def in_turns(ways: Mapping[str, Prepared], repeats: int) -> tuple[dict[str, list[float]], dict[str, list[object]]]:
    """Return the seconds that each way took in each round from 1 on, and what came of it; round 0 is a warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[object]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, prepare in ways.items():
            run = prepare(number)
            start = time.process_time()
            answer = run()
            taken = time.process_time() - start
            if number:
                seconds[name].append(taken)
                answers[name].append(answer)
    return seconds, answers


def rates(seconds: Mapping[str, Sequence[float]], done: int, what: str) -> dict[str, object]:
    """Return medians as things done in a second, all values, and how many times as fast evosparse is."""
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        f"{what}_per_second": {name: float(f"{done / value:.4g}") for name, value in medians.items()},
        "times_faster_than": {name: round(value / medians[OURS], 2) for name, value in medians.items() if name != OURS},
        "milliseconds": {name: [round(1000 * value, 3) for value in values] for name, values in seconds.items()},
    }


def judge(candidates: Sequence[Candidate], task: Task, seed: int) -> int:
    """Judge a generation by a task, and return the steps that it took."""
    keys = [SeedKey(seed).child("evaluate", candidate.generation, place) for place, candidate in enumerate(candidates)]
    found = Bench(task).evaluate([candidate.genome for candidate in candidates], keys)
    for candidate, measures in zip(candidates, found, strict=True):
        candidate.judge(Outcome(Status.OK, measures), task.objectives)
    return int(sum(measures["environment_steps"] for measures in found))


def evolved(task: Task, population: int, generations: int) -> list[Topology]:
    """Return the last of some generations of evosparse's NEAT; the first for one."""
    method = NEAT(population=population, generations=generations, until_solved=False)
    for candidates in drive(method.search(interface(task, method)), 0):
        judge(candidates, task, 0)
    return [candidate.genome for candidate in candidates]


def compare_evaluations(course: Course, population: int, generations: int, repeats: int) -> dict[str, object]:
    """Judge the same networks by all ways."""
    genomes = evolved(course.task, population, generations)
    config = config_of(genomes[0].interface, population)
    theirs = [translated(genome, key, config) for key, genome in enumerate(genomes)]
    keys = [SeedKey(0).child("benchmark", place) for place in range(population)]
    seeds = [row[0] for row in episode_seeds(keys, course.purpose, 1)]

    def ours(task: Task, judged: slice) -> list[tuple[float, int]]:
        found = Bench(task).evaluate(genomes[judged], keys[judged])
        return [(measures["fitness"], int(measures["environment_steps"])) for measures in found]

    def neat_python(episode: Episode, judged: slice) -> list[tuple[float, int]]:
        return [episode(Network.create(one, config), seed) for one, seed in zip(theirs[judged], seeds[judged])]

    ways = {name: partial(ours, task) for name, task in ({OURS: course.task} | course.tasks).items()}
    ways |= {name: partial(neat_python, episode) for name, episode in course.episodes.items()}
    prepared = {
        name: lambda number, way=way: partial(way, slice(population if number else 2)) for name, way in ways.items()
    }
    seconds, answers = in_turns(prepared, repeats)
    expected = answers[OURS][0]
    same = {name: [one == other for one, other in zip(found[0], expected)] for name, found in answers.items()}
    return {
        "generation": generations,
        "mean_steps": mean(steps for _, steps in expected),
        "mean_connections": mean(genome.size for genome in genomes),
        "mean_hidden": mean(len(genome.hidden) for genome in genomes),
        "same_returns": {name: sum(flags) for name, flags in same.items() if name != OURS},
        **rates(seconds, population, "evaluations"),
    }


def compare_generations(course: Course, population: int, generations: int, repeats: int) -> dict[str, object]:
    """Run some generations from the first on by both libraries, and make the children of the last."""
    method = NEAT(population=population, generations=generations + 1, until_solved=False)
    face = interface(course.task, method)

    def ours(task: Task, seed: int) -> int:
        steps = 0
        for number, candidates in enumerate(drive(method.search(face), seed)):
            if number == (generations if seed else 1):
                break
            steps += judge(candidates, task, seed)
        return steps

    def neat_python(episode: Episode, seed: int) -> int:
        draw, steps = random.Random(seed), [0]

        def evaluate(genomes: list[tuple[int, neat.DefaultGenome]], config: neat.Config) -> None:
            for _, genome in genomes:
                genome.fitness, taken = episode(Network.create(genome, config), draw.randrange(2**31))
                steps[0] += taken

        neat.Population(config_of(face, population), seed=seed).run(evaluate, generations if seed else 1)
        return steps[0]

    ways = {name: partial(ours, task) for name, task in ({OURS: course.task} | course.tasks).items()}
    name, episode = list(course.episodes.items())[-1]
    ways[name] = partial(neat_python, episode)
    prepared = {name: lambda number, way=way: partial(way, number) for name, way in ways.items()}
    seconds, answers = in_turns(prepared, repeats)
    per_genome = {name: round(median(found) / generations / population, 1) for name, found in answers.items()}
    return {"generations": generations, "mean_steps": per_genome, **rates(seconds, generations, "generations")}


def cheap(candidates: Sequence[Candidate], connections: int) -> None:
    """Judge genomes by how near they are to a number of connections, with a fraction that makes all differ."""
    for candidate in candidates:
        weight = candidate.genome.weight
        value = float(np.abs(weight).sum() % 1 - abs(len(weight) - connections))
        candidate.judge(Outcome(Status.OK, {"fitness": value}), {"fitness": "max"})


def grown(face: Interface, population: int, connections: int, species: int) -> tuple[NEAT, State]:
    """Return a search after a generation whose genomes had about a number of connections, and were in some species."""
    fixed = {"population": population, "generations": 1000, "stagnation": 1000, "until_solved": False}
    growing = NEAT(**fixed, add_connection=0.3, add_node=0.1, target_species=species, threshold_step=0.1)
    search, large = growing.search(face), 0
    for candidates in drive(search, 0):
        cheap(candidates, connections)
        large += mean(len(candidate.genome.weight) for candidate in candidates) >= connections - 2
        if large > 10 and abs(len(set(search.species.tolist())) - species) < 2:  # when the threshold has come to rest
            break
    search.tell(candidates)
    return NEAT(**fixed), search.state()


def their_species(genomes: dict[int, neat.DefaultGenome], config: neat.Config, species: int) -> neat.DefaultSpeciesSet:
    """Return genomes of neat-python in about a number of species, by halving the range of the threshold."""
    low, high = 0.0, 20.0
    for _ in range(20):
        config.species_set_config.compatibility_threshold = middle = (low + high) / 2
        found = neat.DefaultSpeciesSet(config.species_set_config, neat.reporting.ReporterSet())
        found.speciate(config, genomes, 0)
        if abs(len(found.species) - species) <= 1:
            break
        low, high = (middle, high) if len(found.species) > species else (low, middle)
    return found


def compare_searches(
    recurrent: bool, population: int, connections: int, species: int, repeats: int
) -> dict[str, object]:
    """Let both libraries make the same large genomes' children, and find their species."""
    face = Interface(tuple(f"in {place}" for place in range(10)), ("a", "b", "c"), bias=False, recurrent=recurrent)
    method, state = grown(face, population, connections, species)

    def begin() -> tuple[NEATSearch, list[Candidate]]:
        search = method.search(face)
        search.restore(state)
        candidates = search.ask(SeedKey(0).child("ask", 0))
        cheap(candidates, connections)
        return search, candidates

    search, candidates = begin()
    config = config_of(face, population)
    theirs = {key: translated(candidate.genome, key, config) for key, candidate in enumerate(candidates)}
    for genome, candidate in zip(theirs.values(), candidates, strict=True):
        genome.fitness = candidate.fitness.values[0]
    kept = pickle.dumps((theirs, their_species(theirs, config, len(set(search.species.tolist())))))
    last = {
        "node": max(int(candidate.genome.hidden.max(initial=face.fixed)) for candidate in candidates),
        "innovation": max(int(candidate.genome.innovation.max()) for candidate in candidates),
    }

    def ours(number: int) -> Callable[[], tuple[int, int]]:
        search, candidates = begin()
        before = len(set(search.species.tolist()))

        def run() -> tuple[int, int]:
            search.tell(candidates)
            search.ask(SeedKey(0).child("ask", 1 + number))
            return before, len(set(search.species.tolist()))

        return run

    def neat_python(number: int) -> Callable[[], tuple[int, int]]:
        _, found = pickle.loads(kept)
        reporters = neat.reporting.ReporterSet()
        stagnation = neat.DefaultStagnation(config.stagnation_config, reporters)
        reproduction = neat.DefaultReproduction(config.reproduction_config, reporters, stagnation)
        reproduction.genome_indexer = count(population)
        reproduction.innovation_tracker.global_counter = last["innovation"]
        config.genome_config.node_indexer = count(last["node"] + 1)
        before = len(found.species)
        random.seed(number)

        def run() -> tuple[int, int]:
            children = reproduction.reproduce(config, found, population, 1)
            found.speciate(config, children, 1)
            return before, len(found.species)

        return run

    seconds, answers = in_turns({OURS: ours, THEIRS: neat_python}, repeats)
    return {
        "mean_connections": mean(len(candidate.genome.weight) for candidate in candidates),
        "mean_hidden": mean(len(candidate.genome.hidden) for candidate in candidates),
        "species_before": {name: found[0][0] for name, found in answers.items()},
        "species_after": {name: [after for _, after in found] for name, found in answers.items()},
        **rates(seconds, 1, "generations"),
    }


def main() -> None:
    """Measure all and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--populations", type=int, nargs="+", default=[150, 1000])
    parser.add_argument("--evolved", type=int, help="generation of the networks that have evolved, for all tasks")
    parser.add_argument("--generations", type=int, default=4, help="whole ones that are run")
    parser.add_argument("--connections", type=int, default=50, help="of the genomes that the search's own work is for")
    parser.add_argument("--species", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--courses", nargs="+", default=["CartPole-v1", "driving"])
    options = parser.parse_args()
    report: dict[str, object] = {"python": platform.python_version()}
    report |= {name: version(name) for name in ("numpy", "numba", THEIRS, "gymnasium")}
    report |= {"threads": 1, "cpus": os.cpu_count(), "load": os.getloadavg(), "setting": vars(options)}
    evaluations, generations, searches = [], [], []
    for name, course in courses().items():
        if name not in options.courses:
            continue
        for population in options.populations:
            where = {"task": name, "population": population}
            for age in (1, options.evolved or course.evolved):
                evaluations.append(where | compare_evaluations(course, population, age, options.repeats))
            generations.append(where | compare_generations(course, population, options.generations, options.repeats))
    for recurrent in (False, True):
        found = compare_searches(
            recurrent, options.populations[-1], options.connections, options.species, options.repeats
        )
        searches.append({"recurrent": recurrent, "population": options.populations[-1]} | found)
    results = {"evaluations": evaluations, "generations": generations, "search": searches}
    print(json.dumps(report | {"results": results, "load_after": os.getloadavg()}, indent=2))


if __name__ == "__main__":
    main()
