"""The comparison of Lapid and Sipper (2022): five ways to find activation functions, and cooperative coevolution, at equal budgets.

For each data set and seed every method searches anew; its winner is trained from scratch on train and validation examples
and tested once, several times over. All methods of a seed share the seeds of their networks. A search is a campaign in its
own run directory: the script goes on where it was stopped.

    python experiments/activations_paper.py run --seeds 10 --processes 2
    python experiments/activations_paper.py report      (writes table, tests and pictures from the stored values)
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy import stats

from evosparse import Campaign, Evaluation, activations
from evosparse.activations.figures import draw_curves, draw_progress
from evosparse.activations.genome import Triple
from evosparse.activations.methods import AnyMethod
from evosparse.data import DataSet, DataSpec, load
from evosparse.engine.results import interval
from evosparse.engine.store import Store
from evosparse.nets import NetworkSpec, TrainingSpec

FOLDER = Path(__file__).resolve().parent / "papers"
METHODS: Mapping[str, type] = {
    "standard": activations.Standard,
    "random": activations.Random,
    "single": activations.Single,
    "triple": activations.OneForTriple,
    "coevolution": activations.Coevolution,
    "cooperative": activations.Cooperative,
}
ROUNDS = 10_000  # of a permutation test with too many permutations to go through


@dataclass(frozen=True)
class Setting:
    """What is trained on what: a tenth of the images is a batch, as published."""

    data: DataSpec
    network: str
    n: int
    epochs: int
    retrainings: int
    seeds: int

    @property
    def batch(self) -> int:
        """A tenth of train and validation examples together."""
        return self.data.limit // 10


def _images(name: str, limit: int, resize: int | None = None) -> DataSpec:
    return DataSpec(name=name, limit=limit, validation=0.2, scale="standard", resize=resize)


SETTINGS: Mapping[str, Setting] = {
    "mnist": Setting(_images("mnist", 24_000), "fcn", n=20, epochs=30, retrainings=3, seeds=10),
    "fashion_mnist": Setting(_images("fashion_mnist", 24_000), "fcn", n=20, epochs=30, retrainings=3, seeds=10),
    "usps": Setting(_images("usps", 6_000, resize=28), "fcn", n=20, epochs=30, retrainings=3, seeds=10),
    # One evaluation of the CNN costs as much as ten of the FCN: fewer images, fewer generations.
    "usps_cnn": Setting(_images("usps", 600, resize=28), "cnn", n=4, epochs=10, retrainings=2, seeds=5),
}


@dataclass(frozen=True)
class Task:
    """One search with its final examination."""

    setting: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its run directory."""
        return f"{self.setting}-{self.method}-{self.seed}"


def tasks(settings: Mapping[str, Setting], seeds: int) -> list[Task]:
    """Return the tasks seed by seed, so that whenever the script is stopped all methods have had the same seeds."""
    return [
        Task(name, method, seed)
        for seed in range(seeds)
        for name, setting in settings.items()
        for method in METHODS
        if seed < setting.seeds
    ]


@lru_cache
def _data(spec: DataSpec) -> DataSet:
    return load(spec)


def problem_of(setting: Setting, method: str) -> activations.Problem:
    """Return the problem of one method."""
    search: AnyMethod = METHODS[method](n=setting.n)
    return activations.Problem(
        NetworkSpec(name=setting.network), _data(setting.data), search,
        training=TrainingSpec(optimizer="adam", learning_rate=0.01, batch=setting.batch),
        examination=activations.ExaminationSpec(
            epochs=setting.epochs, seeds=setting.retrainings, baselines=(), published_trace=True
        ),
    )  # fmt: skip


