"""What a generation costs besides the fitness, in time and bytes per candidate, beside plain DEAP in the same run.

Masks of LeNet-300-100 (266,200 weights) at 98 % sparsity, a genetic search, a fitness that costs next to nothing, all
in one process. Everything else counts: ask, encoding and decoding, tell, statistics, Hall of Fame, and the commit to
the disk. DEAP's side is `eaSimple` over boolean arrays, with vectorised operators, and stores nothing. Beside the time
on the wall stands that of the processor, which counts no waiting, for machines that do other things meanwhile.

    python experiments/benchmarks/overhead.py --populations 250 500 1000 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from deap import algorithms, base, tools

from evosparse import Campaign, Evaluation, Fitness, SeedKey, Stop, masks
from evosparse.data import DataSet, SearchData, Test, Train, Validation
from evosparse.engine.candidate import Candidate, FitnessValues
from evosparse.engine.listeners import Listener

WEIGHTS, SPARSITY = 266_200, 0.98


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--populations", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--generations", type=int, default=6, help="the first, of random masks, is reported apart")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--deap-generations", type=int, default=2)
    options = parser.parse_args()
    report = {"machine": machine(), "weights": WEIGHTS, "sparsity": SPARSITY, "repeats": options.repeats}
    report["evosparse"] = [
        summary(size, [measure_campaign(size, options.generations, seed) for seed in range(options.repeats)])
        for size in options.populations
    ]
    report["deap"] = [
        summary(size, [measure_deap(size, options.deap_generations, seed) for seed in range(options.repeats)])
        for size in options.populations
    ]
    report["load_after"] = os.getloadavg()
    print(json.dumps(report, indent=2))


def machine() -> Mapping[str, object]:
    """Tell what the figures depend on."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    return versions | {"cpus": os.cpu_count(), "load": os.getloadavg()}


