"""RigL beside its published errors: Evci et al., ICML 2020, arXiv 1911.11134, LeNet-300-100 on MNIST (table 2).

    python experiments/rigl_paper.py run        (--arms rigl ... and --seeds N for a part)
    python experiments/rigl_paper.py report
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from paper_runs import GLOROT, HE, Arm, Paper, paired, percent

from evosparse.data import DataSpec
from evosparse.nets import ScheduleSpec, TrainingSpec
from evosparse.nets.sparsity import Distribution
from evosparse.sparsify import RigL, RigLRestarted, Static

# The script's 200 epochs with 60,000 images; 100 of them are kept out here, because a cohort wants validation examples.
SCRIPT = TrainingSpec(
    optimizer="sgd", learning_rate=0.2, momentum=0.9, nesterov=True, weight_decay=1e-4, batch=100,
    schedule=ScheduleSpec(name="step", at=(75, 95), factor=1 / 3),
)  # fmt: skip
UNTIL = 50_000 / (200 * 599)


def layers(first: float, second: float) -> Distribution:
    """Return the sparsities of the first two layers; the last is dense."""
    own = {"hidden1": first, "hidden2": second, "output": 0.0}
    return Distribution(distribution="explicit", output_floor=0, layers=own)


TABLE = {"training": SCRIPT, "epochs": 200, "data": DataSpec(name="mnist", validation=100), "initialisation": HE}
SHORT = TrainingSpec(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4, batch=100, schedule=ScheduleSpec(name="cosine")
)
EQUAL = {"training": SHORT, "epochs": 30, "initialisation": GLOROT}

PAPER = Paper("rigl", "RigL", {
    "static_er98": Arm("static, ER, 98 %", Static(), 0.98, **EQUAL),
    "rigl_er98": Arm("RigL, ER, 98 %", RigL(), 0.98, **EQUAL),
    "rigl": Arm("RigL, 99 % / 89 %", RigL(distribution=layers(0.99, 0.89), until=UNTIL), 0.975, published="1.44 (1.48), alive 408-100-69", **TABLE),
    "rigl_glorot": Arm(
        "the same from Glorot's weights", RigL(distribution=layers(0.99, 0.89), until=UNTIL), 0.975, **TABLE | {"initialisation": GLOROT},
    ),
    "restarted": Arm(
        "RigL+, 96 % / 86 % of what is alive", RigLRestarted(first=layers(0.99, 0.89), distribution=layers(0.96, 0.86), until=UNTIL),
        0.975, published="1.57 (1.69), alive 375-62-51", **TABLE,
    ),
}, per_arm={"rigl": 3, "rigl_glorot": 1, "restarted": 3})  # fmt: skip


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| arm | published error, best (final) | ours, final | best on test | alive inputs, h1, h2 | weights | seeds |"
    yield "|---" * 7 + "|"
    for name, arm in PAPER.arms.items():
        own = [row for row in rows if row["arm"] == name]
        if own:
            alive = " - ".join(f"{value:.0f}" for value in np.mean([row["alive"] for row in own], axis=0))
            final, best = (percent([row[key] for row in own], error=True) for key in ("test", "test_best"))
            yield f"| {arm.title} | {arm.published} | {final} | {best} | {alive} | {own[0]['weights']:,} | {len(own)} |"
    first, second = ([row for row in rows if row["arm"] == name] for name in ("rigl_er98", "static_er98"))
    yield ""
    yield f"RigL minus static at 98 %, the same ER counts, accuracy within seeds: {paired(first, second)} points."


if __name__ == "__main__":
    PAPER.main(report)
