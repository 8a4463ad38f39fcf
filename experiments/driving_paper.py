"""NEAT against Q-learning on a car, with equal budgets of environment steps; the paper's car is reconstructed.

Each seed of each method learns on the training tracks, trials included in its budget; the driver that did best there,
the latest of equal ones, is then examined on the training tracks and on others that it has not seen. `turn` is the task
as it is set by default: constant speed, two laps. In `race` the driver chooses its speed, and gets as far as it can.

    python experiments/driving_paper.py run --seeds 10 --steps 200000 --processes 2
    python experiments/driving_paper.py report        (tables, with an interval beside every comparison)
    python experiments/driving_paper.py pictures      (learning curves, ways on all tracks, and films, from the runs)
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations, product
from multiprocessing import get_context
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from scipy import stats  # noqa: E402

from evosparse.engine.candidate import Outcome, Status  # noqa: E402
from evosparse.engine.results import CONFIDENCE, interval  # noqa: E402
from evosparse.engine.search import drive  # noqa: E402
from evosparse.engine.seeds import SeedKey  # noqa: E402
from evosparse.pictures import new_figure  # noqa: E402
from evosparse.topologies.genome import Interface, Topology  # noqa: E402
from evosparse.topologies.methods.neat import NEAT  # noqa: E402
from evosparse.topologies.phenotype import Networks  # noqa: E402
from evosparse.topologies.tasks.driving import dqn, qlearning  # noqa: E402
from evosparse.topologies.tasks.driving.cars import CarSpec  # noqa: E402
from evosparse.topologies.tasks.driving.drivers import Driver, Learner, Training, examine, network_driver  # noqa: E402
from evosparse.topologies.tasks.driving.render import animate, draw_trajectories  # noqa: E402
from evosparse.topologies.tasks.driving.task import RECONSTRUCTION, Driving, DrivingSpec  # noqa: E402
from evosparse.topologies.tasks.driving.track import find_track  # noqa: E402

FOLDER = Path(__file__).resolve().parent / "papers"
SETTINGS: Mapping[str, DrivingSpec] = {
    "turn": DrivingSpec(),
    # So many laps that nobody drives them: the end is that of the steps.
    "race": DrivingSpec(car=CarSpec(actions="turn_and_speed"), steps=600, laps=20.0),
}
METHODS = ("neat", "tabular", "dqn")
COLOURS: Mapping[str, str] = dict(zip(METHODS, ("tab:blue", "tab:red", "tab:green"), strict=True))
# Environment steps of a run before the first, in which everything is compiled: NEAT's has children.
WARM: Mapping[str, int] = {"neat": 40_000, "tabular": 300, "dqn": 2_000}


@dataclass(frozen=True)
class Run:
    """One method's learning on one setting."""

    setting: str
    method: str
    steps: int
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.setting}-{self.method}-{self.steps}-{self.seed}"


@dataclass(frozen=True)
class Trained:
    """What came of a budget.

    Args:
        driver: who did best on the training tracks, for a number of cars.
        curve: environment steps, and the mean of laps on the training tracks of the best until then.
        first_lap: environment steps until the first whole lap; None if there was none.
        steps: environment steps that were used.
        seconds: wall time.
        description: of the driver.
    """

    driver: Callable[[int], Driver]
    curve: Sequence[tuple[int, float]]
    first_lap: int | None
    steps: int
    seconds: float
    description: str


def neat(spec: DrivingSpec, steps: int, seed: int) -> Trained:
    """Search with NEAT until the budget is used; networks that express the same are driven once."""
    start, task = time.perf_counter(), spec.tasks().search
    # As many generations as the budget allows: each has at least a step for each of its new networks.
    search = NEAT(generations=max(2, steps), until_solved=False).search(
        Interface(task.input_names, task.output_names, task.bias, task.recurrent)
    )
    known: dict[str, Mapping[str, float]] = {}
    used, first_lap, best, champion, curve = 0, None, -np.inf, None, []
    for candidates in drive(search, seed):
        new = {own.genome.phenotype: own.genome for own in candidates if own.genome.phenotype not in known}
        keys = [SeedKey(seed).child("evaluate", len(known) + place) for place in range(len(new))]
        results = task.evaluate(Networks.of(list(new.values())), keys) if new else []
        for (phenotype, genome), measures in zip(new.items(), results, strict=True):
            if first_lap is None and measures["laps"] > 0:
                first_lap = used + steps_to_lap(task, genome)
            used += int(measures["environment_steps"])
            if used <= steps:  # what the budget cuts short does not count
                known[phenotype] = measures
                if measures["fitness"] > best:
                    curve.append((used, measures["fitness"]))
                if measures["fitness"] >= best:
                    best, champion = measures["fitness"], genome
        if used >= steps:
            break
        for candidate in candidates:
            candidate.judge(Outcome(Status.OK, known[candidate.genome.phenotype]), task.objectives)
    if champion is None:
        raise SystemExit(f"expected a budget for at least one network of NEAT's, got {steps} steps: raise --steps")
    first_lap = None if first_lap is None or first_lap > steps else first_lap
    seconds = time.perf_counter() - start
    return Trained(partial(network_driver, champion), curve, first_lap, steps, seconds, champion.describe())


