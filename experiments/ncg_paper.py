"""Learnt connections of Boltzmann machines (NCG): bars and stripes, where likelihoods are exact, and MNIST with labels.

de Oliveira and Figueiredo, "Optimizing Connectivity through Network Gradients for Restricted Boltzmann Machines" (2025).
Each machine is one line of ``papers/ncg.jsonl``; what is there is not run again.

    python experiments/ncg_paper.py run       (--arms and --seeds N for a part)
    python experiments/ncg_paper.py report    (prints the targets and the tables of the stored values)
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from ncg_report import BAS_EPOCHS, MNIST_EPOCHS, STARTS, choose, report  # noqa: E402

from evosparse.data import DataSpec, load  # noqa: E402
from evosparse.engine.seeds import SeedKey  # noqa: E402
from evosparse.sparsify.rbm import (  # noqa: E402
    NCG, RBM, AnnealingSpec, Connectivity, Dense, Random, RBMSpec, bars_and_stripes, binarise, save_grid,
)  # fmt: skip

PAPERS = Path(__file__).resolve().parent / "papers"
VALUES = PAPERS / "ncg.jsonl"
SEEDS = {"bas": 10, "bas_longer": 10, "mnist": 5, "mnist_sparse": 5, "mnist_dense": 3, "mnist_longer": 5}
# A tenth of the published steps in each piece; half of the chains where machines are many.
SHORT = AnnealingSpec(pieces=((0.0, 0.5, 1e-2), (0.5, 0.9, 1e-3), (0.9, 1.0, 1e-4)))
SHORT_OF_FEWER = AnnealingSpec(pieces=SHORT.pieces, chains=50)
BINARISATION = SeedKey(0).child("binarised mnist")

Row = dict[str, object]


def bas(seed: int, rows: Sequence[Row], quick: int | None = None) -> Iterator[Row]:
    """Yield the page's rows on bars and stripes of one seed: exact likelihoods, and the published annealing beside them.

    Args:
        seed: of the machines.
        rows: what is there.
        quick: epochs in place of the page's, for a look; annealing is then short as well.
    """
    for steps, epochs in BAS_EPOCHS.items():
        for name, density in STARTS:
            yield from _bas("bas", name, density, steps, quick or epochs, seed, rows, AnnealingSpec() if quick is None else SHORT)


def bas_longer(seed: int, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield NCG from density .1, which has the longest way to go, for twice the page's epochs."""
    for steps, epochs in BAS_EPOCHS.items():
        yield from _bas("bas_longer", "ncg", 0.1, steps, 2 * epochs, seed, rows, AnnealingSpec())


def mnist(seed: int, rows: Sequence[Row], limit: int | None = None) -> Iterator[Row]:
    """Yield NCG from density .5 and a random machine of the density that it ended with."""
    yield from _pair("mnist", 0.5, seed, rows, limit)


def mnist_sparse(seed: int, rows: Sequence[Row], limit: int | None = None) -> Iterator[Row]:
    """Yield NCG from density .1 and a random machine of the density that it ended with."""
    yield from _pair("mnist_sparse", 0.1, seed, rows, limit)


def mnist_dense(seed: int, rows: Sequence[Row], limit: int | None = None) -> Iterator[Row]:
    """Yield the dense machine."""
    yield from _mnist("mnist_dense", "dense", Dense(), 1.0, seed, rows, limit)


def mnist_longer(seed: int, rows: Sequence[Row], limit: int | None = None) -> Iterator[Row]:
    """Yield what `mnist` and `mnist_dense` yield, after more epochs."""
    yield from _pair("mnist_longer", 0.5, seed, rows, limit)
    yield from _mnist("mnist_longer", "dense", Dense(), 1.0, seed, rows, limit)


ARMS = {
    "bas": bas, "bas_longer": bas_longer, "mnist": mnist, "mnist_sparse": mnist_sparse, "mnist_dense": mnist_dense,
    "mnist_longer": mnist_longer,
}  # fmt: skip


