"""Dropout with a bound on norms beside its published errors: Srivastava et al., JMLR 15, 2014, three layers of 1024 units on MNIST.

    python experiments/dropout_paper.py run --seeds 2    (hours on a CPU without bfloat16)
    python experiments/dropout_paper.py report
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paper_runs import HE, Arm, Paper, paired, percent
from torch import nn

from evosparse.data import DataSpec
from evosparse.nets import InitialisationSpec, NetworkSpec, ScheduleSpec, TrainingSpec
from evosparse.sparsify import Dense

UPDATES = 100_000


def wide(input_shape: Sequence[int], classes: int, dropped: float = 0.5, inputs: float = 0.2) -> nn.Sequential:
    """Build 784-1024-1024-1024-10; a share of the inputs and of each hidden layer's units is dropped."""
    parts: list[nn.Module] = [nn.Flatten(), nn.Dropout(inputs)]
    width = 1
    for length in input_shape:
        width *= length
    for _ in range(3):
        parts += [nn.Linear(width, 1024), nn.ReLU(), nn.Dropout(dropped)]
        width = 1024
    return nn.Sequential(*parts, nn.Linear(width, classes))


def training(norm: float | None, precision: str = "bfloat16") -> TrainingSpec:
    """Return the paper's training, of which learning rate and batch are not stated."""
    return TrainingSpec(
        optimizer="sgd", learning_rate=0.1, momentum=0.95, batch=100, max_norm=norm, precision=precision, schedule=ScheduleSpec(name="cosine")
    )


def network(dropped: float, inputs: float) -> NetworkSpec:
    """Return the network with these shares dropped."""
    return NetworkSpec(module=f"{__file__}:wide", parameters={"dropped": dropped, "inputs": inputs})


COMMON = {"epochs": UPDATES // 550, "data": DataSpec(name="mnist", validation=5000), "initialisation": InitialisationSpec(**HE.model_dump())}
PAPER = Paper("dropout", "Dropout", {
    "dropout": Arm("dropout, max-norm 2", Dense(), 0.0, training(2.0), network=network(0.5, 0.2), published="1.06 (1 M updates)", **COMMON),
    "standard": Arm("no dropout", Dense(), 0.0, training(None), network=network(0.0, 0.0), published="1.60", **COMMON),
}, seeds=2)  # fmt: skip


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| arm | published error | ours, last epoch | best on test | seeds |"
    yield "|---" * 5 + "|"
    for name, arm in PAPER.arms.items():
        own = [row for row in rows if row["arm"] == name]
        if own:
            final, best = (percent([row[key] for row in own], error=True) for key in ("test", "test_best"))
            yield f"| {arm.title} | {arm.published} | {final} | {best} | {len(own)} |"
    first, second = ([row for row in rows if row["arm"] == name] for name in ("dropout", "standard"))
    yield ""
    yield f"Dropout minus none, accuracy within seeds: {paired(first, second)} points."


if __name__ == "__main__":
    PAPER.main(report)
