"""Planted tickets: what pruning methods, edge-popup and evolution find where the right answer is known.

Fischer and Burkholz, "Plant 'n' Seek" (2022). Each network is one line of ``papers/planted.jsonl``; what is there is not
run again.

    python experiments/planted_paper.py run       (--arms, --tasks, --seeds N for a part; --minutes N to go on another day)
    python experiments/planted_paper.py report    (prints the targets and the tables of the stored values)
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from planted_report import DENSITIES, DEPTHS, METHODS, POPUPS, report  # noqa: E402

from evosparse import masks  # noqa: E402
from evosparse.data import DataSet, SearchData, Test, Train, Validation  # noqa: E402
from evosparse.engine.candidate import Candidate, Outcome, Status  # noqa: E402
from evosparse.engine.fitness import Resources  # noqa: E402
from evosparse.engine.search import drive  # noqa: E402
from evosparse.engine.seeds import SeedKey  # noqa: E402
from evosparse.masks import NSGA2, Genetic, KStarts  # noqa: E402
from evosparse.nets import NetworkSpec  # noqa: E402
from evosparse.nets.sparsity import Distribution  # noqa: E402
from evosparse.sparsify.planted import SHAPES, draw_data, draw_mother, make_ticket, mother_widths, plant  # noqa: E402
from evosparse.sparsify.planted.benchmark import Benchmark, Verdict, by_protocol  # noqa: E402
from evosparse.sparsify.planted.module import INITIALISATION  # noqa: E402
from evosparse.sparsify.planted.score import score_outputs  # noqa: E402

VALUES = Path(__file__).resolve().parent / "papers" / "planted.jsonl"
ARMS = ("tickets", "dense", "pruned", "popup", "evolved")
_SPREAD = Distribution(distribution="er", output_floor=0)
GENERATIONS = {"kstarts": 1, "genetic": 10, "nsga2": 10}

Row = dict[str, object]


def seeds_of(task: str, method: str, protocol: str, density: str) -> int:
    """Return how many seeds a cell of the table has: three, or what a target asks for."""
    if task == "circle" and protocol == "multishot" and density == "planted":
        return 10
    easy = method in ("magnitude", "synflow") and density in ("0.5", "0.1")
    collapse = method in ("random", "synflow") and density == "0.01" and protocol == "singleshot"
    return 5 if task == "circle" and (easy or collapse) else 3


def row(verdict: Verdict, **what: object) -> Row:
    """Return one network's line."""
    found = verdict.mask
    return what | {
        "strong": rounded(verdict.strong), "strong_undivided": rounded(verdict.strong_undivided),
        "weak": rounded(verdict.weak), "selected": rounded(verdict.selected),
        "precision": round(found.precision, 5), "recall": round(found.recall, 5),
        "recall_with_biases": round(found.recall_with_biases, 5), "kept": found.size_with_biases,
        "survivors": list(found.survivors), "collapsed": found.collapsed,
        "epochs": verdict.costs["epochs"], "training_multiply_adds": verdict.costs["training_multiply_adds"],
    }  # fmt: skip


def rounded(measures: Mapping[str, float]) -> Row:
    """Return measures with six digits that count."""
    return {name: float(f"{value:.6g}") for name, value in measures.items()}


def density_of(benchmark: Benchmark, label: str) -> float:
    """Return the density of a label; the planted one as the released code counts it, to compare like with like."""
    return benchmark.planted_density(published=True) if label == "planted" else float(label)


def tickets(task: str, seed: int) -> Iterator[Row]:
    """Yield how exact the planted ticket is at each depth and width, and how good it is on data."""
    for depth in DEPTHS:
        ticket, worst = make_ticket(task, depth), 0.0
        for width in (50, 100):
            planted = plant(draw_mother(mother_widths(task, depth, width), SeedKey(seed).child("exactness", width)), ticket)
            x = SeedKey(seed).child("points").rng().uniform(-1, 1, (1000, SHAPES[task][0]))
            worst = max(worst, float(np.abs(planted.forward(x) - ticket.forward(x)).max()))
        data = draw_data(task, SeedKey(seed).child("planted data"))
        outputs = planted.forward(data.test.x)
        clean, noisy = (score_outputs(task, outputs, targets, None) for targets in (data.test_clean, data.test.y))
        yield {
            "arm": "tickets", "task": task, "seed": seed, "depth": depth, "difference": worst, "size": ticket.size,
            "clean": rounded(clean), "noisy": rounded(noisy),
        }  # fmt: skip


