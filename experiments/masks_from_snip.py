"""Evolved masks that began as SNIP's, beside SNIP, at equal numbers of weights: LeNet-300-100 on MNIST at 98 % and 99 %.

For each seed a genetic algorithm begins with SNIP's masks of different minibatches, all at the same initial weights, and judges
masks by the validation loss after a short training. Its winner is then trained to the end exactly as SNIP's own mask is: the
same initial weights, epochs and order of examples. Every pair of a sparsity and a seed is one line of
``papers/masks_from_snip.jsonl``; what is there is not run again.

    python experiments/masks_from_snip.py run              (--sparsities 0.98, --seeds 5 and others for a part)
    python experiments/masks_from_snip.py report           (prints the tables of the stored values)
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from evosparse import masks  # noqa: E402
from evosparse.data import DataSet, DataSpec, load  # noqa: E402
from evosparse.engine.candidate import Candidate, Outcome, Status  # noqa: E402
from evosparse.engine.fitness import Resources  # noqa: E402
from evosparse.engine.results import interval  # noqa: E402
from evosparse.engine.search import Search, drive  # noqa: E402
from evosparse.engine.seeds import SeedKey  # noqa: E402
from evosparse.nets import InitialisationSpec, TrainingSpec  # noqa: E402

VALUES = Path(__file__).resolve().parent / "papers" / "masks_from_snip.jsonl"
EXACT = masks.Distribution(distribution="er", output_floor=0.0)  # of all the ways to ask for a total: exact at every sparsity
TRAINING = TrainingSpec(optimizer="adam", learning_rate=1.2e-3, batch=60)
HASTY = {"learning_rate": 4e-3, "batch": 64}  # of the short training: more and larger steps, for few epochs
EXAMPLES = 128  # of SNIP's minibatch
REFERENCE, EVOLVED = "SNIP", "evolved from SNIP"


class ShortTraining(masks.TrainedFitness):
    """Validation loss after a short training on the first training examples.

    Args:
        examples: how many.
        epochs: how often they are seen.
    """

    objectives = {"loss": "min"}

    def __init__(self, examples: int, epochs: int) -> None:
        super().__init__(epochs)
        self.examples = examples

    def evaluate(self, genomes: Sequence[masks.Mask], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float]]:
        """Train all at once and measure each."""
        hasty = replace(self.bench, training=self.bench.training.model_copy(update=HASTY))
        population = hasty.population(genomes, [hasty.seeds(key) for key in seeds], self.epochs)
        population.train(hasty.train.x[: self.examples], hasty.train.y[: self.examples], self.epochs)
        return self.measure(population, genomes)


def problem(data: DataSet, search: object, fitness: ShortTraining) -> masks.Problem:
    """Return a search over masks of LeNet-300-100, with SNIP's own initial weights."""
    return masks.Problem(
        "lenet300", data, search, fitness, training=TRAINING, initialisation=InitialisationSpec(mask_aware=False)
    )


def go(search: Search, fitness: ShortTraining, seed: int, generations: int) -> list[list[Candidate]]:
    """Run a search and return all its generations, judged."""
    found = []
    for candidates in drive(search, seed):
        results = fitness.evaluate([one.genome for one in candidates], [SeedKey(seed)] * len(candidates))
        for candidate, measures in zip(candidates, results, strict=True):
            candidate.judge(Outcome(Status.OK, measures), fitness.objectives)
        found.append(candidates)
        if len(found) == generations:
            return found
    return found