def steps_to_lap(task: Driving, genome: Topology) -> int:
    """Return the environment steps of a network's evaluation, track after track, until its first whole lap."""
    before = 0
    for one in examine(network_driver(genome, len(task.tracks)), task.tracks, task.car, task.steps, task.laps):
        if one.first_lap is not None:
            return before + one.first_lap
        before += len(one.trajectory) - 1
    raise AssertionError("the network drives no whole lap, although its measures say so")


def tabular(spec: DrivingSpec, steps: int, seed: int) -> Trained:
    """Learn with a table."""
    rules = qlearning.QLearning(episode=spec.steps, laps=spec.laps, starts=spec.starts)
    found = qlearning.learn(rules, spec.tasks().search.tracks, spec.car, steps, seed)
    return trained(found.driver, found.training, f"{found.table.size} values")


def deep(spec: DrivingSpec, steps: int, seed: int) -> Trained:
    """Learn with a network and replay."""
    rules = dqn.DQN(episode=spec.steps, laps=spec.laps, starts=spec.starts)
    found = dqn.learn(rules, spec.tasks().search.tracks, spec.car, steps, seed)
    weights = sum(own.numel() for own in found.network.parameters())
    return trained(found.driver, found.training, f"{weights} weights")


def trained(driver: Driver, course: Training, description: str) -> Trained:
    """Read a course of Q-learning."""
    laps = np.maximum.accumulate(course.trials.laps.mean(axis=1)) if len(course.trials.steps) else np.empty(0)
    curve = list(zip(course.trials.steps.tolist(), laps.tolist(), strict=True))
    return Trained(lambda cars: driver, curve, course.first_lap, course.steps, course.seconds, description)


LEARNERS = {"neat": neat, "tabular": tabular, "dqn": deep}


def perform(run: Run, folder: Path) -> None:
    """Learn, examine, and store: values in a .json file, the ways on all tracks in a .npz file beside it."""
    spec = SETTINGS[run.setting]
    LEARNERS[run.method](spec, WARM[run.method], 0)  # compiling is nobody's learning time
    found = LEARNERS[run.method](spec, run.steps, run.seed)
    drives, ways = {}, {}
    for group, references in (("training", spec.tracks), ("held_out", spec.test_tracks)):
        tracks = [find_track(reference) for reference in references]
        own = examine(found.driver(len(tracks)), tracks, spec.car, spec.steps, spec.laps)
        drives[group] = {}
        for reference, one in zip(map(str, references), own, strict=True):
            drives[group][reference] = {"laps": one.laps, "crashed": one.crashed, "first_lap": one.first_lap}
            ways[reference] = one.trajectory.astype(np.float32)
    row = asdict(run) | {
        "used": found.steps, "seconds": round(found.seconds, 2), "first_lap": found.first_lap,
        "description": found.description, "curve": found.curve, **drives,
    }  # fmt: skip
    np.savez_compressed(folder / f"{run.name}.npz", **ways)
    # The values come last and at once: where they are, the run is complete.
    unfinished = folder / f"{run.name}.tmp"
    unfinished.write_text(json.dumps(row) + "\n")
    unfinished.replace(folder / f"{run.name}.json")


def waiting(settings: Sequence[str], methods: Sequence[str], seeds: int, steps: int, folder: Path) -> list[Run]:
    """Return the runs without a result, seed by seed, so that methods are comparable whenever the script is stopped."""
    runs = [Run(setting, method, steps, seed) for seed, setting, method in product(range(seeds), settings, methods)]
    return [run for run in runs if not (folder / f"{run.name}.json").exists()]


def read(folder: Path) -> list[dict[str, object]]:
    """Return all stored rows, in the order of settings, steps, methods and seeds."""
    rows = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    order = {name: place for place, name in enumerate((*SETTINGS, *METHODS))}
    return sorted(rows, key=lambda row: (order[row["setting"]], row["steps"], order[row["method"]], row["seed"]))


