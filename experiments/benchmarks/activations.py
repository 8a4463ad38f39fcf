"""Networks trained per second, each with activation functions of its own, against a loop over networks.

A population of 784-7x32-10 networks, batches of 128: as one tensor program with compiled functions, the same with torch's
operations, and one network after another with DEAP's compiled expressions (`gp.compile`) and torch's Adam, as people write
it, or its fused form. Each network is made, and trained for 24 steps (three epochs of eight). One thread; all ways in
turns; medians. Prints JSON.

    python experiments/benchmarks/activations.py --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from deap import gp
from torch import nn
from torch.nn import functional

from evosparse.activations import CGP, PUBLISHED, Expression, Formula, GeneticProgramming, PrimitiveSet, Triple
from evosparse.activations.workbench import Workbench
from evosparse.data import SearchData, Train, Validation
from evosparse.engine.limits import one_thread
from evosparse.nets import ROLES, InitialisationSpec, NetworkSpec, Seeds, TrainingSpec, build
from evosparse.nets.device import configured

PRIMITIVES = PrimitiveSet(tuple(PUBLISHED.values()))
EPOCHS, STEPS = 3, 8


def functions(case: str, encoding: str, population: int) -> list[Triple]:
    """Return the functions of each network.

    Args:
        case: ``random``, three random functions each; or ``coevolution``, where one place differs and the others hold ReLU.
        encoding: ``cgp`` or ``tree``.
        population: number of networks.
    """
    rng = np.random.default_rng(0)
    genes = CGP() if encoding == "cgp" else GeneticProgramming()
    relu = Formula(PRIMITIVES.alphabet, "relu(x)")
    bench = workbench("tensors", 1)
    found: list[Triple] = []
    while len(found) < population:
        drawn = [genes.random(PRIMITIVES.alphabet, rng) for _ in ROLES]
        own = drawn if case == "random" else [relu, drawn[1], relu]
        triple = Triple(ROLES, tuple(own), 1)
        if not bench.flaw(triple):  # no search would train the others
            found.append(triple)
    return found


def workbench(computation: str, batch: int) -> Workbench:
    """Return the workbench of a campaign on random images."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((STEPS * batch, 784), np.float32)
    y = rng.integers(0, 10, STEPS * batch)
    data = SearchData(Train(x, y), Validation(x, y), 10, (784,))
    training = TrainingSpec(optimizer="adam", learning_rate=0.01, batch=batch, kernel="dense")
    network = build(NetworkSpec(name="fcn"), (784,), 10)
    return Workbench(data, network, PRIMITIVES, training, InitialisationSpec(weights="module"), computation=computation)


def as_program(bench: Workbench, triples: Sequence[Triple]) -> Callable[[], object]:
    """Train all networks at once."""
    seeds = [Seeds(number, 0, 0) for number in range(len(triples))]

    def train() -> None:
        bench.population(triples, seeds, EPOCHS).train(bench.train.x, bench.train.y, EPOCHS)

    return train


class Loop(nn.Module):
    """One network, with DEAP's compiled functions."""

    def __init__(self, own: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> None:
        super().__init__()
        widths = [784, *[32] * 7, 10]
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in zip(widths, widths[1:]))
        self.own = [own[0], *[own[1]] * 5, own[2]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        for layer, function in zip(self.layers, self.own):
            x = function(layer(x))
        return self.layers[-1](x)


def as_loop(bench: Workbench, triples: Sequence[Triple], fused: bool) -> Callable[[], object]:
    """Train one network after another."""
    compiled = [[deap_function(genes.expression) for genes in triple.genes] for triple in triples]
    x, y, batch = torch.from_numpy(bench.train.x.copy()), torch.from_numpy(bench.train.y.copy()), bench.training.batch

    def train() -> None:
        for own in compiled:
            network = Loop(own)
            optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=fused or None)
            for _ in range(EPOCHS):
                order = torch.randperm(len(x))
                for start in range(0, len(x), batch):
                    rows = order[start : start + batch]
                    optimizer.zero_grad()
                    functional.cross_entropy(network(x[rows]), y[rows]).backward()
                    optimizer.step()

    return train


def deap_function(expression: Expression) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function as DEAP compiles it."""
    symbols = gp.PrimitiveSet("activation", 1)
    symbols.renameArguments(ARG0="x")
    for primitive in PUBLISHED.values():
        random = primitive.name == "rrelu"
        symbols.addPrimitive(_rrelu if random else primitive.function, primitive.arity, primitive.name)

    def prefix(part: Expression) -> list:
        return [symbols.mapping[part.name], *(node for argument in part.arguments for node in prefix(argument))]

    return gp.compile(gp.PrimitiveTree(prefix(expression)), symbols)


def _rrelu(x: torch.Tensor) -> torch.Tensor:
    return functional.rrelu(x, 1 / 8, 1 / 3, training=True)


def measure(ways: Mapping[str, Callable[[], object]], repeats: int, networks: int) -> dict[str, object]:
    """Return the networks trained per second by each way, all ways in turns after one round unmeasured."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, train in ways.items():
            start = time.perf_counter()
            train()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "networks_per_second": {name: round(networks / value, 1) for name, value in medians.items()},
        "seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "compiled_against": {name: round(medians[name] / medians["compiled"], 2) for name in medians},
        "tensors_against": {name: round(medians[name] / medians["tensors"], 2) for name in medians},
    }


def main() -> None:
    """Measure all cases and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--population", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=["random", "coevolution"])
    parser.add_argument("--encodings", nargs="+", default=["cgp", "tree"])
    options = parser.parse_args()
    results = []
    with one_thread(), configured():
        for case in options.cases:
            for encoding in options.encodings:
                triples = functions(case, encoding, options.population)
                ways = {name: as_program(workbench(name, options.batch), triples) for name in ("compiled", "tensors")}
                ways["loop"] = as_loop(workbench("tensors", options.batch), triples, fused=False)
                ways["loop, fused Adam"] = as_loop(workbench("tensors", options.batch), triples, fused=True)
                sizes = [sum(bool(part.arguments) for part in own.parts()) for triple in triples for own in triple.expressions]
                facts = {"case": case, "encoding": encoding, "primitives_per_function": round(float(np.mean(sizes)), 2)}
                results.append(facts | measure(ways, options.repeats, options.population))
    setting = {"population": options.population, "batch": options.batch, "steps": EPOCHS * STEPS}
    print(json.dumps({"setting": setting, "load": os.getloadavg(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
