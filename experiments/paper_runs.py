"""What the experiments on published sparsifiers share: arms, runs stored line by line, and tables with intervals.

Every run of one network is one line of a ``.jsonl`` file under ``experiments/papers``; what is there is not run again. All
seeds of an arm are trained as one population. Test figures of every epoch are kept beside the training, where no
method sees them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from evosparse.data import DataSet, DataSpec, load  # noqa: E402
from evosparse.engine.results import interval  # noqa: E402
from evosparse.nets import InitialisationSpec, NetworkSpec, TrainingSpec, build  # noqa: E402
from evosparse.sparsify import Cohort, Replicate, Sparsifier  # noqa: E402

PAPERS = Path(__file__).resolve().parent / "papers"
GLOROT = InitialisationSpec(weights="glorot_normal", mask_aware=False)
HE = InitialisationSpec(mask_aware=False)


@dataclass(frozen=True)
class Arm:
    """One row of a paper's table.

    Args:
        title: of the row.
        method: with its parameters.
        sparsity: that it leaves.
        training: of its networks.
        epochs: length of a training.
        network: the architecture.
        data: the data set and its split.
        initialisation: of the weights.
        published: what the paper says.
        cohort: the kind of cohort; one that is `Watched`.
        observe: where to keep test figures: at every ``epoch`` of the last training, or of ``all`` trainings, or at every
            100 ``steps`` of the last, and at its end.
    """

    title: str
    method: Sparsifier
    sparsity: float
    training: TrainingSpec
    epochs: int
    network: NetworkSpec = NetworkSpec(name="lenet300")
    data: DataSpec = DataSpec(name="mnist", validation=5000)
    initialisation: InitialisationSpec = GLOROT
    published: str = ""
    observe: str = "epoch"
    cohort: type[Cohort] | None = None


class Watched(Cohort):
    """A cohort that is watched from outside: test figures of each epoch, which nothing inside sees.

    Attributes:
        seen: a row for each epoch: training, weights, validation loss and test accuracy of each network.
        label: of the trainings to come.
    """

    label: str = ""

    def watch(self, data: DataSet, observe: str) -> None:
        """Look at the test set, as often as an arm says."""
        self.seen: list[dict[str, object]] = []
        self._data, self._observe, self._trainings = data, observe, []

    def begin(self, *arguments: object, **named: object) -> None:
        super().begin(*arguments, **named)
        self._trainings.append(self.label)

    def advance(
        self, epochs: int, final: bool = False, before_step: Callable | None = None, after_epoch: Callable | None = None,
        train: Callable[[int], None] | None = None,
    ) -> None:  # fmt: skip
        def looking(minibatch: Callable) -> bool:
            if self.population.steps and self.population.steps % 100 == 0:
                self.look()
            return before_step is not None and before_step(minibatch)

        if final and not epochs:
            self.look()
        for epoch in range(epochs):
            own = None if train is None else lambda _, epoch=epoch: train(epoch)
            super().advance(1, final, looking if final and self._observe == "steps" else before_step, train=own)
            if self._observe == "all" or (final and (self._observe == "epoch" or epoch == epochs - 1)):
                self.look()
            if after_epoch is not None and epoch < epochs - 1:
                after_epoch(epoch)

    def look(self, label: str = "") -> None:
        """Keep the test figures of now, under a label of their own if there is one."""
        validation = self.population.evaluate(self.validation.x, self.validation.y)
        test = self.population.accuracy(self._data.test.x, self._data.test.y)
        self.seen.append({
            "training": len(self._trainings), "label": label or self.label, "loss": validation.loss.tolist(), "test": test.tolist(),
            "weights": [sum(map(len, own)) for own in self.connections],
        })  # fmt: skip


@dataclass
class Paper:
    """The experiment of one paper.

    Args:
        name: of the files under ``papers``.
        title: of the page.
        arms: by name.
        seeds: as many as the targets ask for.
    """

    name: str
    title: str
    arms: Mapping[str, Arm]
    seeds: int = 5
    per_arm: Mapping[str, int] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Where runs are stored."""
        return PAPERS / f"{self.name}.jsonl"

    def rows(self, file: Path | None = None) -> list[dict]:
        """Return the runs that are there."""
        path = file or self.file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def run(
        self, names: Sequence[str], seeds: int | None = None, file: Path | None = None, changes: Mapping[str, object] | None = None
    ) -> Iterator[dict]:
        """Make the runs that are missing, all seeds of an arm together.

        Args:
            names: of the arms.
            seeds: in place of the paper's.
            file: where to store them.
            changes: fields of every arm, for a quick look.
        """
        path = file or self.file
        for name in names:
            arm = self.arms[name]
            if changes:
                arm = Arm(**{key: getattr(arm, key) for key in Arm.__dataclass_fields__} | dict(changes))
            done = {row["seed"] for row in self.rows(path) if row["arm"] == name}
            wanted = [seed for seed in range(seeds or self.per_arm.get(name, self.seeds)) if seed not in done]
            for row in train(arm, wanted) if wanted else ():
                row = {"arm": name, **row}
                with path.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                yield row

    def main(self, report: Callable[[list[dict]], Iterator[str]], arguments: Sequence[str] | None = None) -> None:
        """Run, or print the report: the command line of every paper."""
        parser = argparse.ArgumentParser(description=self.title)
        parser.add_argument("command", choices=("run", "report"))
        parser.add_argument("--arms", nargs="+", choices=tuple(self.arms), default=tuple(self.arms))
        parser.add_argument("--seeds", type=int)
        options = parser.parse_args(arguments)
        if options.command == "run":
            for row in self.run(options.arms, options.seeds):
                print(json.dumps({key: value for key, value in row.items() if key != "epochs_seen"}), flush=True)
        else:
            print("\n".join(report(self.rows())))


