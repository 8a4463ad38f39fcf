"""UMDA on the published predictions of 70 classifiers (Ferreira Jr. et al. 2020), beside what stands against it.

For each data set, group of classifiers, fold and seed: UMDA with the paper's settings, the same with the inverted sampling of the
library that the paper used, and random subsets with as many evaluations; and the majority of all, the best single classifier
and greedy selection. And a pool of ten learners on four small tables, by nested cross-validation (EN10).

    python experiments/ensembles_paper.py run --seeds 5 --processes 2
    python experiments/ensembles_paper.py bounds --seeds 10   (UMDA with the bounds of the paper's text, where its table differs)
    python experiments/ensembles_paper.py report      (writes the tables from the stored values)
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from ensembles_uci import FOLDER, Task, halves, polls, read  # noqa: E402

from evosparse import ensembles  # noqa: E402
from evosparse.ensembles.recorded import RecordedPool  # noqa: E402
from evosparse.report.ranks import rank  # noqa: E402

DATA = ("whu_rs19", "rsscn7", "ucmerced")
GROUPS: Mapping[str, tuple[int, int]] = {"Global35": (0, 34), "CNN35": (35, 69), "ALL70": (0, 69)}
# The paper's test accuracies of UMDA, and what a replication of the method measured: test (SD over 10 seeds) and validation.
PUBLISHED = {
    "whu_rs19": {"Global35": 76.8, "CNN35": 96.9, "ALL70": 96.0},
    "rsscn7": {"Global35": 81.9, "CNN35": 90.9, "ALL70": 91.1},
    "ucmerced": {"Global35": 79.9, "CNN35": 94.7, "ALL70": 94.4},
}
MEASURED = {
    "whu_rs19": {"Global35": (77.35, 83.76), "CNN35": (96.50, 98.59), "ALL70": (95.67, 98.90)},
    "rsscn7": {"Global35": (81.63, 85.16), "CNN35": (90.77, 93.25), "ALL70": (91.21, 94.71)},
    "ucmerced": {"Global35": (79.67, 83.34), "CNN35": (95.06, 97.28), "ALL70": (94.43, 97.55)},
}
SIX = ("CNN35", "ALL70")  # groups of the cells in which the published figure is to be met
BOUNDS = FOLDER / "ensembles_bounds.jsonl"
SEARCHES = ("umda", "inverted", "random")
NESTED = ("wine", "ionosphere", "glass", "vehicle")
TEN = tuple(
    ensembles.MemberSpec(learner=name, settings=settings)
    for name, settings in (
        ("tree", {}), ("forest", {}), ("naive_bayes", {}), ("knn", {"n_neighbors": 1}), ("knn", {"n_neighbors": 5}),
        ("rbf_svm", {}), ("linear_svm", {}), ("logistic", {}), ("lda", {}), ("mlp", {}),
    )
)  # fmt: skip
METHODS = ("majority", "best single", "greedy", "umda", "oracle")


def fold_row(data: str, group: str, fold: int, seeds: int, file: Path) -> dict[str, object]:
    """Return everything that is measured on one fold."""
    spec = ensembles.PredictionsSpec(file=str(file), prefix=f"{data}_fold{fold}_", members=GROUPS[group])
    found = RecordedPool(spec).polls(None)
    row: dict[str, object] = {"data": data, "group": group, "fold": fold, "examples": len(found.test.y)}
    row |= {name: 100 * value for name, value in simple(found.selection, found.test).items()}
    bench = ensembles.Bench(found.selection)
    everybody = np.ones((1, found.test.members), dtype=bool)
    row["majority_hits"] = [
        int(chamber.tally(everybody).hits.sum()) for chamber in (bench.chamber, bench.chamber.elsewhere(found.test))
    ]
    searches: dict[str, list[dict[str, float]]] = {name: [] for name in SEARCHES}
    for seed in range(seeds):
        umda = searched(bench, found.test, ensembles.UMDA(), seed)
        searches["umda"].append(umda)
        searches["inverted"].append(searched(bench, found.test, ensembles.UMDA(sampling="legacy_inverted"), seed))
        as_many = ensembles.Random(generations=-(-int(umda["evaluations"]) // 500))
        searches["random"].append(searched(bench, found.test, as_many, seed))
    return row | searches


def bounds_row(data: str, group: str, fold: int, seeds: int, file: Path) -> dict[str, object]:
    """Return what UMDA finds on one fold with the bounds of the paper's text, 1/n and 1 - 1/n."""
    spec = ensembles.PredictionsSpec(file=str(file), prefix=f"{data}_fold{fold}_", members=GROUPS[group])
    found = RecordedPool(spec).polls(None)
    method, bench = ensembles.UMDA(bounds="1/n"), ensembles.Bench(found.selection)
    runs = [searched(bench, found.test, method, seed) for seed in range(seeds)]
    return {"data": data, "group": group, "fold": fold, "umda": runs}


