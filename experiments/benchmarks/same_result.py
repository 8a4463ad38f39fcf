"""One campaign run in many ways, and killed at random moments and resumed: its digest must always be the same.

A genetic search over masks on digits, a cooperative one over activation functions, UMDA over the members of a fitted
pool, NEAT over networks that drive a car, or lottery tickets and RigL, with examination: uninterrupted in one process, with and without cache and
progress; with workers; and runs that are killed with SIGKILL (the driver alone; a worker, then the driver; the whole
process tree), each in its own run directory. Prints a table; the exit code is 1 if a digest differs.

    python experiments/benchmarks/same_result.py --workers 1 2 4 --kills 20
    python experiments/benchmarks/same_result.py --kind activations --workers 1 2 4 --kills 20
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from machine_processes import Process, end, signal_all, tree
from rich.console import Console
from rich.table import Table

from evosparse.engine.store import Store

CAMPAIGN = """
name: same-result
kind: {kind}
seed: {seed}
evaluation: {{batch: 4}}
"""
NETWORKS = """
data: digits
training: {{optimizer: adam, learning_rate: 0.005, batch: 64}}
examination: {{epochs: 3, seeds: 2}}
"""
SEARCHES = {
    "masks": NETWORKS + """
stop: {{generations: {generations}}}
network: {{name: mlp, hidden: [32]}}
search: {{method: genetic, sparsity: 0.9, population: 10, epochs: {epochs}}}
""",
    # Ends by itself, when its budget does: in the middle of a generation.
    "activations": NETWORKS + """
network: {{name: mlp, hidden: [32, 32, 32]}}
search: {{method: cooperative, n: {n}, collaborators: two_draws, trials: 2}}
fitness: {{epochs: {epochs}}}
""",
    # Without remembered votes, so that whoever goes on with a campaign has to find the same ones again.
    "ensembles": """
data: wine
pool:
  members:
  - naive_bayes
  - {{learner: tree, bootstrap: true, copies: 2}}
  - {{learner: tree, features: 0.5, copies: 2}}
  - {{learner: forest, settings: {{n_estimators: 5}}}}
  - logistic
  - lda
  judged_on: out_of_fold
  folds: 3
  cache: false
initialisation: accuracy
fitness: accuracy_diversity
search: {{method: umda, population: 30, generations: {generations}, stagnation: null}}
examination: {{seeds: 2, baselines: [best_single, all, greedy, random, stacking, oracle]}}
""",
    "topologies": """
task: {{name: driving, tracks: [oval, bean], test_tracks: [kidney], steps: 300, laps: 1, starts: anywhere, replicates: 2}}
search: {{population: 150, generations: {generations}, until_solved: false, recurrent: true, add_node: 0.2}}
examination: {{seeds: 2}}
""",
    # A generation is a method at one sparsity, RigL first; a batch is a part of its networks. Its exchanges are many and the
    # rounds of lottery tickets few, so that a kill falls into either.
    "sparsify": """
data: digits
network: {{name: mlp, hidden: [32]}}
training: {{optimizer: adam, learning_rate: 0.005, batch: 64}}
methods: [{{method: rigl, every: 4}}, {{method: lottery, rate: 0.6}}]
sparsities: {sparsities}
seeds: 5
epochs: {epochs}
""",
}
VARIANTS = {
    "with progress": (),
    "without cache": ("--quiet", "--set", "evaluation.cache=false"),
    "without cache, with progress": ("--set", "evaluation.cache=false"),
}
MORE_VARIANTS = {
    "ensembles": {
        "remembering votes": ("--quiet", "--set", "pool.cache=true"),
        "with remembered votes": ("--quiet", "--set", "pool.cache=true"),
    }
}
KILLS = ("driver", "worker, then driver", "whole tree")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        run: how the campaign was run.
        killed_at: seconds after the campaign's database appeared at which it was killed; None if it was not.
        committed: generations that were committed by then.
        left_behind: processes that had to be ended after it.
        seconds: how long everything took.
        digest: of what was found.
    """

    run: str
    killed_at: float | None
    committed: int | None
    left_behind: int
    seconds: float
    digest: str