def best(candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate of the lowest loss."""
    return min(candidates, key=lambda one: one.outcome.measures["loss"])


def compare(data: DataSet, sparsity: float, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Return the figures of all arms for one seed.

    Args:
        data: MNIST.
        sparsity: of all masks.
        seed: of initial weights, order, SNIP's minibatches and evolution.
        options: of the command line.
    """
    began = time.perf_counter()
    start = masks.StartSpec(methods=({"method": "snip", "examples": EXAMPLES},))
    mutation = masks.Mutation(rate=options.rate)
    genetic = masks.Genetic(
        sparsity=sparsity, distribution=EXACT, population=options.population, k=2 * options.population, elites=2, start=start,
        mutation=mutation,
    )
    fitness = ShortTraining(options.examples, options.short)
    made = problem(data, genetic, fitness)
    fitness.prepare(Resources(made.bench, "cpu"))
    generations = go(made.search, fitness, seed, options.generations)
    evaluations = sum(map(len, generations))
    searched = time.perf_counter() - began
    snip = generations[0][0].genome
    starts = masks.KStarts(
        sparsity=sparsity, distribution=EXACT, k=evaluations, judged_by="accuracy", train_during="masked", start=start
    )
    [drawn] = go(problem(data, starts, fitness).search, fitness, seed, 1)
    whole = masks.StartSpec(methods=({"method": "snip", "examples": evaluations * EXAMPLES},))
    averaged = problem(data, genetic.model_copy(update={"start": whole, "population": 3, "k": 3}), fitness).search
    chosen = {
        REFERENCE: snip,
        EVOLVED: best([one for generation in generations for one in generation]).genome,
        "SNIP, best of k": best(drawn).genome,
        "SNIP of k minibatches together": averaged.ask(SeedKey(seed).child("ask", 0))[0].genome,
    }
    losses = [min(one.outcome.measures["loss"] for one in generation) for generation in generations]
    return {
        "sparsity": sparsity, "seed": seed, "weights": snip.count, "evaluations": evaluations,
        "search_epochs": evaluations * options.short * options.examples / len(data.search.train.x),
        "search_seconds": round(searched, 1), "settings": settings(options),
        "loss": {"first SNIP": generations[0][0].outcome.measures["loss"], "best of k": best(drawn).outcome.measures["loss"]},
        "losses": [round(loss, 5) for loss in losses],
        "arms": train(made, chosen, seed, options.epochs),
        "counts": {name: list(mask.counts) for name, mask in chosen.items()},
        "shared_with_snip": {name: shared(mask, snip) for name, mask in chosen.items()},
    }  # fmt: skip


def settings(options: argparse.Namespace) -> dict[str, object]:
    """Return what decides the figures beside sparsity and seed."""
    names = ("population", "generations", "rate", "examples", "short", "epochs")
    return {name: getattr(options, name) for name in names}


def shared(mask: masks.Mask, other: masks.Mask) -> float:
    """Return which share of a mask's connections another of as many has too."""
    pairs = zip(mask.layers, other.layers, strict=True)
    return sum(len(np.intersect1d(one.indices, two.indices)) for one, two in pairs) / mask.count


def train(made: masks.Problem, chosen: Mapping[str, masks.Mask], seed: int, epochs: int) -> dict[str, dict[str, float]]:
    """Train the masks of all arms to the end, as one population with equal seeds.

    Returns:
        For each arm the test accuracy of the last epoch, and of the epoch that is best on the validation examples.
    """
    bench, test, names = made.bench, made.examination.data.test, list(chosen)
    population = bench.population(list(chosen.values()), [bench.seeds(SeedKey(seed))] * len(names), epochs)
    top, selected = np.full(len(names), -np.inf), np.zeros(len(names))
    for _ in range(epochs):
        population.train(bench.train.x, bench.train.y, 1)
        validation = population.accuracy(bench.validation.x, bench.validation.y)
        final = population.accuracy(test.x, test.y)
        selected = np.where(validation > top, final, selected)
        top = np.maximum(top, validation)
    return {
        name: {"test": float(final[place]), "test_selected": float(selected[place]), "validation": float(validation[place])}
        for place, name in enumerate(names)
    }


def stored(file: Path) -> list[dict]:
    """Return the rows that are there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def report(rows: Sequence[Mapping]) -> Iterator[str]:
    """Yield the lines of the page's tables: each arm beside SNIP, paired over the seeds."""
    for sparsity in dict.fromkeys(row["sparsity"] for row in rows):
        own = sorted((row for row in rows if row["sparsity"] == sparsity), key=lambda row: row["seed"])
        first = own[0]
        mean = {key: np.mean([row[key] for row in own]) for key in ("search_epochs", "search_seconds")}
        yield (
            f"{100 * sparsity:g} % sparsity, {first['weights']:,} weights, {len(own)} seeds; search: {first['evaluations']} evaluations, "
            f"{mean['search_epochs']:.1f} epochs' worth of training, {mean['search_seconds']:.0f} s; final training: "
            f"{first['settings']['epochs']} epochs"
        )
        yield ""
        yield "| arm | test accuracy, % | minus SNIP, points | at the best validation epoch | minus SNIP | seeds better |"
        yield "|---" * 6 + "|"
        for arm in first["arms"]:
            cells = [arm]
            for measure in ("test", "test_selected"):
                values = [100 * row["arms"][arm][measure] for row in own]
                gains = [value - 100 * row["arms"][REFERENCE][measure] for value, row in zip(values, own, strict=True)]
                cells += [_cell(values), _cell(gains, "+") if arm != REFERENCE else ""]
            better = sum(row["arms"][arm]["test"] > row["arms"][REFERENCE]["test"] for row in own)
            yield f"| {' | '.join(cells)} | {f'{better} of {len(own)}' if arm != REFERENCE else ''} |"
        yield ""


def _cell(values: Sequence[float], sign: str = "") -> str:
    found = interval(values)
    return f"{found.mean:{sign}.2f} ± {found.half_width:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.98, 0.99])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--population", type=int, default=12, help="generation zero has twice as many")
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.005, help="of the mutation, which adapts")
    parser.add_argument("--examples", type=int, default=20000, help="of the short training")
    parser.add_argument("--short", type=int, default=1, help="epochs of the short training")
    parser.add_argument("--epochs", type=int, default=10, help="of the final training")
    parser.add_argument("--file", type=Path, default=VALUES, help="of the values")
    options = parser.parse_args(arguments)
    if options.command == "report":
        print("\n".join(report(stored(options.file))))
        return
    done = {(row["sparsity"], row["seed"]) for row in stored(options.file)}
    data = load(DataSpec(name="mnist", validation=5000))
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for seed, sparsity in ((seed, sparsity) for seed in seeds for sparsity in options.sparsities):
        if (sparsity, seed) not in done:
            row = compare(data, sparsity, seed, options)
            with options.file.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
