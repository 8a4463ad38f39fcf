"""NEAT beside its published results: exclusive or, two poles with and without velocities, and what is lost without its parts.

Stanley and Miikkulainen, "Evolving Neural Networks through Augmenting Topologies" (2002). Every run is one line of
``papers/neat.jsonl``; what is there is not run again. Rules are chosen on seeds from 1000 on; the seeds reported
here, from 0 on, are held out as far as ``papers/neat.md`` says.

    python experiments/neat_paper.py run --processes 2     (--arms xor dpv ... and --runs N for a part)
    python experiments/neat_paper.py report                (prints the table of the stored values)
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from evosparse import topologies  # noqa: E402
from evosparse.engine.candidate import Outcome, Status  # noqa: E402
from evosparse.engine.results import interval  # noqa: E402
from evosparse.engine.search import drive  # noqa: E402
from evosparse.engine.seeds import SeedKey  # noqa: E402
from evosparse.topologies import NEAT, Start  # noqa: E402

VALUES = Path(__file__).resolve().parent / "papers" / "neat.jsonl"


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Args:
        title: of the row.
        task: as in a campaign file.
        search: the parameters.
        runs: as many as were published, or as the targets ask for.
        published: mean evaluations.
        note: what else was published.
    """

    title: str
    task: Mapping[str, object]
    search: NEAT
    runs: int
    published: int
    note: str = ""


POLES = {"name": "double_pole", "velocities": True}
HIDDEN_STATE = {"name": "double_pole", "velocities": False}
LARGE = Start(form="dense", hidden=10)
RANDOM = Start(form="random", hidden=10)
SMALL = NEAT(generations=100, structure_alone=False, split="oldest", equal_fitness_genes="first")
LONG = 500  # generations until a run counts as failed, of those that may take long


def poles(**changes: object) -> NEAT:
    """Return NEAT as it balances poles: children with a new structure have mutated weights as well."""
    return NEAT(**{"structure_alone": False, "generations": LONG} | changes)


ARMS: Mapping[str, Arm] = {
    "xor": Arm("XOR", {"name": "xor"}, SMALL, 100, 4755, "2.35 hidden, 7.48 links, always solved"),
    "xor_defaults": Arm("... with the defaults", {"name": "xor"}, NEAT(generations=100), 100, 4755, "as above"),
    "xor_refocused": Arm(
        "... and refocused to two species after 20 generations", {"name": "xor"}, NEAT(generations=100, patience=20), 100, 4755,
        "as above",
    ),
    "dpv": Arm("two poles, velocities", POLES, poles(generations=200), 100, 3600, "always solved"),
    "no_mating": Arm("... without mating", POLES, poles(mating=False), 20, 5557, "0 % failed"),
    "random_start": Arm("... random start", POLES, poles(start=RANDOM), 20, 23033, "5 % failed"),
    "no_speciation": Arm(
        "... without speciation (random start)", POLES, poles(start=RANDOM, speciation=False), 60, 25600, "25 % failed"
    ),
    "no_growth": Arm("... without growth (10 hidden nodes)", POLES, poles(start=LARGE, growth=False), 20, 30239, "80 % failed"),
    "dpnv": Arm(
        "two poles, no velocities", HIDDEN_STATE,
        poles(
            population=1000, generations=200, patience=20, c3=3.0, threshold=4.0, add_connection=0.3, power=1.0,
            initial_power=1.0, tested="species",
        ), 20, 33184, "286 of 625 starts",
    ),
}  # fmt: skip