def _bas(
    arm: str, name: str, density: float, steps: int, epochs: int, seed: int, rows: Sequence[Row], annealing: AnnealingSpec
) -> Iterator[Row]:
    """Yield one machine's line, unless it is there."""
    what = {"arm": arm, "seed": seed, "steps": steps, "connectivity": name, "density": density}
    if choose(rows, **what):
        return
    began, x = time.perf_counter(), bars_and_stripes(4)
    connectivity = Dense() if name == "dense" else NCG(density=density)
    spec = RBMSpec(hidden=16, connectivity=connectivity, steps=steps, batch=5, learning_rate=0.01)
    machine = RBM(16, spec, key=SeedKey(seed).child("bas", steps))
    first = machine.density
    machine.fit(x, epochs=epochs)
    annealed = machine.annealed_log_partition(SeedKey(seed).child("annealing", steps), annealing)
    yield what | {
        "epochs": machine.epochs, "first_density": round(first, 5), "final_density": round(machine.density, 5),
        "nll": round(machine.average_nll(x), 5),
        "nll_annealed": round(machine.average_nll(x, log_partition=annealed.log_partition), 5),
        "annealing_error": round(annealed.standard_error, 5), "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def _pair(arm: str, start: float, seed: int, rows: Sequence[Row], limit: int | None) -> Iterator[Row]:
    found = choose(rows, arm=arm, seed=seed, connectivity="ncg")
    for row in _mnist(arm, "ncg", NCG(density=start), start, seed, rows, limit):
        found = [row]
        yield row
    density = found[0]["final_density"]
    yield from _mnist(arm, "random", Random(density=density), density, seed, rows, limit)


def _mnist(
    arm: str, name: str, connectivity: Connectivity, density: float, seed: int, rows: Sequence[Row], limit: int | None
) -> Iterator[Row]:
    """Yield one machine's line, unless it is there; the test images are looked at once, at the end."""
    what = {"arm": arm, "seed": seed, "connectivity": name}
    if choose(rows, **what):
        return
    began = time.process_time()
    x, y, x_validation, y_validation, x_test, y_test = _images(limit)
    machine = RBM(x.shape[1], RBMSpec(connectivity=connectivity), 10, SeedKey(seed).child("mnist"))
    curve, first = [], machine.density

    def look(machine: RBM) -> None:
        curve.append(float((machine.classify(x_validation) == y_validation).mean()))

    machine.fit(x, y, epochs=MNIST_EPOCHS[arm] if limit is None else 1, after_epoch=look)
    seconds = time.process_time() - began
    shares = np.concatenate([x.mean(axis=0), np.bincount(y, minlength=10) / len(y)]).clip(1e-3, 1 - 1e-3)
    short = SHORT if arm == "mnist_longer" else SHORT_OF_FEWER
    annealed = machine.annealed_log_partition(SeedKey(seed).child("annealing"), short, np.log(shares / (1 - shares)))
    if arm == "mnist_longer" and name == "ncg" and seed == 0 and limit is None:
        drawn = machine.sample(100, 1000, SeedKey(seed).child("pictures"), start=x[:100])
        save_grid(drawn[:, : x.shape[1]], (28, 28), PAPERS / "ncg_samples.png", magnify=1)
    yield what | {
        "density": density, "first_density": round(first, 5), "final_density": round(machine.density, 5),
        "epochs": machine.epochs, "images": len(x), "validation": curve,
        "test": float((machine.classify(x_test) == y_test).mean()),
        "nll_annealed": round(machine.average_nll(x_test, y_test, log_partition=annealed.log_partition), 3),
        "annealing_error": round(annealed.standard_error, 3), "training_seconds": round(seconds, 1),
        "seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


@cache
def _images(limit: int | None) -> tuple[np.ndarray, ...]:
    """Return binarised pixels and classes of train, validation and test."""
    data = load(DataSpec(name="mnist", validation=5000 if limit is None else 0.2, limit=limit))
    parts = []
    for part in (data.search.train, data.search.validation, data.test):
        x = part.x.reshape(len(part.x), -1)
        parts += [binarise(x, BINARISATION.child(type(part).__name__)), part.y]
    return tuple(parts)


def read(file: Path = VALUES) -> list[Row]:
    """Return the runs that are there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or print the report."""
    parser = argparse.ArgumentParser(description="Learnt connections of Boltzmann machines.")
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=tuple(ARMS))
    parser.add_argument("--seeds", type=int, help="in place of 5 (bas: 10, mnist_dense: 3)")
    parser.add_argument("--file", type=Path, default=VALUES)
    options = parser.parse_args(arguments)
    if options.command == "report":
        print("\n".join(report(read(options.file))))
        return
    for arm in options.arms:
        for seed in range(options.seeds or SEEDS[arm]):
            for row in ARMS[arm](seed, read(options.file)):
                with options.file.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