def value(row: Mapping[str, object], measure: str) -> float:
    """Return a measure of a row.

    Args:
        row: of a run.
        measure: ``seconds``; ``first_lap``, infinite where there was none; or ``laps``, ``share`` (of one lap, at most
            all) or ``success`` (share of tracks with a whole lap, percent), after ``training `` or ``held_out ``.
    """
    if measure == "first_lap":
        return np.inf if row["first_lap"] is None else float(row["first_lap"])
    if measure == "seconds":
        return float(row["seconds"])
    group, what = measure.split()
    laps = np.array([own["laps"] for own in row[group].values()])
    return float({"laps": laps, "share": np.clip(laps, 0, 1), "success": 100 * (laps >= 1)}[what].mean())


def by_method(rows: Sequence[Mapping[str, object]], measure: str) -> dict[str, np.ndarray]:
    """Return each method's (seeds,) values, in the order of the seeds that all of them have had."""
    found = {(row["method"], row["seed"]): value(row, measure) for row in rows}
    methods = [method for method in METHODS if any(method == name for name, _ in found)]
    common = [seed for seed in sorted({seed for _, seed in found}) if all((name, seed) in found for name in methods)]
    return {name: np.array([found[name, seed] for seed in common]) for name in methods}


def median_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Return two order statistics, between which the median is with 95 % confidence; None of less than 6 values."""
    place = int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(values), 0.5)) - 1
    ordered = np.sort(values)
    return None if place < 0 else (float(ordered[place]), float(ordered[-1 - place]))


MEASURES: Mapping[str, tuple[str, str]] = {
    "training laps": ("laps, training", ".2f"), "held_out laps": ("laps, held out", ".2f"),
    "held_out share": ("share of a lap, held out", ".2f"), "held_out success": ("held-out tracks with a lap, %", ".0f"),
    "first_lap": ("steps to the first lap", ",.0f"), "seconds": ("seconds", ".1f"),
}  # fmt: skip


def table(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the table of one setting and budget: medians over the seeds with their 95 % intervals."""
    columns = {measure: by_method(rows, measure) for measure in MEASURES}
    methods = columns["seconds"]
    seeds = len(next(iter(methods.values())))
    names = " | ".join(name for name, _ in MEASURES.values())
    yield f"| {rows[0]['setting']}, {seeds} seeds | {names} | environment steps | driver |"
    yield "|---" * (len(MEASURES) + 3) + "|"
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        cells = [_cell(columns[measure][method], style) for measure, (_, style) in MEASURES.items()]
        used = "/".join(f"{steps:,}" for steps in sorted({row["used"] for row in own}))
        yield f"| {method} | {' | '.join(cells)} | {used} | such as {own[0]['description']} |"


