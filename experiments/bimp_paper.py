"""Retraining after pruning: Zimmer et al., ICLR 2023, arXiv 2111.00843, LeNet-300-100 on MNIST, pruned once over all layers.

    python experiments/bimp_paper.py run
    python experiments/bimp_paper.py report

The paper's tables are of other networks; what stands beside ours was measured for the project's page on the method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paper_runs import HE, Arm, Paper, Watched, paired, percent

from evosparse.data import DataSpec
from evosparse.nets import Connections, ScheduleSpec, TrainingSpec
from evosparse.sparsify import BIMP, IMP
from evosparse.sparsify.cohort import State

DENSE = 20
TRAINING = TrainingSpec(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4, batch=100,
    schedule=ScheduleSpec(name="step", at=(DENSE // 2, DENSE * 3 // 4), factor=0.1),
)  # fmt: skip
CELLS = {(0.80, 1): (98.42, 98.47, 98.55, 98.57, 98.47), (0.95, 1): (96.59, 97.91, 98.00, 98.00, 98.00),
         (0.95, 3): (97.10, 98.21, 98.26, 98.25, 98.19), (0.98, 1): (92.01, 96.82, 96.93, 96.90, 96.81),
         (0.98, 3): (94.08, 97.55, 97.59, 97.60, 97.53)}  # fmt: skip
SCHEDULES = ("ft", "slr", "clr", "llr", "allr", "lrw")  # the last is the same as the first with these rates


class Remembering(Watched):
    """Dense networks of the same seeds are the same in all arms: they are trained once."""

    known: dict[tuple, list[State]] = {}

    def advance(self, epochs: int, *rest: object, **named: object) -> None:
        key = (tuple(own.number for own in self.replicates), self.network.widths, self.training.model_dump_json(), epochs)
        if self.epochs_trained or self.training.schedule.name != "step":
            super().advance(epochs, *rest, **named)
        elif key in self.known:
            for number, state in enumerate(self.known[key]):
                self.population.load(number, state)
            self.look("dense")
            self.charge([0] * len(self), epochs)
        else:
            super().advance(epochs, *rest, **named)
            self.known[key] = [self.population.state(number) for number in range(len(self))]
            self.look("dense")


class Looking(IMP):
    """IMP whose networks are looked at right after the cut."""

    def begin(self, cohort: Watched, connections: Sequence[Connections], states: Sequence[State] | None, turn: int) -> int:
        epochs = super().begin(cohort, connections, states, turn)
        if turn == 2:
            cohort.look("cut")
        return epochs


COMMON = {"training": TRAINING, "epochs": DENSE, "data": DataSpec(name="mnist", validation=6000), "initialisation": HE}
PAPER = Paper("bimp", "IMP and BIMP", {
    **{
        f"{name}{100 * sparsity:g}-{epochs}": Arm(
            f"{name.upper()}, {100 * sparsity:g} %, {epochs}", Looking(retraining=name, retrain_epochs=epochs), sparsity, observe="all",
            cohort=Remembering, **COMMON,
        )
        for sparsity, epochs in CELLS for name in SCHEDULES
    },
    **{
        f"bimp{rounds}": Arm(f"BIMP, 98 %, {rounds} cuts in 20 epochs", BIMP(rounds=rounds, dense_share=0.75), 0.98, cohort=Remembering, **COMMON)
        for rounds in (1, 3)
    },
}, seeds=3)  # fmt: skip


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| sparsity, retrained for | right after the cut | " + " | ".join(name.upper() for name in SCHEDULES) + " | ALLR starts at |"
    yield "|---" * (len(SCHEDULES) + 3) + "|"
    for (sparsity, epochs), measured in CELLS.items():
        cell = {name: [row for row in rows if row["arm"] == f"{name}{100 * sparsity:g}-{epochs}"] for name in SCHEDULES}
        if not all(cell.values()):
            continue
        cut = percent([one[2] for row in cell["ft"] for one in row["trainings"] if one[4] == "cut"])
        shown = [f"{percent([row['test'] for row in cell[name]])} ({known:.2f})" for name, known in zip(SCHEDULES, (*measured, measured[0]))]
        start = [0.1 * row["further"]["retraining_rate"] for row in cell["allr"]]
        yield f"| {sparsity:.2f}, {epochs} | {cut} | {' | '.join(shown)} | {sum(start) / len(start):.3f} |"
    yield ""
    yield "In brackets what the project's page measured; three seeds, 95 % intervals."
    dense = {row["seed"]: one[2] for row in rows for one in row["trainings"] if one[4] == "dense"}
    if dense:
        yield f"Dense networks: {percent(list(dense.values()))} (98.61)."
    for name in ("bimp1", "bimp3"):
        own = [row for row in rows if row["arm"] == name]
        if own:
            yield f"{PAPER.arms[name].title}: {percent([row['test'] for row in own])}."
    for (sparsity, epochs), name in (((0.95, 1), ".95"), ((0.98, 1), ".98")):
        base = [row for row in rows if row["arm"] == f"ft{100 * sparsity:g}-{epochs}"]
        gains = [f"{own.upper()} {paired([row for row in rows if row['arm'] == f'{own}{100 * sparsity:g}-{epochs}'], base)}" for own in SCHEDULES[1:5]]
        yield f"Minus FT at {name}, one epoch: {', '.join(gains)}."


if __name__ == "__main__":
    PAPER.main(report)