def searched(bench: ensembles.Bench, test: ensembles.Votes, method: object, seed: int) -> dict[str, float]:
    """Search once, and test what was found once; accuracies in percent."""
    found = ensembles.select(bench, method, ensembles.VoteFitness(), seed=seed)
    chosen = found.best.genome.chosen
    right = bench.chamber.elsewhere(test).decide(chosen) == test.y
    return {
        "validation": 100 * found.best.outcome.measures["accuracy"],
        "test": 100 * float(right.mean()),
        "size": float(chosen.sum()),
        "evaluations": float(found.evaluations),
    }


def simple(selection: ensembles.Votes, test: ensembles.Votes) -> dict[str, float]:
    """Return the test accuracies of what needs no search."""
    greedy = ensembles.greedy_selection(selection)
    chamber = ensembles.Chamber(test, ensembles.VoteSpec(), greedy.astype(float))
    everybody = ensembles.Chamber(test, ensembles.VoteSpec()).decide(np.ones(test.members, dtype=bool))
    return {
        "majority": float((everybody == test.y).mean()),
        "best single": float(test.accuracies[selection.accuracies.argmax()]),
        "greedy": float((chamber.decide(greedy > 0) == test.y).mean()),
        "oracle": float(test.right.any(axis=1).mean()),
    }


def nested_row(data: str, fold: int, seed: int, folder: Path) -> dict[str, object]:
    """Fit ten learners to four fifths of a table, choose by out-of-fold votes, and test on the last fifth."""
    pool = ensembles.PoolSpec(members=TEN, judged_on="out_of_fold", seed=seed)
    selection, test = polls(halves(Task(data, seed, fold), folder, parts=5), pool)
    found = searched(ensembles.Bench(selection), test, ensembles.UMDA(population=100, generations=50), seed)
    row = {name: 100 * value for name, value in simple(selection, test).items()}
    return {"nested": data, "fold": fold, "seed": seed, **row, "umda": found["test"], "size": found["size"]}


def cell(rows: Sequence[Mapping[str, object]], data: str, group: str, search: str, measure: str) -> np.ndarray:
    """Return the (seeds,) means over folds of one cell."""
    own = [row for row in rows if row.get("data") == data and row["group"] == group]
    return np.array([[one[measure] for one in row[search]] for row in own]).mean(axis=0)