def main() -> None:
    """Run everything, print the table, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=SEARCHES, default="masks")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4], help="numbers of workers, besides none")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kill-workers", type=int, default=2, help="workers of the runs that are killed")
    parser.add_argument("--generations", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--campaign-seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind then, too
    with tempfile.TemporaryDirectory() as name:
        os.environ["EVOSPARSE_CACHE"] = str(Path(name) / "cache")  # where nothing is remembered yet
        rows = list(measure(options, Path(name)))
    same = len({row.digest for row in rows}) == 1
    if options.json:
        print(json.dumps({"same": same, "load": os.getloadavg(), "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        _print_table(rows)
        print("all digests are the same" if same else "DIGESTS DIFFER")
    sys.exit(0 if same else 1)


def measure(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Yield the row of every run."""
    file = write_campaign(folder, options.kind, options.generations, options.epochs, options.campaign_seed)
    whole = Commands(folder / "whole")
    yield _told(whole.row("in-process", whole.run(file, 0, "--quiet")))
    for name, arguments in (VARIANTS | MORE_VARIANTS.get(options.kind, {})).items():
        commands = Commands(folder / name.replace(" ", "-"))
        yield _told(commands.row(f"in-process, {name}", commands.run(file, 0, *arguments)))
    for workers in options.workers:
        commands = Commands(folder / f"workers{workers}")
        yield _told(commands.row(f"{workers} workers", commands.run(file, workers)))
    rng = np.random.default_rng(options.seed)
    kinds = np.sort(np.arange(options.kills) % len(KILLS))  # the gentle ones first
    span = 0.0
    for number, kind in enumerate(kinds):
        if not span:
            trial = Commands(folder / "span")
            trial.run(file, options.kill_workers)
            span = trial.span
        yield _told(killed_run(file, folder / f"killed{number}", KILLS[kind], options.kill_workers, span, rng))


