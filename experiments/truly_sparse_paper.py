"""CTRE and truly sparse training beside their published figures: static, SET and CTRE on Madelon; SET on Fashion-MNIST.

Atashgahi et al. (arXiv 1903.07138); Curci et al. (arXiv 2102.01732). All seeds of a method are one cohort; every network is
one line of ``papers/truly_sparse.jsonl``, and what is there is not trained again.

    python experiments/truly_sparse_paper.py run      (--arms ct3_set ... and --seeds N or --epochs N for a part)
    python experiments/truly_sparse_paper.py report   (prints the table of the stored values)
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from evosparse.data import DataSpec, Test, Train, Validation, load  # noqa: E402
from evosparse.data.sources import find  # noqa: E402
from evosparse.engine.results import interval  # noqa: E402
from evosparse.nets import InitialisationSpec, TrainingSpec, multilayer_perceptron  # noqa: E402
from evosparse.sparsify import SET, CTREseq, CTREsim, Dense, Sparsifier, Static  # noqa: E402
from evosparse.sparsify.cohort import Cohort, Replicate  # noqa: E402

VALUES = Path(__file__).resolve().parent / "papers" / "truly_sparse.jsonl"
LAST = 10  # epochs that the published logs are averaged over


@dataclass(frozen=True)
class Setting:
    """What the rows of a part of the table have in common.

    Args:
        hidden: units of each hidden layer.
        epsilon: of the Erdos-Renyi masks: each layer has epsilon (n_in + n_out) weights.
        training: optimizer and loss.
        epochs: length of the training.
        mask_aware: whether initial weights are scaled by the connections that a mask leaves.
    """

    hidden: tuple[int, ...]
    epsilon: int
    training: TrainingSpec
    epochs: int
    mask_aware: bool


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Args:
        setting: key of `SETTINGS`.
        method: what trains.
        published: test accuracy in %, with its source.
    """

    setting: str
    method: Sparsifier
    published: str


_FASHION = TrainingSpec(
    loss="sigmoid_squared_error", optimizer="sgd", learning_rate=0.05, momentum=0.9, unscaled_decay=2e-4, batch=40, dropout=0.2
)
SETTINGS: Mapping[str, Setting] = {
    "madelon": Setting(
        (1000, 1000, 1000), 1,
        TrainingSpec(optimizer="sgd", learning_rate=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4, batch=100), 500, False,
    ),
    "fashion": Setting((1000, 1000, 1000), 13, _FASHION, 400, True),
    "fashion_small": Setting((1000, 1000, 1000), 13, _FASHION, 400, False),
}  # fmt: skip

ARMS: Mapping[str, Arm] = {
    "ct3_static": Arm("madelon", Static(), "50.0, 55.0"),
    "ct3_set": Arm("madelon", SET(fraction=0.2, exchange_last=True), "62.0, 58.2"),
    "ct3_ctre_sim": Arm("madelon", CTREsim(), "79.7"),
    "ct3_ctre_seq": Arm("madelon", CTREseq(), "88.7"),
    "se1_static": Arm("fashion", Static(), "80.42 ± .28"),
    "se1_set": Arm("fashion", SET(fraction=0.3), "82.53 ± .16"),
    "se1_static_small": Arm("fashion_small", Static(), "80.42 ± .28"),
    "se1_set_small": Arm("fashion_small", SET(fraction=0.3), "82.53 ± .16"),
    "se1_dense": Arm("fashion", Dense(), "81.90 ± .16"),
}


class Watched(Cohort):
    """A cohort whose test figures are written down after each epoch, for nobody who could choose by them.

    Attributes:
        test: the examples.
        tests: of each epoch, (networks,) accuracies.
        constant: whether all layers kept their numbers of weights, none twice, in all epochs.
    """

    test: Test

    def _choose(self) -> None:
        super()._choose()
        if not hasattr(self, "tests"):
            self.tests: list[np.ndarray] = []
            self.constant = True
            self.counts = [list(map(len, own)) for own in self.connections]
        now = self.connections
        unique = all((np.diff(layer) > 0).all() for own in now for layer in own)
        self.constant &= unique and [list(map(len, own)) for own in now] == self.counts
        self.tests.append(self.population.evaluate(self.test.x, self.test.y).accuracy)


def examples(name: str) -> tuple[Train, Validation, Test]:
    """Return the data of a setting, standardised by feature.

    Madelon: its 2,000 training examples without a tenth for validation, and its 600. Fashion-MNIST: the first 2,000
    training and the first 1,000 test examples; the next 1,000 training examples for validation, which decides nothing.
    """
    if name == "madelon":
        data = load(DataSpec(name="madelon", validation=0.1, scale="standard", split_seed=42))
        return data.search.train, data.search.validation, data.test
    raw = find(DataSpec(name="fashion_mnist"), None)
    parts = [(raw.train, slice(2000)), (raw.train, slice(2000, 3000)), (raw.test, slice(1000))]
    x = [np.asarray(part.x[rows], np.float32).reshape(-1, 784) / 255 for part, rows in parts]
    y = [np.asarray(part.y[rows], np.int64) for part, rows in parts]
    mean, deviation = x[0].mean(axis=0), x[0].std(axis=0)
    x = [np.ascontiguousarray((own - mean) / (deviation + 1e-4), np.float32) for own in x]
    return Train(x[0], y[0]), Validation(x[1], y[1]), Test(x[2], y[2])