def report(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the lines of the page that follow from the values."""
    yield (
        "| | majority of all, hits per fold | majority | best single | greedy | UMDA published | UMDA replicated | UMDA, mean ± "
        "SD | size | random subsets | inverted | oracle |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for data, group in product(DATA, GROUPS):
        own = [row for row in rows if row.get("data") == data and row["group"] == group]
        umda, size = cell(rows, data, group, "umda", "test"), cell(rows, data, group, "umda", "size")
        plain = {name: np.mean([row[name] for row in own]) for name in ("majority", "best single", "greedy", "oracle")}
        others = [f"{cell(rows, data, group, name, 'test').mean():.2f}" for name in ("random", "inverted")]
        hits = ", ".join(str(row["majority_hits"][1]) for row in own)
        yield (
            f"| {data} {group} | {hits} | {plain['majority']:.4f} | {plain['best single']:.2f} | {plain['greedy']:.2f} | "
            f"{PUBLISHED[data][group]} | {MEASURED[data][group][0]} | {umda.mean():.2f} ± {umda.std(ddof=1):.2f} | "
            f"{size.mean():.1f} | {' | '.join(others)} | {plain['oracle']:.1f} |"
        )
    yield ""
    yield "| | UMDA, validation | replicated | UMDA minus random subsets | UMDA minus inverted | UMDA, test, minus published |"
    yield "|---|---|---|---|---|---|"
    for data, group in product(DATA, GROUPS):
        best = {name: cell(rows, data, group, name, "validation").mean() for name in SEARCHES}
        gap = cell(rows, data, group, "umda", "test").mean() - PUBLISHED[data][group]
        yield (
            f"| {data} {group} | {best['umda']:.2f} | {MEASURED[data][group][1]} | {best['umda'] - best['random']:+.2f} | "
            f"{best['umda'] - best['inverted']:+.2f} | {gap:+.2f} |"
        )
    yield ""
    yield from nested(rows)


def report_bounds(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the table of UMDA with the bounds of the paper's text."""
    yield "| | UMDA published | bounds 1/n, mean ± SD | minus published | size |"
    yield "|---|---|---|---|---|"
    for data, group in product(DATA, SIX):
        test, size = cell(rows, data, group, "umda", "test"), cell(rows, data, group, "umda", "size")
        published = PUBLISHED[data][group]
        spread = f"{test.mean():.2f} ± {test.std(ddof=1):.2f}"
        yield f"| {data} {group} | {published} | {spread} | {test.mean() - published:+.2f} | {size.mean():.1f} |"


def nested(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the table of EN10."""
    own = [row for row in rows if "nested" in row]
    table = np.array([[np.mean([row[name] for row in own if row["nested"] == data]) for name in METHODS] for data in NESTED])
    yield f"| table | {' | '.join(METHODS)} | size of UMDA's |"
    yield f"|---|{'---|' * (len(METHODS) + 1)}"
    for data, values in zip(NESTED, table, strict=True):
        size = np.mean([row["size"] for row in own if row["nested"] == data])
        yield f"| {data} | {' | '.join(f'{value:.2f}' for value in values)} | {size:.1f} |"
    ranking = rank(table[:, :-1], METHODS[:-1])  # the oracle is no method
    yield f"| mean rank | {' | '.join(f'{value:.2f}' for value in ranking.mean_ranks)} | - | - |"
    yield ""
    yield f"Friedman's test over these {len(NESTED)} tables: chi-square {ranking.friedman:.2f}, p = {ranking.p_value:.2g}."


def main() -> None:
    """Run, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "bounds", "report"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("EVOSPARSE_DATA", ".")))
    parser.add_argument("--rows", type=Path, default=FOLDER / "ensembles.jsonl")
    options = parser.parse_args()
    if options.what == "bounds":
        with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as executor:
            file = options.data / "classifier_predictions.npz"
            folds = product(DATA, SIX, range(1, 6))
            waiting = [executor.submit(bounds_row, *fold, options.seeds, file) for fold in folds]
            BOUNDS.write_text("".join(json.dumps(future.result()) + "\n" for future in waiting))
    if options.what == "run":
        with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as executor:
            file = options.data / "classifier_predictions.npz"
            folds = [
                executor.submit(fold_row, data, group, fold, options.seeds, file)
                for data, group, fold in product(DATA, GROUPS, range(1, 6))
            ]
            tables = [
                executor.submit(nested_row, data, fold, seed, options.data)
                for data, fold, seed in product(NESTED, range(5), range(options.seeds))
            ]
            rows = [future.result() for future in (*folds, *tables)]
        options.rows.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print("\n".join([*report(read(options.rows)), "", *report_bounds(read(BOUNDS))]))


if __name__ == "__main__":
    main()
