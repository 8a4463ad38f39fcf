"""The comparison of CIF-E: its 24 approaches and every simple way to use the same pools, by 5x2 cross-validation.

For each half of each data set two pools are fitted, mixed learners and bagged trees. Their out-of-fold votes on the training
half drive all searches, each with at most as many evaluations; the other half is looked at once. Every half is a line of a
file: the script goes on where it was stopped.

    python experiments/ensembles_uci.py run --processes 2
    python experiments/ensembles_uci.py report      (writes table, tests and diagrams from the stored values)
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.model_selection import StratifiedKFold  # noqa: E402
from sklearn.preprocessing import OneHotEncoder  # noqa: E402

from evosparse import ensembles  # noqa: E402
from evosparse.engine.results import interval  # noqa: E402
from evosparse.ensembles import dynamic  # noqa: E402
from evosparse.ensembles.examination import stacked  # noqa: E402
from evosparse.ensembles.members import find_members  # noqa: E402
from evosparse.ensembles.pool import OUT_OF_FOLD, Parts, PoolSpec, ask_member, collect  # noqa: E402
from evosparse.report.diagram import draw_critical_differences  # noqa: E402
from evosparse.report.ranks import critical_difference, rank, wilcoxon_holm  # noqa: E402

FOLDER = Path(__file__).resolve().parent / "papers"
VALUES = FOLDER / "ensembles_uci.json"
# Every table of the data folder with at most 1,000 examples, those of more than 50 columns after one-hot codes included.
SETS = (
    "anneal", "audiology", "balance_scale", "breast_cancer_ljubljana", "breast_w", "credit_approval", "dermatology", "ecoli",
    "german", "glass", "haberman", "hayes_roth", "heart_cleveland", "heart_statlog", "hepatitis", "horse_colic", "ionosphere",
    "iris", "labor", "led7digit", "lymph", "mammographic", "monk_2", "new_thyroid", "pima", "primary_tumor", "seeds", "sonar",
    "soybean", "tae", "tic_tac_toe", "vehicle", "vertebral3c", "vote", "vowel", "waveform21_esl", "wdbc", "wine", "zoo",
)  # fmt: skip
REPETITIONS = 5
POPULATION, GENERATIONS = 100, 50  # 5,000 evaluations at the most for every search
# Beside the protocol: other algorithms and other votes on its plainest approach.
OTHERS: Mapping[str, Mapping[str, object]] = {
    "hetero-random-acc-pbil": {"search": ensembles.PBIL(population=POPULATION, generations=GENERATIONS)},
    "hetero-random-acc-cga": {"search": ensembles.CGA(generations=POPULATION * GENERATIONS // 2)},
    "hetero-random-acc-1+lambda": {"search": ensembles.OnePlusLambda(offspring=20, generations=POPULATION * GENERATIONS // 20)},
    "hetero-random-acc-umda weighted": {"vote": "weighted"},
    "hetero-random-acc-umda soft": {"vote": "soft"},
    "hetero-random-log_loss-umda soft": {"vote": "soft", "fitness": "log_loss"},
}


@dataclass(frozen=True)
class Task:
    """One half of a data set to be fitted to, the other to be tested on."""

    data: str
    repetition: int
    half: int

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        return 2 * self.repetition + self.half


@dataclass(frozen=True)
class Halves:
    """Examples to fit to and to test on; nominal columns as one-hot codes, missing numbers as the mean of the first."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    x_test: NDArray[np.float64]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]


def halves(task: Task, folder: Path, parts: int = 2) -> Halves:
    """Read a data set and divide it: into halves, or into more parts of which the task names one to test on."""
    with np.load(folder / f"{task.data}.npz", allow_pickle=False) as file:
        x, y, nominal, names = file["x"].astype(np.float64), file["y"].astype(np.int64), file["categorical"], file["class_names"]
    splitter = StratifiedKFold(parts, shuffle=True, random_state=task.repetition)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some classes have one example
        kept, left = list(splitter.split(x, y))[task.half]
        encoder = ColumnTransformer(
            [
                ("numbers", SimpleImputer(keep_empty_features=True), np.flatnonzero(~nominal)),
                ("codes", OneHotEncoder(handle_unknown="ignore", sparse_output=False), np.flatnonzero(nominal)),
            ]
        )
        return Halves(encoder.fit_transform(x[kept]), y[kept], encoder.transform(x[left]), y[left], tuple(map(str, names)))