def run(name: str, seeds: Sequence[int], epochs: int | None = None) -> list[dict[str, object]]:
    """Return a row for each network of an arm, all trained as one cohort.

    Args:
        name: key of `ARMS`.
        seeds: numbers of the networks.
        epochs: in place of the setting's.
    """
    began, arm = time.perf_counter(), ARMS[name]
    setting = SETTINGS[arm.setting]
    train, validation, test = examples(arm.setting)
    network = multilayer_perceptron(train.x.shape[1:], int(train.y.max()) + 1, setting.hidden)
    weights = sum(min(layer.size, setting.epsilon * sum(layer.shape)) for layer in network.layers)
    sparsity = 1 - weights / sum(layer.size for layer in network.layers)
    replicates = [Replicate(seed, sparsity) for seed in seeds]
    epochs = epochs or setting.epochs
    initialisation = InitialisationSpec(weights="he_uniform", mask_aware=setting.mask_aware)
    cohort = Watched(network, train, validation, replicates, setting.training, initialisation, epochs)
    cohort.test = test
    arm.method.sparsify(cohort)
    seconds = (time.perf_counter() - began) / len(seeds)
    tests, rows = np.array(cohort.tests), []
    for number, seed in enumerate(seeds):
        qualities, own = cohort.qualities(number), 100 * tests[:, number]
        rows.append(
            {
                "arm": name,
                "seed": seed,
                "epochs": epochs,
                "layers": cohort.counts[number],
                "constant": bool(cohort.constant),
                "kernel": cohort.population.kernel,
                "validation_selected": round(float(own[np.argmax(qualities)]), 2),
                "final": round(float(own[-1]), 2),
                "last": round(float(own[-LAST:].mean()), 3),
                "curve": [round(float(value), 1) for value in own[9::10]],
                "seconds": round(seconds, 1),
            }
        )
    return rows


def stored(file: Path) -> list[dict[str, object]]:
    """Return the rows that are there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def run_all(arms: Sequence[str], seeds: int, epochs: int | None, file: Path) -> Iterator[dict[str, object]]:
    """Train the networks that are missing, and store each arm as soon as it is there."""
    for name in arms:
        length = epochs or SETTINGS[ARMS[name].setting].epochs
        done = {row["seed"] for row in stored(file) if row["arm"] == name and row["epochs"] == length}
        missing = [seed for seed in range(seeds) if seed not in done]
        for row in run(name, missing, length) if missing else ():
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
            yield row


def report(file: Path) -> Iterator[str]:
    """Yield the lines of the table: published figures beside ours, then the differences of the targets."""
    yield "| row | epochs | seeds | published, % | at best validation | last 10 epochs | weights | always as many | s/seed |"
    yield "|---" * 9 + "|"
    rows = stored(file)
    for name, arm in ARMS.items():
        for length in sorted({row["epochs"] for row in rows if row["arm"] == name}):
            own = [row for row in rows if row["arm"] == name and row["epochs"] == length]
            yield (
                f"| {name} | {length} | {len(own)} | {arm.published} | {_mean(own, 'validation_selected')} "
                f"| {_mean(own, 'last')} | {sum(own[0]['layers']):,} | {'yes' if all(row['constant'] for row in own) else 'NO'} "
                f"| {np.mean([row['seconds'] for row in own]):.0f} |"
            )
    yield ""
    yield "| difference, same seeds | at best validation | last 10 epochs |"
    yield "|---" * 3 + "|"
    for one, other in (
        ("ct3_set", "ct3_static"), ("ct3_ctre_sim", "ct3_set"), ("ct3_ctre_seq", "ct3_set"), ("se1_set", "se1_static"),
        ("se1_set_small", "se1_static_small"), ("se1_set", "se1_dense"),
    ):  # fmt: skip
        length = SETTINGS[ARMS[one].setting].epochs
        by_seed = [{row["seed"]: row for row in rows if row["arm"] == name and row["epochs"] == length} for name in (one, other)]
        both = sorted(by_seed[0].keys() & by_seed[1].keys())
        if both:
            parts = [
                _mean([{key: by_seed[0][seed][key] - by_seed[1][seed][key]} for seed in both], key)
                for key in ("validation_selected", "last")
            ]
            yield f"| {one} - {other} ({len(both)} seeds) | {parts[0]} | {parts[1]} |"


def _mean(rows: Sequence[Mapping[str, float]], key: str) -> str:
    found = interval([float(row[key]) for row in rows])
    return f"{found.mean:.2f} ± {found.half_width:.2f}" if len(rows) > 1 else f"{found.mean:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=tuple(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="in place of the published lengths")
    parser.add_argument("--file", type=Path, default=VALUES, help="of the values")
    options = parser.parse_args(arguments)
    if options.command == "run":
        for row in run_all(options.arms, options.seeds, options.epochs, options.file):
            print(json.dumps(row), flush=True)
    else:
        print("\n".join(report(options.file)))


if __name__ == "__main__":
    main()