def dense(task: str, seed: int) -> Iterator[Row]:
    """Yield the mother, trained whole."""
    [verdict] = Benchmark(task, seed=seed).run("dense", [1.0])
    yield row(verdict, arm="dense", task=task, seed=seed)


def pruned(task: str, seed: int, method: str, protocol: str, densities: Sequence[str]) -> Iterator[Row]:
    """Yield what a pruning method finds at each density."""
    benchmark = Benchmark(task, seed=seed)
    verdicts = benchmark.run(by_protocol(method, protocol), [density_of(benchmark, label) for label in densities])
    for label, verdict in zip(densities, verdicts, strict=True):
        yield row(verdict, arm="pruned", task=task, seed=seed, method=method, protocol=protocol, density=label)


def popup(task: str, seed: int, output: str, anneal: bool, densities: Sequence[str]) -> Iterator[Row]:
    """Yield what edge-popup finds at each density."""
    benchmark = Benchmark(task, seed=seed)
    method = {"method": "edge_popup", "output": output, "anneal": anneal}
    verdicts = benchmark.run(method, [density_of(benchmark, label) for label in densities])
    for label, verdict in zip(densities, verdicts, strict=True):
        yield row(verdict, arm="popup", task=task, seed=seed, output=output, anneal=anneal, density=label)


def evolved(task: str, seed: int, search: str, densities: Sequence[str]) -> Iterator[Row]:
    """Yield the masks that a search finds, with its costs; NSGA-II's one front is asked for every density.

    K-starts and the genetic algorithm are given each density; masks are judged by validation accuracy after an epoch.
    """
    benchmark = Benchmark(task, seed=seed)
    labels = {label: density_of(benchmark, label) for label in densities}
    if search == "nsga2":
        evaluations, candidates = evolve(benchmark, NSGA2(sparsity=(0.5, 0.995), distribution=_SPREAD), GENERATIONS[search])
        found = {label: (evaluations, best_within(candidates, labels[label])) for label in labels}
    else:
        found = {}
        for label, density in labels.items():
            common = {"sparsity": 1 - density, "distribution": _SPREAD}
            starts = KStarts(**common, judged_by="accuracy", train_during="masked")
            chosen = Genetic(**common) if search == "genetic" else starts
            evaluations, candidates = evolve(benchmark, chosen, GENERATIONS[search])
            found[label] = (evaluations, best_within(candidates, 1.0))
    for label, (evaluations, mask) in found.items():
        what = {
            "arm": "evolved", "task": task, "seed": seed, "search": search, "density": label, "evaluations": evaluations,
            "epochs_each": 1, "found": mask is not None,
        }  # fmt: skip
        yield what if mask is None else row(benchmark.judge([list(mask.connections)])[0], **what)


def evolve(benchmark: Benchmark, search: Genetic | KStarts | NSGA2, generations: int) -> tuple[int, list[Candidate]]:
    """Return the evaluations that a search has spent, and every candidate, judged."""
    data, (inputs, outputs) = benchmark.data, SHAPES[benchmark.task]
    search_data = SearchData(
        Train(data.train.x, data.train.y), Validation(data.validation.x, data.validation.y), outputs, (inputs,)
    )
    names = tuple(map(str, range(outputs)))
    problem = masks.Problem(
        network=NetworkSpec(
            module="evosparse.sparsify.planted.module:planted_module",
            parameters={"task": benchmark.task, "depth": benchmark.depth, "width": benchmark.width},
        ),
        data=DataSet(benchmark.task, search_data, Test(data.test.x, data.test.y), names),
        search=search,
        training=benchmark.training,
        initialisation=INITIALISATION,
    )
    fitness = problem.stage.fitness
    fitness.prepare(Resources(problem.bench))
    judged: list[Candidate] = []
    for number, candidates in enumerate(drive(problem.search, benchmark.seed)):
        keys = [SeedKey(benchmark.seed).child("evaluate", number, index) for index in range(len(candidates))]
        measures = fitness.evaluate([candidate.genome for candidate in candidates], keys)
        for candidate, measured in zip(candidates, measures, strict=True):
            candidate.judge(Outcome(Status.OK, measured), fitness.objectives)
        judged += candidates
        if number + 1 == generations:
            break
    return len(judged), judged