def run(arm: str, seed: int) -> dict[str, object]:
    """Return what one run gave.

    Args:
        arm: key of `ARMS`.
        seed: of the run.
    """
    began = time.perf_counter()
    settings = ARMS[arm]
    problem = topologies.Problem(task=topologies.TopologySpec(task=dict(settings.task)).task, search=settings.search)
    search, task = problem.search, problem.tasks.search
    evaluations, generations = 0, 0
    for candidates in drive(search, seed):
        keys = [SeedKey(seed).child("evaluate", generations, index) for index in range(len(candidates))]
        measures = task.evaluate(topologies.Networks.of([candidate.genome for candidate in candidates]), keys)
        for candidate, measured in zip(candidates, measures, strict=True):
            candidate.judge(Outcome(Status.OK, measured), task.objectives)
        evaluations, generations = evaluations + len(candidates), generations + 1
    found = search.solution
    row = {"arm": arm, "seed": seed, "solved": found is not None, "evaluations": evaluations, "generations": generations}
    if found is not None:
        if search.confirm is None:
            # Up to the network that solved it; a confirmation is of a whole generation's champion.
            last = len(search.population) - int(found.uid.partition(".")[2]) - 1
            row["evaluations"] = evaluations - last
        row |= {"hidden": len(found.genome.hidden), "links": found.genome.size}
        if settings.task["name"] == "double_pole":
            key = SeedKey(seed).child("examine")
            [measured] = problem.tasks.examination.evaluate(topologies.Networks.of([found.genome]), [key])
            row["generalisation"] = measured["generalisation"]
    return row | {"species": len(search.history[-1]), "seconds": round(time.perf_counter() - began, 2)}


def stored(file: Path) -> list[dict[str, object]]:
    """Return the rows that are there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def run_all(arms: Sequence[str], runs: int | None, processes: int, file: Path) -> Iterator[dict[str, object]]:
    """Make the runs that are missing, and store each as soon as it is there."""
    done = {(row["arm"], row["seed"]) for row in stored(file)}
    jobs = [(arm, seed) for arm in arms for seed in range(runs or ARMS[arm].runs) if (arm, seed) not in done]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for row in (map if processes == 1 else pool.map)(run, *zip(*jobs, strict=True)) if jobs else ():
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
            yield row


def report(file: Path) -> Iterator[str]:
    """Yield the lines of the table: published figures beside ours."""
    yield (
        "| task | published evaluations | ours, mean and 95 % interval | median | SD | solved | hidden | links | starts of 625 "
        "| published |"
    )
    yield "|---" * 10 + "|"
    rows = stored(file)
    for name, arm in ARMS.items():
        own = [row for row in rows if row["arm"] == name]
        if own:
            yield _line(arm, own)


def _line(arm: Arm, rows: Sequence[Mapping[str, object]]) -> str:
    solved = [row for row in rows if row["solved"]]
    count = f"{len(solved)} of {len(rows)}"
    # Failures are censored: they count with all their evaluations in the median, and not in the mean, as published.
    median = f"{np.median([row['evaluations'] for row in rows]):,.0f}"
    if not solved:
        return f"| {arm.title} | {arm.published:,} | none | > {median} | | {count} | | | | {arm.note} |"
    evaluations = interval([float(row["evaluations"]) for row in solved])
    means = {key: np.mean([row[key] for row in solved]) for key in ("hidden", "links")}
    starts = f"{np.mean([row['generalisation'] for row in solved]):.0f}" if "generalisation" in solved[0] else ""
    return (
        f"| {arm.title} | {arm.published:,} | {evaluations.mean:,.0f} ± {evaluations.half_width:,.0f} | {median} "
        f"| {np.std(evaluations.values):,.0f} | {count} | {means['hidden']:.2f} | {means['links']:.2f} | {starts} | {arm.note} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=tuple(ARMS))
    parser.add_argument("--runs", type=int, help="of each arm; by default as many as were published")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--file", type=Path, default=VALUES, help="of the values")
    options = parser.parse_args(arguments)
    if options.command == "run":
        for row in run_all(options.arms, options.runs, options.processes, options.file):
            print(json.dumps(row), flush=True)
    else:
        print("\n".join(report(options.file)))


if __name__ == "__main__":
    main()
