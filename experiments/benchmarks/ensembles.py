"""Ensembles judged per second by a vote: evosparse's counting against the usual ways, in the same run.

A population of ensembles over one pool of classifiers, each member with probability one half. The rivals: numpy for one
ensemble after another, by comparing labels with each class, by summing one-hot votes, or by `bincount`; one float32
matrix product with one-hot votes for all ensembles; and the same in torch's bfloat16, which evosparse takes on GPUs.
For mean probabilities their sums stand in place of one-hot votes. One thread; all ways in turns after one round
unmeasured; medians. Prints JSON, with whether each way gives the same accuracies to the last bit.

    python experiments/benchmarks/ensembles.py > ensembles.json
"""

from __future__ import annotations

import os

for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy and torch read it

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping
from statistics import median

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from evosparse.ensembles import Chamber, Votes, VoteSpec
from evosparse.ensembles.tally import count_hits

Way = Callable[[], NDArray[np.float64]]
OURS = "evosparse"


def votes_of(examples: int, members: int, classes: int) -> Votes:
    """Return the votes of a pool whose members are right two times of three, with probabilities."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=examples)
    right = rng.random((examples, members)) < 2 / 3
    labels = np.where(right, y[:, None], rng.integers(classes, size=(examples, members)))
    shares = 2 * np.eye(classes, dtype=np.float32)[labels] + rng.exponential(size=(examples, members, classes))
    shares = (shares / shares.sum(axis=2, keepdims=True)).astype(np.float32)
    return Votes(tuple(map(str, range(members))), labels.astype(np.int16), y, classes, shares)


def by_loop(scores: Callable[[NDArray[np.bool_]], NDArray], votes: Votes, chosen: NDArray[np.bool_]) -> Way:
    """Judge one ensemble after another.

    Args:
        scores: returns the (n, classes) scores of an ensemble.
        votes: of the pool.
        chosen: (population, members).
    """
    return lambda: np.array([(scores(row).argmax(axis=1) == votes.y).mean() for row in chosen])


def by_product(shares: NDArray[np.float32], weights: NDArray[np.float64] | None, y: NDArray, chosen: NDArray) -> Way:
    """Judge all ensembles by one matrix product in float32.

    Args:
        shares: (n, members, classes) of the members in the classes.
        weights: (members,) of the votes; None for one each.
        y: (n,) true classes.
        chosen: (population, members).
    """
    examples, members, classes = shares.shape
    right = np.ascontiguousarray(shares.swapaxes(0, 1)).reshape(members, examples * classes)

    def judge() -> NDArray[np.float64]:
        left = chosen.astype(np.float32) if weights is None else (chosen * weights).astype(np.float32)
        scores = (left @ right).reshape(len(chosen), examples, classes)
        return (scores.argmax(axis=2) == y).mean(axis=1)

    return judge


def ways_of(rule: str, votes: Votes, chosen: NDArray[np.bool_]) -> dict[str, Way]:
    """Return all ways to judge ensembles by a rule."""
    chamber = Chamber.of(votes, VoteSpec(rule=rule))
    ways = {OURS: lambda: chamber.tally(chosen).accuracy}
    if rule == "soft":
        first = np.ascontiguousarray(votes.probabilities.swapaxes(0, 1))
        ways["numpy, sums"] = by_loop(lambda row: first[row].sum(axis=0), votes, chosen)
        return ways | {"float32 product": by_product(votes.probabilities, None, votes.y, chosen)}
    labels, y, classes, weights = votes.labels, votes.y, votes.classes, chamber.weights
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    # Members first, so that an ensemble's rows are contiguous; bytes, where they hold every count.
    small = np.uint8 if weights is None and votes.members < 256 else np.float32
    shares = one_hot if weights is None else one_hot * weights[:, None].astype(np.float32)
    first = np.ascontiguousarray(shares.swapaxes(0, 1)).astype(small)
    cells = np.arange(len(y))[:, None] * classes + labels

    def compare(row: NDArray[np.bool_]) -> NDArray:
        said = labels[:, row]
        if weights is None:
            return np.stack([(said == label).sum(axis=1) for label in range(classes)], axis=1)
        return np.stack([(said == label) @ weights[row] for label in range(classes)], axis=1)

    def count(row: NDArray[np.bool_]) -> NDArray:
        own = None if weights is None else np.tile(weights[row], len(y))
        return np.bincount(cells[:, row].ravel(), own, minlength=len(y) * classes).reshape(len(y), classes)

    ways["numpy, by comparison"] = by_loop(compare, votes, chosen)
    ways["numpy, one-hot sums"] = by_loop(lambda row: first[row].sum(axis=0, dtype=small), votes, chosen)
    ways["numpy, bincount"] = by_loop(count, votes, chosen)
    ways["float32 product"] = by_product(one_hot, weights, y, chosen)
    if weights is None:
        # A device by another name than "cpu" has the product that GPUs have.
        ways["bfloat16 product"] = lambda: count_hits(labels, y, classes, chosen, None, "cpu:0").sum(axis=1) / len(y)
    return ways


def measure(ways: Mapping[str, Way], repeats: int, population: int) -> dict[str, object]:
    """Return how many ensembles each way judges in a second, and whether it agrees with ours."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    accuracies = {name: judge() for name, judge in ways.items()}
    for _ in range(repeats):
        for name, judge in ways.items():
            start = time.perf_counter()
            judge()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(values) for name, values in seconds.items()}
    fastest = min((name for name in ways if name.startswith("numpy")), key=medians.__getitem__)
    return {
        "ensembles_per_second": {name: round(population / value) for name, value in medians.items()},
        "milliseconds": {name: [round(1000 * value, 3) for value in values] for name, values in seconds.items()},
        "times_faster_than": {name: round(value / medians[OURS], 1) for name, value in medians.items() if name != OURS},
        "fastest_loop": fastest,
        "same_accuracies": {name: bool(np.array_equal(accuracies[name], accuracies[OURS])) for name in ways},
        "largest_difference": {name: float(np.abs(accuracies[name] - accuracies[OURS]).max()) for name in ways},
    }


def main() -> None:
    """Measure all rules and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--population", type=int, default=500)
    parser.add_argument("--members", type=int, default=70)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, object] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
    report |= {"numba": numba.__version__, "threads": 1, "cpus": os.cpu_count(), "load": os.getloadavg()}
    report["setting"] = vars(options)
    votes = votes_of(options.examples, options.members, options.classes)
    chosen = np.random.default_rng(1).random((options.population, options.members)) < 0.5
    rules = ("majority", "weighted", "soft")
    found = {rule: measure(ways_of(rule, votes, chosen), options.repeats, options.population) for rule in rules}
    print(json.dumps(report | {"results": found, "load_after": os.getloadavg()}, indent=2))


if __name__ == "__main__":
    main()