def best_within(candidates: Sequence[Candidate], density: float) -> object | None:
    """Return the mask of best validation accuracy that has at most that density, of equals the first; None if none has."""
    small = [one for one in candidates if one.genome.count <= math.ceil(density * one.genome.size)]
    return max(small, key=lambda one: one.outcome.measures["accuracy"]).genome if small else None


def jobs(arms: Sequence[str], tasks: Sequence[str], seeds: int | None, rows: Sequence[Row]) -> Iterator[tuple]:
    """Yield function and arguments of what is missing, what targets ask for first."""
    done = {key_of(one) for one in rows}

    def missing(arm: str, task: str, seed: int, *what: object, wanted: Sequence[str] = ("",)) -> list[str]:
        return [label for label in wanted if (arm, task, seed, *what, label) not in done]

    def count(wanted: int) -> range:
        return range(wanted if seeds is None else min(seeds, wanted))

    for task in tasks if "tickets" in arms else ():
        yield from ((tickets, task, seed) for seed in count(20) if missing("tickets", task, seed, wanted=[str(DEPTHS[-1])]))
    for task in tasks if "dense" in arms else ():
        yield from ((dense, task, seed) for seed in count(5) if missing("dense", task, seed))
    for protocol in ("singleshot", "multishot"):
        for task in tasks if "pruned" in arms else ():
            # By densities that have seeds in common, one table after the other: what is left is the end of the list.
            for seed in count(10):
                for method in METHODS:
                    wanted = [label for label in DENSITIES if seed < seeds_of(task, method, protocol, label)]
                    left = missing("pruned", task, seed, method, protocol, wanted=wanted)
                    if left:
                        yield (pruned, task, seed, method, protocol, left)
        for task in tasks if "popup" in arms and protocol == "singleshot" else ():
            for output, anneal in POPUPS:
                for seed in count(5):
                    wanted = [label for label in DENSITIES if seed < 3 or label == "0.5"]
                    left = missing("popup", task, seed, output, anneal, wanted=wanted)
                    if left:
                        yield (popup, task, seed, output, anneal, left)
    for task in [task for task in tasks if task == "circle"] if "evolved" in arms else ():
        for seed in count(3):
            for search in GENERATIONS:
                left = missing("evolved", task, seed, search, wanted=DENSITIES[:3])
                if left:
                    yield (evolved, task, seed, search, left)


def key_of(one: Row) -> tuple:
    """Return what tells a line from the others."""
    names = {"pruned": ("method", "protocol"), "popup": ("output", "anneal"), "evolved": ("search",)}.get(one["arm"], ())
    label = one.get("density", str(one["depth"]) if "depth" in one else "")
    return (one["arm"], one["task"], one["seed"], *(one[name] for name in names), label)


def stored(file: Path) -> list[Row]:
    """Return the lines that are there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def run_all(arms: Sequence[str], tasks: Sequence[str], seeds: int | None, minutes: float, file: Path) -> Iterator[Row]:
    """Run what is missing, and store each job's networks together as soon as they are there."""
    began = time.monotonic()
    for function, *arguments in list(jobs(arms, tasks, seeds, stored(file))):
        if time.monotonic() - began > 60 * minutes:
            return
        started = time.perf_counter()
        rows = list(function(*arguments))
        seconds = round((time.perf_counter() - started) / max(1, len(rows)), 2)
        with file.open("a") as out:
            out.write("".join(json.dumps(one | {"seconds": seconds}) + "\n" for one in rows))
        yield from rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--tasks", nargs="+", choices=tuple(SHAPES), default=tuple(SHAPES))
    parser.add_argument("--seeds", type=int, help="at most; by default as many as the targets ask for")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing new after so many")
    parser.add_argument("--file", type=Path, default=VALUES, help="of the values")
    options = parser.parse_args(arguments)
    if options.command == "run":
        for one in run_all(options.arms, options.tasks, options.seeds, options.minutes, options.file):
            print(json.dumps(one), flush=True)
    else:
        print("\n".join(report(stored(options.file))))


if __name__ == "__main__":
    main()