def train(arm: Arm, seeds: Sequence[int]) -> list[dict]:
    """Train an arm's networks, and return a row for each."""
    began = time.perf_counter()
    data = load(arm.data)
    network = build(arm.network, data.search.input_shape, data.search.classes)
    cohort = (arm.cohort or Watched)(
        network, data.search.train, data.search.validation, [Replicate(seed, arm.sparsity) for seed in seeds],
        arm.training, arm.initialisation, arm.epochs,
    )  # fmt: skip
    cohort.watch(data, arm.observe)
    arm.method.sparsify(cohort)
    seconds = round((time.perf_counter() - began) / len(seeds), 1)
    rows = []
    for number, (seed, result) in enumerate(zip(seeds, cohort.results(), strict=True)):
        seen = [(one["training"], one["weights"][number], one["loss"][number], one["test"][number], one["label"]) for one in cohort.seen]
        last = [one for one in seen if (one[0], one[4]) == (seen[-1][0], seen[-1][4])]
        rows.append({
            "seed": seed, "method": arm.method.method, "sparsity": arm.sparsity, "weights": result.measures["weights"],
            "test": last[-1][3], "test_selected": last[int(np.argmin([one[2] for one in last]))][3],
            "test_best": max(one[3] for one in last), "validation": result.measures["validation_accuracy"],
            "alive": [value for key, value in result.measures.items() if key.startswith("alive_")],
            "training_multiply_adds": result.measures["training_multiply_adds"], "epochs": result.measures["epochs"],
            "seconds": seconds, "trainings": ladder(seen) if arm.observe != "epoch" else [],
            **({"further": dict(cohort.further[number])} if cohort.further[number] else {}),
        })  # fmt: skip
    return rows


def ladder(seen: Sequence[tuple[int, int, float, float, str]]) -> list[list[float | str]]:
    """Return of each training its weights, test accuracy at the least validation loss and at the end, that epoch, its label."""
    found = []
    for training in sorted({(one[0], one[4]) for one in seen}):
        own = [one for one in seen if (one[0], one[4]) == training]
        epoch = int(np.argmin([one[2] for one in own]))
        found.append([own[0][1], own[epoch][3], own[-1][3], epoch + 1, own[0][4]])
    return found


def percent(values: Sequence[float], error: bool = False) -> str:
    """Return the mean of shares in per cent with its 95 % interval; of errors if asked."""
    shown = interval([100 * (1 - value if error else value) for value in values])
    return f"{shown.mean:.2f}" + (f" ± {shown.half_width:.2f}" if len(values) > 1 else "")


def paired(first: Sequence[Mapping], second: Sequence[Mapping], key: str = "test") -> str:
    """Return the mean difference of two arms within seeds, in points of per cent, with its 95 % interval."""
    other = {row["seed"]: row[key] for row in second}
    differences = [100 * (row[key] - other[row["seed"]]) for row in first if row["seed"] in other]
    if not differences:
        return "-"
    shown = interval(differences)
    return f"{shown.mean:+.2f}" + (f" ± {shown.half_width:.2f}" if len(differences) > 1 else "")