def run(task: Task, runs: Path, settings: Mapping[str, Setting] = SETTINGS) -> dict[str, object]:
    """Run a task, or go on with it, and return its row.

    Args:
        task: which.
        runs: folder of the run directories.
        settings: by name.
    """
    problem, folder = problem_of(settings[task.setting], task.method), runs / task.name
    start = time.perf_counter()
    if folder.exists():
        campaign = Campaign.resume(folder, problem=problem)
    else:
        campaign = Campaign(problem, task.seed, folder, name=task.name, evaluation=Evaluation(batch=4, timeout=3600, workers=0))
    with campaign:
        (arm,) = campaign.run(workers=0)
        winner = campaign.hall_of_fame[0]
        row = {
            "setting": task.setting,
            "method": task.method,
            "seed": task.seed,
            "proposed": sum(campaign.logbook.select("candidates")),
            "evaluated": campaign.store.evaluations(),
            "failed": sum(campaign.logbook.select("failed")),
            "search_seconds": round(campaign.store.seconds(), 1),
            "fitness": winner.outcome.measures["accuracy"],
            "functions": {role: str(own.expression) for role, own in zip(winner.genome.roles, winner.genome.genes)},
        }
    row["diverged_retrainings"] = arm.failed
    row |= {name: list(values.values) for name, values in arm.measures.items()}
    return row | {"seconds": round(time.perf_counter() - start, 1)}


def value(row: Mapping[str, object], measure: str) -> float:
    """Return a measure of a row, in percent, the mean over its retrainings; NaN where none of them could be measured."""
    return 100 * float(np.mean(row.get(measure, np.nan)))


def by_method(rows: Sequence[Mapping[str, object]], setting: str, measure: str) -> dict[str, np.ndarray]:
    """Return each method's values, (seeds,) in the order of the seeds that all methods have had."""
    own = [row for row in rows if row["setting"] == setting]
    found = {(row["method"], row["seed"]): value(row, measure) for row in own}
    methods = [method for method in METHODS if any(method == name for name, _ in found)]
    common = [seed for seed in sorted({row["seed"] for row in own}) if all((method, seed) in found for method in methods)]
    return {method: np.array([found[method, seed] for seed in common]) for method in methods}