def polls(data: Halves, pool: PoolSpec) -> tuple[ensembles.Votes, ensembles.Votes]:
    """Return out-of-fold votes on the training half, and votes on the test half, of all members that can be fitted."""
    parts = Parts(data.x, data.y, {"test": data.x_test}, data.class_names)
    names, answers = [], []
    for member in find_members(pool.specs()):
        try:
            answers.append(ask_member(member, parts, pool.seed, pool.folds))
        except ValueError:  # such as a class with too few examples for a learner
            continue
        names.append(member.name)
    classes = len(data.class_names)
    selection = collect(names, answers, OUT_OF_FOLD, data.y, classes)
    return selection, collect(names, answers, "test", data.y_test, classes)


def run(task: Task, folder: Path) -> dict[str, object]:
    """Try every method on one half, and return its line of the file."""
    started = time.perf_counter()
    data = halves(task, folder)
    found = {name: polls(data, PoolSpec(members=name, judged_on=OUT_OF_FOLD, seed=task.seed)) for name in ("hetero", "bagged")}
    fitted = time.perf_counter()
    rows: dict[str, dict[str, float]] = {}
    for approach in ensembles.APPROACHES:
        spec = ensembles.EnsembleSpec(approach=approach)
        search = spec.search.model_copy(update={"population": POPULATION, "generations": GENERATIONS})
        rows[approach] = _searched(*found[approach.split("-")[0]], spec.model_copy(update={"search": search}), task.seed)
    for name, sections in OTHERS.items():
        plain = {"search": ensembles.UMDA(population=POPULATION, generations=GENERATIONS), "vote": "majority"}
        rows[name] = _searched(*found["hetero"], ensembles.EnsembleSpec(**{**plain, **sections}), task.seed)
    for pool, (selection, test) in found.items():
        size = int(rows[f"{pool}-random-acc-umda"]["size"])
        rows |= {f"{pool} {name}": row for name, row in _baselines(selection, test, size, task.seed).items()}
    if dynamic.installed():
        for name in dynamic.DYNAMIC:
            try:
                decided = dynamic.decide(name, found["hetero"][0], data.x, found["hetero"][1], data.x_test, task.seed)
            except Exception as error:  # DESlib's methods fail in their own ways on classes of one example
                rows[f"hetero {name}"] = {"failed": f"{type(error).__name__}: {error}"[:200]}
                continue
            rows[f"hetero {name}"] = {"test": float((decided == data.y_test).mean())}
    seconds = {"pools": fitted - started, "all": time.perf_counter() - started}
    return {"data": task.data, "repetition": task.repetition, "half": task.half, "seconds": seconds, "methods": rows}


def _searched(
    selection: ensembles.Votes, test: ensembles.Votes, spec: ensembles.EnsembleSpec, seed: int
) -> dict[str, float]:
    bench = ensembles.Bench(selection, spec.vote)
    started = time.perf_counter()
    found = ensembles.select(bench, spec.search, spec.fitness.make(), spec.initialisation, seed)
    seconds = time.perf_counter() - started
    chosen = found.best.genome.chosen
    return {
        "test": float((bench.chamber.elsewhere(test).decide(chosen) == test.y).mean()),
        "selection": found.best.outcome.measures["accuracy"],
        "size": float(chosen.sum()),
        "evaluations": float(found.evaluations),
        "seconds": seconds,
    }


