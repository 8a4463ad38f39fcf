"""How much longer five seeds of a published method take than one, for they are trained as one population.

    python experiments/benchmarks/sparsify.py [--runs 5] [--networks digits lenet300]

Prints JSON: for each network and method the medians of processor seconds of one seed and of five, in turns, and of their ratios;
one thread. ``digits`` is 64-64-32-10 on scikit-learn's digits at 90 %; ``lenet300`` is 784-300-100-10 on random images at 98 %.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

from evosparse.data import SearchData, Train, Validation, load  # noqa: E402
from evosparse.data.spec import DataSpec  # noqa: E402
from evosparse.nets import InitialisationSpec, NetworkSpec, TrainingSpec, build  # noqa: E402
from evosparse.sparsify import SNIP, LotteryTicket, RigL, Sparsifier  # noqa: E402
from evosparse.sparsify.fitness import Bench  # noqa: E402
from evosparse.sparsify.genome import Recipe  # noqa: E402

METHODS: Mapping[str, Sparsifier] = {"rigl": RigL(), "snip": SNIP(), "lottery": LotteryTicket(rate=0.5)}
SETTINGS = {"digits": (0.9, 8, 32), "lenet300": (0.98, 1, 100)}  # sparsity, epochs, batch


def bench(name: str) -> tuple[Bench, float]:
    """Return a network with its data, and the sparsity that it is brought to."""
    sparsity, epochs, batch = SETTINGS[name]
    if name == "digits":
        data, network = load(DataSpec(name="digits")).search, NetworkSpec(name="mlp")
    else:
        rng = np.random.default_rng(0)
        parts = [
            (rng.random((count, 1, 28, 28), np.float32), rng.integers(10, size=count)) for count in (20_000, 1_000)
        ]
        data = SearchData(Train(*parts[0]), Validation(*parts[1]), 10, (1, 28, 28))
        network = NetworkSpec(name="lenet300")
    made = build(network, data.input_shape, data.classes)
    training = TrainingSpec(batch=batch)
    return Bench(data, made, training, InitialisationSpec(mask_aware=False), epochs), sparsity


def measure(name: str, method: str, runs: int) -> Mapping[str, object]:
    """Time one seed and five, in turns."""
    own, sparsity = bench(name)
    times: dict[int, list[float]] = {1: [], 5: []}
    for turn in range(runs + 1):
        for seeds in times:
            recipes = [Recipe(METHODS[method], sparsity, number) for number in range(seeds)]
            began = time.process_time()
            own.sparsify(recipes, turn)
            if turn:  # the first turn compiles
                times[seeds].append(time.process_time() - began)
    ratios = [five / one for one, five in zip(times[1], times[5], strict=True)]
    return {
        "network": name, "method": method, "sparsity": sparsity, "seconds_one": statistics.median(times[1]),
        "seconds_five": statistics.median(times[5]), "ratio": statistics.median(ratios), "ratios": ratios,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--networks", nargs="+", choices=tuple(SETTINGS), default=tuple(SETTINGS))
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    options = parser.parse_args(arguments)
    rows = [measure(name, method, options.runs) for name in options.networks for method in options.methods]
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