def permutation_test(first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p-value of the difference of medians, exchanging the two values of each seed.

    Args:
        first, second: (seeds,) values with equal seeds.
    """

    def difference(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.median(one, axis=axis) - np.median(other, axis=axis)

    tested = stats.permutation_test(
        (first, second), difference, permutation_type="samples", n_resamples=ROUNDS, vectorized=True, rng=0
    )
    return float(tested.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979)."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


def table(rows: Sequence[Mapping[str, object]], setting: str) -> Iterator[str]:
    """Yield the Markdown table of one data set: percent, mean and 95 % interval over the seeds."""
    measures = {
        "test_accuracy": "test, last epoch", "test_accuracy_selected": "test, epoch by held-out images",
        "test_accuracy_best": "test, best epoch (optimistic)", "fitness": "best fitness",
    }  # fmt: skip
    columns = {measure: by_method(rows, setting, measure) for measure in measures}
    seeds = len(next(iter(columns["test_accuracy"].values())))
    yield f"| {setting}, {seeds} seeds | {' | '.join(measures.values())} | evaluations | minus standard |"
    yield "|---" * (len(measures) + 3) + "|"
    for method in columns["test_accuracy"]:
        cells = [_cell(columns[measure][method]) for measure in measures]
        evaluated = {row["proposed"] for row in rows if (row["setting"], row["method"]) == (setting, method)}
        gain = columns["test_accuracy_selected"][method] - columns["test_accuracy_selected"]["standard"]
        gains = "" if method == "standard" else _cell(gain, sign=True)
        yield f"| {method} | {' | '.join(cells)} | {'/'.join(map(str, sorted(evaluated)))} | {gains} |"


def tests(rows: Sequence[Mapping[str, object]], setting: str, measure: str = "test_accuracy_selected") -> Iterator[str]:
    """Yield a Markdown table of all pairs: difference of means with its interval, permutation test, Holm's correction."""
    values = by_method(rows, setting, measure)
    if min(map(len, values.values())) < 2:
        return  # a single seed tells nothing of chance
    pairs = list(combinations(values, 2))
    plain = [permutation_test(values[first], values[second]) for first, second in pairs]
    yield f"| {setting}: pair | difference of means | p | p, corrected for {len(pairs)} pairs |"
    yield "|---|---|---|---|"
    for (first, second), p, corrected in zip(pairs, plain, holm(plain), strict=True):
        yield f"| {first} - {second} | {_cell(values[first] - values[second], sign=True)} | {p:.3f} | {corrected:.3f} |"


def targets(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the targets of the paper's page that these values decide: AF3 and AF6, on MNIST."""
    yield "| target | expected | ours | seeds | holds |"
    yield "|---|---|---|---|---|"
    selected, best, fitness = (
        by_method(rows, "mnist", measure) for measure in ("test_accuracy_selected", "test_accuracy_best", "fitness")
    )
    for name, values, expected in (("epoch by held-out images", selected, 94.0), ("best test epoch", best, 94.3)):
        mean = values["standard"].mean()
        holds = "yes" if abs(mean - expected) <= 0.6 else "no"
        yield f"| AF3, {name} | {expected:.1f} ± 0.6 | {mean:.2f} | {len(values['standard'])} | {holds} |"
    mean = fitness["standard"].mean()
    seeds = len(fitness["standard"])
    yield f"| AF3, fitness of three epochs | 45 to 65 | {mean:.2f} | {seeds} | {'yes' if 45 <= mean <= 65 else 'no'} |"
    gain = selected["coevolution"] - selected["standard"]
    holds = "yes" if gain.mean() >= 0.5 else "no"
    yield f"| AF6, coevolution minus standard | at least +0.5 | {_cell(gain, sign=True)} | {seeds} | {holds} |"


def winners(rows: Sequence[Mapping[str, object]], setting: str) -> Iterator[str]:
    """Yield the functions that coevolution found."""
    yield f"| {setting}: seed | input | hidden | output |"
    yield "|---|---|---|---|"
    for row in rows:
        if (row["setting"], row["method"]) == (setting, "coevolution"):
            cells = " | ".join(f"`{formula}`" for formula in row["functions"].values())
            yield f"| {row['seed']} | {cells} |"


def draw(rows: Sequence[Mapping[str, object]], runs: Path) -> None:
    """Draw, for each data set, the first seed's functions and the fitness of its three populations."""
    for setting in dict.fromkeys(row["setting"] for row in rows):
        found: dict[str, Triple] = {}
        for method in METHODS:
            with Store.open(runs / f"{setting}-{method}-0") as store:
                found[method] = store.hall_of_fame(Triple.from_bytes)[0].genome
                if method == "coevolution":
                    draw_progress(store.candidates(decode=Triple.from_bytes), FOLDER / f"activations_{setting}_fitness.png")
        primitives = activations.PrimitiveSet(tuple(activations.PUBLISHED.values()))
        draw_curves(found, primitives, FOLDER / f"activations_{setting}_functions.png")


def _cell(values: np.ndarray, sign: bool = False) -> str:
    own = interval(values.tolist())
    width = "" if np.isnan(own.half_width) else f" ± {own.half_width:.2f}"
    return f"{own.mean:+.2f}{width}" if sign else f"{own.mean:.2f}{width}"


def report(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield everything that is printed of the stored values."""
    if any(row["setting"] == "mnist" for row in rows):
        yield from targets(rows)
        yield ""
    for setting in dict.fromkeys(row["setting"] for row in rows):
        for part in (table, tests, winners):
            yield from part(rows, setting)
            yield ""


def main() -> None:
    """Run tasks side by side and keep their rows, or report what was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "report"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/activations-paper"))
    parser.add_argument("--values", type=Path, default=FOLDER / "activations.json")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = json.loads(arguments.values.read_text()) if arguments.values.exists() else []
    if arguments.action == "run":
        done = {(row["setting"], row["method"], row["seed"]) for row in rows}
        chosen = {name: SETTINGS[name] for name in arguments.settings}
        waiting = [task for task in tasks(chosen, arguments.seeds) if (task.setting, task.method, task.seed) not in done]
        arguments.runs.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
            for future in [pool.submit(run, task, arguments.runs) for task in waiting]:
                rows.append(future.result())
                arguments.values.write_text(json.dumps(rows, indent=1) + "\n")
                print(json.dumps(rows[-1]), flush=True)
    else:
        draw(rows, arguments.runs)
    print("\n".join(report(rows)))


if __name__ == "__main__":
    main()