def _baselines(selection: ensembles.Votes, test: ensembles.Votes, size: int, seed: int) -> dict[str, dict[str, float]]:
    def accuracy(weights: NDArray) -> float:
        chamber = ensembles.Chamber(test, ensembles.VoteSpec(), weights.astype(np.float64))
        return float((chamber.decide(weights > 0) == test.y).mean())

    members = selection.members
    rng = np.random.default_rng(seed)
    subsets = [rng.permutation(np.arange(members) < size) for _ in range(10)]
    greedy = ensembles.greedy_selection(selection)
    everybody = np.ones(members)
    soft = ensembles.Chamber(test, ensembles.VoteSpec(rule="soft")).decide(everybody > 0)
    return {
        "best single": {"test": float(test.accuracies[selection.accuracies.argmax()]), "size": 1.0},
        "all": {"test": accuracy(everybody), "size": float(members)},
        "all soft": {"test": float((soft == test.y).mean())},
        "greedy": {"test": accuracy(greedy), "size": float((greedy > 0).sum())},
        "random subset": {"test": float(np.mean([accuracy(subset) for subset in subsets])), "size": float(size)},
        "stacking": {"test": float((stacked(selection, test) == test.y).mean())},
        "oracle": {"test": float(test.right.any(axis=1).mean())},
    }


def tasks(sets: Sequence[str], repetitions: int) -> list[Task]:
    """Return all halves, repetition by repetition."""
    return [Task(name, repetition, half) for repetition in range(repetitions) for name in sets for half in range(2)]


