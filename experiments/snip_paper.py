"""SNIP beside its published errors: Lee et al., ICLR 2019, arXiv 1810.02340, LeNet-300-100 on MNIST.

    python experiments/snip_paper.py run        (--arms snip98 ... and --seeds N for a part)
    python experiments/snip_paper.py report
"""

from __future__ import annotations

from collections.abc import Iterator

from paper_runs import GLOROT, Arm, Paper, paired, percent

from evosparse.data import DataSpec
from evosparse.nets import ScheduleSpec, TrainingSpec
from evosparse.sparsify import SNIP, Dense, Random

# The paper's rate falls by ten every 25,000 steps, 46 epochs of 54,000 images in batches of 100. After three falls of its
# 250,000 steps nothing moves any more.
TRAINING = TrainingSpec(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4, batch=100, schedule=ScheduleSpec(name="step", every=46, factor=0.1)
)
COMMON = {"training": TRAINING, "epochs": 110, "data": DataSpec(name="mnist", validation=6000), "initialisation": GLOROT}

PAPER = Paper("snip", "SNIP", {
    "snip98": Arm("SNIP, 98 %", SNIP(), 0.98, published="2.4", **COMMON),
    "snip95": Arm("SNIP, 95 %", SNIP(), 0.95, published="1.6", **COMMON),
    "redrawn98": Arm("SNIP, 98 %, weights drawn anew (published code)", SNIP(redraw=True), 0.98, **COMMON),
    "random98": Arm("random, 98 %", Random(), 0.98, **COMMON),
    "dense": Arm("dense", Dense(), 0.0, published="1.7", **COMMON),
})  # fmt: skip


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| arm | published error | ours, last epoch | at best validation loss | best on test | seeds | minus random, 98 % |"
    yield "|---" * 7 + "|"
    for name, arm in PAPER.arms.items():
        own = [row for row in rows if row["arm"] == name]
        if own:
            values = [percent([row[key] for row in own], error=True) for key in ("test", "test_selected", "test_best")]
            against = paired(own, [row for row in rows if row["arm"] == "random98"]) if name == "snip98" else ""
            yield f"| {arm.title} | {arm.published} | {' | '.join(values)} | {len(own)} | {against} |"


if __name__ == "__main__":
    PAPER.main(report)