def pairs(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the table of differences within seeds; a method is called better only where the interval leaves out 0."""
    yield (
        f"| {rows[0]['setting']}: mean difference, 95 % | laps, training | laps, held out | steps to the first lap |"
        " more laps held out |"
    )
    yield "|---|---|---|---|---|"
    columns = {measure: by_method(rows, measure) for measure in ("training laps", "held_out laps", "first_lap")}
    for first, second in combinations(columns["first_lap"], 2):
        differences = {measure: own[first] - own[second] for measure, own in columns.items() if measure != "first_lap"}
        both = np.isfinite(columns["first_lap"][first]) & np.isfinite(columns["first_lap"][second])
        laps = columns["first_lap"][first][both] - columns["first_lap"][second][both]
        steps = _difference(laps, "+,.0f") + (f" (of {both.sum()} seeds)" if not both.all() else "")
        cells = [_difference(own, "+.2f") for own in differences.values()]
        better = verdict(differences["held_out laps"], first, second)
        yield f"| {first} - {second} | {' | '.join(cells)} | {steps} | {better} |"


def verdict(differences: np.ndarray, first: str, second: str) -> str:
    """Name the better of two methods, if the 95 % interval of the mean of their differences leaves out 0."""
    if len(differences) < 2:
        return "cannot be said of one seed"
    found = interval(differences.tolist())
    if abs(found.mean) <= found.half_width:
        return "no difference shown"
    return first if found.mean > 0 else second


def _cell(values: np.ndarray, style: str) -> str:
    bounds = median_interval(values)
    return _number(float(np.median(values)), style) + (
        f" [{_number(bounds[0], style)}, {_number(bounds[1], style)}]" if bounds else ""
    )


def _number(value: float, style: str) -> str:
    return format(value, style) if np.isfinite(value) else "never"


def _difference(values: np.ndarray, style: str) -> str:
    if not len(values):
        return "-"
    found = interval(values.tolist())
    return format(found.mean, style) + (f" ± {format(found.half_width, style[1:])}" if len(values) > 1 else "")


def report(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield everything that is said of the stored runs."""
    yield f"{RECONSTRUCTION[0].upper()}{RECONSTRUCTION[1:]}."
    for setting, steps in dict.fromkeys((row["setting"], row["steps"]) for row in rows):
        own = [row for row in rows if (row["setting"], row["steps"]) == (setting, steps)]
        yield ""
        yield (
            f"`{setting}`, {steps:,} environment steps for each method: medians over seeds with 95 % intervals (order"
            " statistics, from 6 seeds on), then differences within seeds (Student's t, each pair for itself)."
            " Q-learning's first lap may be one of a trial without exploring, which it has every"
            f" {Learner().evaluate_every:,} steps."
        )
        for part in (table, pairs):
            yield ""
            yield from part(own)


def draw_curves(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Draw laps on the training tracks of the best driver so far over the budget: medians and quartiles of seeds."""
    groups = list(dict.fromkeys((row["setting"], row["steps"]) for row in rows))
    with new_figure((5.5 * len(groups), 3.6), "constrained") as figure:
        for panel, (setting, steps) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
            grid = np.linspace(0, steps, 500)
            for method in METHODS:
                own = (setting, steps, method)
                curves = [row["curve"] for row in rows if (row["setting"], row["steps"], row["method"]) == own]
                if not curves:
                    continue
                laps = np.array([_best_by(curve, grid) for curve in curves])
                low, middle, high = np.percentile(laps, (25, 50, 75), axis=0)
                panel.fill_between(grid, low, high, color=COLOURS[method], alpha=0.2, linewidth=0)
                panel.plot(grid, middle, color=COLOURS[method], label=f"{method}, {len(curves)} seeds")
            panel.set(title=setting, xlabel="environment steps", ylabel="laps on the training tracks, best so far")
            panel.set_xticks(np.linspace(0, steps, 5))
            panel.legend()
        figure.savefig(path, dpi=110)


def _best_by(curve: Sequence[tuple[int, float]], grid: np.ndarray) -> np.ndarray:
    """Return the laps that a curve has reached at each place of a grid; 0 before its first point."""
    places = np.searchsorted([at for at, _ in curve], grid, side="right")
    return np.array([0.0, *(laps for _, laps in curve)])[places]


def draw(rows: Sequence[Mapping[str, object]], folder: Path, pictures: Path) -> list[Path]:
    """Draw the curves, and for each setting the first seed's ways at its largest budget; return the files.

    Args:
        rows: of the stored runs.
        folder: where these are stored.
        pictures: folder for the pictures.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    draw_curves(rows, pictures / "driving_curves.png")
    files = [pictures / "driving_curves.png"]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        spec = SETTINGS[setting]
        # Rows are in the order of their budgets, so that the largest is what is kept.
        chosen = {row["method"]: row for row in rows if row["setting"] == setting and row["seed"] == 0}
        runs = {method: Run(setting, method, row["steps"], 0) for method, row in chosen.items()}
        ways = {method: dict(np.load(folder / f"{run.name}.npz")) for method, run in runs.items()}
        references = [*spec.tracks, *spec.test_tracks]
        tracks = [find_track(reference) for reference in references]
        files += [pictures / f"driving_{setting}_tracks.png", pictures / f"driving_{setting}.gif"]
        every = {name: [own[str(one)] for one in references] for name, own in ways.items()}
        draw_trajectories(tracks, every, files[-2])
        shown = len(spec.tracks)  # the first track that nobody has learnt on
        animate(tracks[shown], {name: own[str(references[shown])] for name, own in ways.items()}, files[-1], spec.car)
    return files


def main() -> None:
    """Run, report, or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report", "pictures"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/driving-paper"))
    parser.add_argument("--pictures", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "run":
        missing = waiting(options.settings, options.methods, options.seeds, options.steps, options.out)
        with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as executor:
            for run, future in [(run, executor.submit(perform, run, options.out)) for run in missing]:
                future.result()
                print(f"{run.name} is done", flush=True)
    rows = [row for row in read(options.out) if row["setting"] in options.settings and row["method"] in options.methods]
    if not rows:
        raise SystemExit(f"expected stored runs in {options.out}, got none: begin with `run`")
    pictures = options.what == "pictures"
    print("\n".join(map(str, draw(rows, options.out, options.pictures)) if pictures else report(rows)))


if __name__ == "__main__":
    main()