def read(path: Path) -> list[dict[str, object]]:
    """Return the lines that are there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_all(todo: Sequence[Task], folder: Path, path: Path, processes: int) -> None:
    """Do what is not done yet."""
    done = {(row["data"], row["repetition"], row["half"]) for row in read(path)}
    left = [task for task in todo if (task.data, task.repetition, task.half) not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor, path.open("a") as file:
        futures = {executor.submit(run, task, folder): task for task in left}
        for number, future in enumerate(as_completed(futures), 1):
            row = future.result()
            file.write(json.dumps(row) + "\n")
            file.flush()
            spent = time.perf_counter() - started
            more = spent * (len(left) / number - 1)
            print(f"{number}/{len(left)} {row['data']}: {row['seconds']['all']:.1f} s; {more:.0f} s left", flush=True)


def summary(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return what the report needs of all lines: for each data set and method, the test accuracy of each half and means.

    A method that failed on a half is left out of all.
    """
    names = [name for name in rows[0]["methods"] if all("test" in row["methods"][name] for row in rows)]
    sets: dict[str, dict[str, object]] = {}
    for data in sorted({str(row["data"]) for row in rows}):
        own = sorted((row for row in rows if row["data"] == data), key=lambda row: (row["repetition"], row["half"]))
        sets[data] = {}
        for name in names:
            measured = [row["methods"][name] for row in own]
            sets[data][name] = {"test": [round(one["test"], 5) for one in measured]} | {
                measure: round(float(np.mean([one[measure] for one in measured])), 3)
                for measure in ("size", "seconds", "evaluations")
                if measure in measured[0]
            }
    return {"halves": len(rows) // len(sets), "seconds": round(sum(row["seconds"]["all"] for row in rows)), "sets": sets}


def scores(values: Mapping[str, object]) -> tuple[list[str], NDArray[np.float64]]:
    """Return the methods, and the (data sets, methods) mean test accuracies; the oracle is no method."""
    sets = values["sets"]
    methods = [name for name in next(iter(sets.values())) if not name.endswith("oracle")]
    return methods, np.array([[np.mean(own[name]["test"]) for name in methods] for own in sets.values()])


FAMILY = (
    "hetero-random-acc-umda", "hetero-random-acc-umda weighted", "hetero-random-log_loss-umda soft", "hetero-random-acc-ga",
    "hetero best single", "hetero all", "hetero greedy", "hetero stacking", "hetero random subset", "bagged all",
)  # fmt: skip


def report(values: Mapping[str, object]) -> Iterator[str]:
    """Yield the lines of the page that follow from a summary."""
    methods, table = scores(values)
    sets = values["sets"]
    whole = rank(table, methods)
    width = critical_difference(len(methods), len(sets))
    yield f"{len(sets)} data sets, {values['halves']} halves each, {len(methods)} methods; Friedman's chi-square"
    yield f"{whole.friedman:.1f}, p = {whole.p_value:.2g}; Nemenyi's critical difference {width:.2f} ranks."
    yield ""
    yield "| method | mean rank | mean accuracy | wins / ties / losses against the best single | mean size | search, s |"
    yield "|---|---|---|---|---|---|"
    single = table[:, methods.index("hetero best single")]
    for index in np.argsort(whole.mean_ranks, kind="stable"):
        own, name = table[:, index], methods[index]
        record = " / ".join(str(int(np.sum(test))) for test in (own > single, own == single, own < single))
        size, seconds = _mean(sets, name, "size", ".1f"), _mean(sets, name, "seconds", ".2f")
        yield f"| {name} | {whole.mean_ranks[index]:.2f} | {100 * own.mean():.2f} | {record} | {size} | {seconds} |"
    yield ""
    yield "Wilcoxon's signed-rank test over data sets with Holm's correction, among the plainest of each kind:"
    yield ""
    yield "| first | second | median difference, points | wins / ties / losses | p, corrected |"
    yield "|---|---|---|---|---|"
    for each in wilcoxon_holm(*_family(methods, table)):
        record = f"{each.wins} / {each.ties} / {each.losses}"
        yield f"| {each.first} | {each.second} | {100 * each.median_difference:+.2f} | {record} | {each.corrected:.3g} |"
    yield ""
    yield from _factors(table, methods)
    oracle = np.mean([np.mean(own["hetero oracle"]["test"]) for own in sets.values()])
    yield f"Oracle of the mixed pool: {100 * oracle:.2f} %. All together {values['seconds'] / 60:.0f} minutes of one core."


def draw(values: Mapping[str, object], folder: Path) -> None:
    """Draw the critical-difference diagrams: of all methods by Nemenyi's test, of the plainest by Wilcoxon's."""
    methods, table = scores(values)
    draw_critical_differences(rank(table, methods), folder / "ensembles_uci_all.png")
    few, names = _family(methods, table)
    draw_critical_differences(rank(few, names), folder / "ensembles_uci.png", comparisons=wilcoxon_holm(few, names))


def _family(methods: Sequence[str], table: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    names = [name for name in FAMILY if name in methods]
    return table[:, [methods.index(name) for name in names]], names


def _mean(sets: Mapping[str, Mapping[str, Mapping[str, float]]], name: str, measure: str, form: str) -> str:
    found = [own[name][measure] for own in sets.values() if measure in own[name]]
    return f"{np.mean(found):{form}}" if found else "-"


def _factors(table: NDArray[np.float64], methods: Sequence[str]) -> Iterator[str]:
    """Yield what each factor of the protocol is worth: paired means over the other three."""
    yield "What a factor of the protocol is worth, the other three held equal (points of test accuracy, mean over data sets and"
    yield "its 95 % interval):"
    yield ""
    for place, (first, second) in (
        (0, ("hetero", "bagged")), (1, ("seeded", "random")), (2, ("div", "acc")), (2, ("acc_div", "acc")), (3, ("umda", "ga")),
    ):  # fmt: skip
        differences = []
        for name in ensembles.APPROACHES:
            levels = name.split("-")
            if levels[place] == first:
                other = "-".join([*levels[:place], second, *levels[place + 1 :]])
                differences.append(table[:, methods.index(name)] - table[:, methods.index(other)])
        value = interval((100 * np.mean(differences, axis=0)).tolist())
        yield f"- {first} against {second}: {value.mean:+.2f} ± {value.half_width:.2f}"
    yield ""


def main() -> None:
    """Run, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("EVOSPARSE_DATA", ".")))
    parser.add_argument("--rows", type=Path, default=Path("runs/ensembles_uci.jsonl"))
    options = parser.parse_args()
    if options.what == "run":
        run_all(tasks(options.sets, options.repetitions), options.data, options.rows, options.processes)
        VALUES.write_text(json.dumps(summary(read(options.rows))) + "\n")
    values = json.loads(VALUES.read_text())
    print("\n".join(report(values)))
    draw(values, FOLDER)


if __name__ == "__main__":
    main()