def summary(population: int, repeats: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the medians over the repeats."""
    return {"population": population} | {name: round(median(one[name] for one in repeats), 4) for name in repeats[0]}


def now() -> np.ndarray:
    """Return the seconds of the wall clock and those that this process had of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


class EvenShare(Fitness):
    """The share of connections at even positions; it knows how long it took, on the wall and on the processor."""

    objectives = {"even": "max"}

    def __init__(self) -> None:
        self.seconds = np.zeros(2)

    def evaluate(self, genomes: Sequence[masks.Mask], seeds: Sequence[SeedKey]) -> list[Mapping[str, float]]:
        start = now()
        even = [sum(int((~positions & 1).sum()) for positions in mask.connections) for mask in genomes]
        results = [{"even": number / mask.count} for number, mask in zip(even, genomes, strict=True)]
        self.seconds += now() - start
        return results

    def of_array(self, exists: np.ndarray) -> tuple[float]:
        """Return the same for a boolean array, as DEAP wants it."""
        start = now()
        share = float(exists[::2].sum() / exists.sum())
        self.seconds += now() - start
        return (share,)


class Clock(Listener):
    """Takes the time at the end of each generation, committed, and what the fitness had of it."""

    def __init__(self, fitness: EvenShare) -> None:
        self._fitness = fitness
        self.times: list[np.ndarray] = []

    def begin(self, campaign: Campaign) -> None:
        self._take()

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        self._take()

    def _take(self) -> None:
        self.times.append(now() - self._fitness.seconds)


def measure_campaign(population: int, generations: int, seed: int) -> Mapping[str, float]:
    """Run a campaign and return milliseconds per candidate, in all and by part, and bytes per candidate."""
    search = masks.Genetic(population=population, sparsity=SPARSITY)
    fitness = EvenShare()
    examination = masks.ExaminationSpec(members=0, baselines=())
    problem = masks.Problem("lenet300", tiny_data(), search, fitness, examination=examination)
    assert sum(layer.size for layer in problem.bench.network.layers) == WEIGHTS
    clock = Clock(fitness)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        stop, evaluation = Stop(generations=generations), Evaluation(workers=0)
        with Campaign(problem, seed, out, stop=stop, evaluation=evaluation) as campaign:
            parts: dict[str, list[float]] = {"ask": [], "tell": [], "commit": []}
            for owner, name in ((problem.search, "ask"), (problem.search, "tell"), (campaign.store, "commit")):
                setattr(owner, name, timed(getattr(owner, name), parts[name]))
            campaign.run(listener=clock)
            candidates = sum(campaign.logbook.select("candidates"))
        size = sum(file.stat().st_size for file in out.iterdir())
    children = population - search.elites
    wall, processor = np.diff(clock.times, axis=0).T
    per_part = {f"ms_{name}": 1e3 * median(times[1:generations]) / children for name, times in parts.items()}
    return {
        "ms_per_candidate": 1e3 * median(wall[1:]) / children,
        "processor_ms_per_candidate": 1e3 * median(processor[1:]) / children,
        "ms_per_candidate_slowest_generation": 1e3 * max(wall[1:]) / children,
        "ms_per_candidate_random": 1e3 * wall[0] / population,
        **per_part,
        "database_bytes_per_candidate": size / candidates,
    }


def measure_deap(population: int, generations: int, seed: int) -> Mapping[str, float]:
    """Run `eaSimple` and return milliseconds per candidate without the fitness, generation zero apart as above."""
    rng = np.random.default_rng(seed)
    random.seed(seed)
    fitness = EvenShare()
    toolbox = base.Toolbox()
    toolbox.register("evaluate", fitness.of_array)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("mate", swap_between_two_points, rng=rng)
    toolbox.register("mutate", flip, rate=0.02 * (1 - SPARSITY), rng=rng)
    individuals = [Individual(rng.random(WEIGHTS) >= SPARSITY) for _ in range(population)]
    for individual in individuals:  # generation zero, which is not measured
        individual.fitness.values = toolbox.evaluate(individual)
    fitness.seconds[:] = 0
    hall = tools.HallOfFame(10, similar=np.array_equal)
    start = now()
    _, logbook = algorithms.eaSimple(
        individuals, toolbox, cxpb=0.7, mutpb=1.0, ngen=generations, halloffame=hall, verbose=False
    )
    wall, processor = 1e3 * (now() - start - fitness.seconds) / sum(logbook.select("nevals"))
    return {"ms_per_candidate": wall, "processor_ms_per_candidate": processor, "memory_bytes_per_candidate": WEIGHTS}


class Individual(np.ndarray):
    """A boolean array with a fitness, as DEAP's documentation makes individuals of numpy arrays."""

    fitness: FitnessValues

    def __new__(cls, values: np.ndarray) -> Individual:
        individual = np.asarray(values).view(cls)
        individual.fitness = FitnessValues({"even": "max"})
        return individual

    def __deepcopy__(self, memo: dict) -> Individual:
        copy = Individual(self.copy())
        copy.fitness.wvalues = self.fitness.wvalues
        return copy


def swap_between_two_points(
    first: Individual, second: Individual, rng: np.random.Generator
) -> tuple[Individual, Individual]:
    """Exchange what lies between two positions, as `cxTwoPoint` does for lists."""
    low, high = np.sort(rng.integers(len(first), size=2))
    first[low:high], second[low:high] = second[low:high].copy(), first[low:high].copy()
    return first, second


def flip(individual: Individual, rate: float, rng: np.random.Generator) -> tuple[Individual]:
    """Flip each bit with a probability, as `mutFlipBit` does for lists."""
    individual ^= rng.random(len(individual), dtype=np.float32) < rate
    return (individual,)


def tiny_data() -> DataSet:
    """Return random examples of the shape of MNIST; the fitness does not look at them."""
    rng = np.random.default_rng(0)
    parts = [kind(rng.random((10, 784), dtype=np.float32), np.arange(10)) for kind in (Train, Validation, Test)]
    return DataSet("random", SearchData(parts[0], parts[1], 10, (784,)), parts[2], tuple("0123456789"))


def timed(function: Callable, seconds: list[float]) -> Callable:
    """Return the function, with the time of each call appended to a list."""

    def call(*arguments: object) -> object:
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds.append(time.perf_counter() - start)

    return call


if __name__ == "__main__":
    main()
