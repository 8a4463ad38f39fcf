"""All methods and evolution in one table: accuracy against density, on images and tables, with intervals over five seeds.

    python experiments/sparsifiers_table.py run       (--data mnist ... --methods rigl evolved ... --sparsities 0.98 for a part)
    python experiments/sparsifiers_table.py report    (prints the tables and draws papers/sparsifiers_DATA.png)

The network is 784-300-100-10 with the data's own inputs and classes, Adam at 3e-3 with half a cosine, batch 50; of images
6,000 are drawn, of which 1,000 are for validation, and tested on all 10,000; the other sets are whole. What methods train
before they cut has as many epochs as the last training; lottery tickets have half of them in each round. ``evolved`` is a
genetic algorithm over masks that starts from random ones and judges each by its validation accuracy after two epochs; its
winner is trained with the same seeds as all others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from paper_runs import HE, PAPERS, percent

from evosparse import Campaign, masks
from evosparse.data import DataSpec, load
from evosparse.engine.results import interval
from evosparse.engine.spec import Evaluation
from evosparse.nets import NetworkSpec, ScheduleSpec, TrainingSpec, build
from evosparse.nets.sparsity import Distribution
from evosparse.sparsify import METHODS
from evosparse.sparsify.base import as_method
from evosparse.sparsify.fitness import Bench, accuracy
from evosparse.sparsify.genome import Recipe

SPARSITIES = (0.8, 0.9, 0.95, 0.98, 0.99)
SEEDS = 5
EVOLVED = "evolved"
FILE = PAPERS / "sparsifiers_table.jsonl"
TRAINING = TrainingSpec(learning_rate=3e-3, batch=50, schedule=ScheduleSpec(name="cosine"))


FAMILIES = {
    "chosen before training": ("snip", "grasp", "synflow", "ncg", "static", "random", "edge_popup"),
    "pruned after training, or in it": ("magnitude", "han", "lottery", "imp", "bimp", "gmp", "nn_relief"),
    "exchanged in training": ("set", "rigl", "rigl_restarted", "ctre_sim", "ctre_seq", "wasap", "wassp"),
    "whole units, and learnt masks": ("i_spasp", "bernoulli_units", "scl"),
}


@dataclass(frozen=True)
class Set:
    """One data set of the table.

    Args:
        data: which, and how it is split.
        epochs: of the last training.
    """

    data: DataSpec
    epochs: int


SETS: Mapping[str, Set] = {
    "mnist": Set(DataSpec(name="mnist", limit=6_000, validation=1_000), 10),
    "fashion_mnist": Set(DataSpec(name="fashion_mnist", limit=6_000, validation=1_000), 10),
    "madelon": Set(DataSpec(name="madelon", scale="standard"), 20),
    "pcmac": Set(DataSpec(name="pcmac"), 10),
}


def parameters(method: str, epochs: int) -> dict[str, object]:
    """Return what differs from a method's defaults."""
    if method == "lottery":
        return {"method": method, "round_epochs": max(1, epochs // 2)}
    return {"method": method}


def by_method(name: str, method: str, sparsity: float, seeds: Sequence[int]) -> list[dict]:
    """Train one method's networks, and return a row for each."""
    own = SETS[name]
    data = load(own.data)
    network = build(NetworkSpec(name="lenet300"), data.search.input_shape, data.search.classes)
    bench = Bench(data.search, network, TRAINING, HE, own.epochs)
    results = bench.sparsify([Recipe(as_method(parameters(method, own.epochs)), sparsity, seed) for seed in seeds], 0)
    return [
        {
            "seed": seed, "test": accuracy(network, result.state, data.test),
            "test_selected": accuracy(network, result.selected, data.test), "weights": result.measures["weights"],
            "epochs": result.measures["epochs"], "training_multiply_adds": result.measures["training_multiply_adds"],
            "evaluations": 0,
        }
        for seed, result in zip(seeds, results, strict=True)
    ]  # fmt: skip


def by_evolution(name: str, sparsity: float, seeds: Sequence[int]) -> list[dict]:
    """Evolve a mask, train it with each seed, and return a row for each."""
    own = SETS[name]
    search = masks.Genetic(
        population=20, sparsity=sparsity, epochs=2, distribution=Distribution(distribution="er", output_floor=0)
    )
    examination = masks.ExaminationSpec(epochs=own.epochs, seeds=len(seeds), baselines=())
    problem = masks.Problem(
        "lenet300", own.data, search, training=TRAINING, initialisation=HE, examination=examination
    )
    with tempfile.TemporaryDirectory() as folder, Campaign(
        problem, 0, Path(folder) / "run", evaluation=Evaluation(batch=20, timeout=3600)
    ) as campaign:
        [winner] = campaign.run(generations=8, workers=0)
        evaluations = campaign.store.evaluations()
    measured = winner.measures
    return [
        {
            "seed": seed, "test": test, "test_selected": chosen, "weights": measured["weights"].values[0], "epochs": own.epochs,
            "training_multiply_adds": 0.0, "evaluations": evaluations,
        }
        for seed, test, chosen in zip(seeds, measured["test_accuracy"].values, measured["test_accuracy_selected"].values, strict=True)
    ]  # fmt: skip


def run(names: Sequence[str], methods: Sequence[str], sparsities: Sequence[float], file: Path = FILE) -> Iterator[dict]:
    """Make what is missing, all seeds of a method and a sparsity together."""
    for name in names:
        for sparsity in sparsities:
            for method in methods:
                dense = method != EVOLVED and METHODS[method].dense
                wanted = 0.0 if dense else sparsity
                if any((row["data"], row["method"], row["sparsity"]) == (name, method, wanted) for row in stored(file)):
                    continue
                began = time.perf_counter()
                seeds = range(SEEDS)
                rows = by_evolution(name, wanted, seeds) if method == EVOLVED else by_method(name, method, wanted, seeds)
                seconds = round((time.perf_counter() - began) / SEEDS, 1)
                with file.open("a") as out:
                    for row in rows:
                        row = {"data": name, "method": method, "sparsity": wanted, **row, "seconds": seconds}
                        out.write(json.dumps(row) + "\n")
                        yield row


def stored(file: Path = FILE) -> list[dict]:
    """Return the rows that are there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def report(rows: Sequence[Mapping]) -> Iterator[str]:
    """Yield a table for each data set: a row for each method, best at the greatest sparsity first."""
    for name in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == name]
        levels = sorted({row["sparsity"] for row in own})
        yield f"**{name}**, test accuracy in per cent at the last epoch, {SEEDS} seeds, 95 % intervals"
        yield ""
        yield "| method | " + " | ".join("dense" if not level else f"{100 * level:g} %" for level in levels) + " | epochs, at most | evaluations of a search |"
        yield "|---" * (len(levels) + 3) + "|"
        cells = {
            (method, level): [row["test"] for row in own if (row["method"], row["sparsity"]) == (method, level)]
            for method in dict.fromkeys(row["method"] for row in own)
            for level in levels
        }
        methods = dict.fromkeys(method for method, _ in cells)
        for method in sorted(methods, key=lambda one: -mean(cells[one, levels[-1]] or [0])):
            shown = [percent(cells[method, level]) if cells[method, level] else "" for level in levels]
            mine = [row for row in own if row["method"] == method]
            cost = max(row["epochs"] for row in mine), max(row["evaluations"] for row in mine)
            yield f"| {method} | {' | '.join(shown)} | {cost[0]} | {cost[1] or ''} |"
        yield ""


def draw(rows: Sequence[Mapping], folder: Path = PAPERS) -> list[Path]:
    """Draw accuracy against density for each data set, a panel for each family; evolution and dense networks are in all.

    Black and white: within a panel no two methods share marker and line. The lowest points are left out.
    """
    from matplotlib.figure import Figure

    files = []
    for name in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == name]
        rest = tuple({row["method"] for row in own if row["sparsity"]} - {EVOLVED}.union(*FAMILIES.values()))
        panels = {title: [one for one in methods if any(row["method"] == one for row in own)] for title, methods in FAMILIES.items()}
        panels |= {"others": sorted(rest)} if rest else {}
        figure = Figure(figsize=(10, 4 * -(-len(panels) // 2)), layout="constrained")
        every = figure.subplots(-(-len(panels) // 2), 2, sharex=True, sharey=True, squeeze=False).flat
        dense = [100 * row["test"] for row in own if row["method"] == "dense"]
        for axes, (title, methods) in zip(every, panels.items(), strict=False):
            for place, method in enumerate([*methods, EVOLVED]):
                points = []
                for level in sorted({row["sparsity"] for row in own if row["method"] == method}):
                    found = interval([100 * row["test"] for row in own if (row["method"], row["sparsity"]) == (method, level)])
                    # Beside each other, so that intervals can be told apart.
                    points.append((100 * (1 - level) * 1.02 ** (place - len(methods) / 2), found.mean, found.half_width))
                if points:
                    look = {"color": "black", "linewidth": 2.5} if method == EVOLVED else {"color": (".0", ".45")[place % 2], "linewidth": 1}
                    marker, line = ("o", "-") if method == EVOLVED else ("s^Dvx*P"[place % 7], ("-", "--", ":")[place % 3])
                    axes.errorbar(*zip(*points, strict=True), marker=marker, linestyle=line, capsize=2, markersize=5, label=method, **look)
            if dense:
                axes.axhline(mean(dense), color="black", linewidth=0.8, label="dense", dashes=(8, 3))
            axes.set(xscale="log", title=title)
            axes.legend(loc="lower right", fontsize="small")
            densities = sorted({100 * (1 - row["sparsity"]) for row in own if row["sparsity"]})
            axes.set_xticks(densities, [f"{density:g}" for density in densities])
            axes.set_xticks([], minor=True)
        # What fails altogether would press the rest into a line; it is in the table.
        low, high = np.percentile([100 * row["test"] for row in own], [15, 100])
        axes.set_ylim(low - 0.2 * (high - low), high + 0.05 * (high - low))
        figure.supxlabel("weights that exist, %")
        figure.supylabel("test accuracy, %")
        figure.suptitle(name)
        files.append(folder / f"sparsifiers_{name}.png")
        figure.savefig(files[-1], dpi=110)
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or print the report and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--data", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--methods", nargs="+", choices=(*METHODS, EVOLVED), default=(*METHODS, EVOLVED))
    parser.add_argument("--sparsities", nargs="+", type=float, default=SPARSITIES)
    options = parser.parse_args(arguments)
    if options.command == "run":
        for row in run(options.data, options.methods, options.sparsities):
            print(json.dumps(row), flush=True)
    else:
        print("\n".join(report(stored())))
        draw(stored())


if __name__ == "__main__":
    main()