def write_campaign(folder: Path, kind: str, generations: int, epochs: int, seed: int = 7) -> Path:
    """Write a campaign file of one of the kinds in `SEARCHES`, with at least two generations, and return its path."""
    file = folder / "same_result.yaml"
    text = CAMPAIGN + SEARCHES[kind]
    n, sparsities = 2 * (generations - 1), [round(0.98 - 0.02 * place, 2) for place in range(-(-generations // 2))]
    file.write_text(
        text.format(kind=kind, seed=seed, generations=generations, n=n, epochs=epochs, sparsities=sparsities)
    )
    return file


def killed_run(file: Path, out: Path, kill: str, workers: int, span: float, rng: np.random.Generator) -> Row:
    """Start a campaign, kill it at a random moment, resume it, and return its row; see `kill_somewhen`."""
    start = time.monotonic()
    commands, moment = kill_somewhen(file, out, kill, workers, span, rng)
    committed = commands.committed()
    left_behind = commands.resume(workers)
    seconds = time.monotonic() - start
    return Row(f"{workers} workers, killed: {kill}", moment, committed, left_behind, seconds, commands.digest())


def kill_somewhen(
    file: Path, out: Path, kill: str, workers: int, span: float, rng: np.random.Generator
) -> tuple[Commands, float]:
    """Start a campaign and kill it at a random moment.

    Args:
        file: the campaign file.
        out: the run directory; where a campaign was done before its moment, the next one gets a number.
        kill: one of `KILLS`.
        workers: number of workers.
        span: seconds from the appearance of the database to the end of an undisturbed run.
        rng: draws the moment.

    Returns:
        The commands of the killed run, and the seconds after which it was killed.
    """
    moment = float(rng.uniform(0, span))
    for attempt in range(20):
        commands = Commands(out.with_name(f"{out.name}.{attempt}") if attempt else out)
        if commands.kill(file, workers, kill, moment):
            return commands, moment
        moment /= 2
    raise RuntimeError(f"{file} is done before it can be killed")


class Commands:
    """Starts the command line on one run directory, and leaves no process behind.

    Args:
        out: the run directory.

    Attributes:
        span: seconds from the appearance of the database to the end of the last command.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.span = 0.0
        self._errors = out.with_name(f"{out.name}.err")
        self._start = time.monotonic()
        self._started: set[Process] = set()
        atexit.register(end, self._started, 0.0)  # after Ctrl-C, too

    def run(self, file: Path, workers: int, *options: str) -> int:
        """Run the campaign to its end; return how many processes it left behind."""
        driver = self._begin("run", str(file), "--out", str(self.out), "--workers", str(workers), *options)
        appeared = self._await_database(driver)
        self._finish(driver)
        self.span = time.monotonic() - appeared
        return self.clean()

    def kill(self, file: Path, workers: int, kill: str, moment: float) -> bool:
        """Run the campaign and kill it; return whether there was something left to do then."""
        driver = self._begin("run", str(file), "--out", str(self.out), "--workers", str(workers))
        appeared = self._await_database(driver)
        with suppress(subprocess.TimeoutExpired):
            driver.wait(max(0.0, appeared + moment - time.monotonic()))
        alive = driver.poll() is None
        if alive:
            family = tree([driver.pid])
            self._watch(driver)
            if kill == KILLS[1]:
                signal_all([process for process in family if "ray::" in process.command()][:1])
                time.sleep(0.3)
            signal_all(family if kill == KILLS[2] else [process for process in family if process.pid == driver.pid])
        driver.wait()
        self._watch(driver)
        return alive and not self.finished()  # a process lives on for a while after its campaign is done

    def resume(self, workers: int) -> int:
        """Resume until the campaign is done; return how many processes all this left behind."""
        self._finish(self._begin("resume", str(self.out), "--workers", str(workers)))
        return self.clean()

    def clean(self) -> int:
        """End what earlier commands have left behind; return how many processes that were."""
        return end(self._started)

    def finished(self) -> bool:
        """Return whether the campaign is done."""
        with Store.open(self.out) as store:
            return store.finished

    def committed(self) -> int:
        """Return the number of generations in the database."""
        with Store.open(self.out) as store:
            return len(store.generations())

    def digest(self) -> str:
        """Return the digest of what was found, all of it."""
        with Store.open(self.out) as store:
            assert store.finished
            return store.digest()

    def row(self, name: str, left_behind: int) -> Row:
        """Return the table's line of a run that was not killed."""
        return Row(name, None, None, left_behind, time.monotonic() - self._start, self.digest())

    def _begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "evosparse", *arguments]
        # A file, because a pipe would be held open by workers that outlive their driver. A session of its own, so that
        # what the driver starts can be told from everything else on this machine.
        with self._errors.open("w") as errors:
            driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        self._watch(driver)
        return driver

    def _finish(self, driver: subprocess.Popen[bytes]) -> None:
        while driver.poll() is None:
            self._watch(driver)
            with suppress(subprocess.TimeoutExpired):
                driver.wait(0.5)
        self._watch(driver)
        if driver.returncode:
            self.clean()
            raise RuntimeError(f"{driver.args} ended with {driver.returncode}: {self._errors.read_text()}")

    def _watch(self, driver: subprocess.Popen[bytes]) -> None:
        """Remember what the driver has started; its session outlives it."""
        self._started.update(tree([driver.pid]))

    def _await_database(self, driver: subprocess.Popen[bytes]) -> float:
        """Wait for the first sign of the campaign, and return the time."""
        while driver.poll() is None and not (self.out / "campaign.sqlite").exists():
            time.sleep(0.02)
        return time.monotonic()


def _told(row: Row) -> Row:
    print(f"{row.run}: {row.digest[:12]}, {row.seconds:.1f} s", file=sys.stderr, flush=True)
    return row


def _print_table(rows: Sequence[Row]) -> None:
    table = Table(title="one campaign, run in many ways")
    for name in ("run", "killed after", "generations then", "left behind", "seconds", "digest"):
        table.add_column(name, justify="left" if name in ("run", "digest") else "right")
    for row in rows:
        killed = "-" if row.killed_at is None else f"{row.killed_at:.2f} s"
        committed = "-" if row.committed is None else str(row.committed)
        table.add_row(row.run, killed, committed, str(row.left_behind), f"{row.seconds:.1f}", row.digest[:16])
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
