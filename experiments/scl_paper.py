"""SCL, a reconstruction, beside what was measured for the project's page: Tang et al., arXiv 2201.05020, LeNet-300-100 on MNIST.

    python experiments/scl_paper.py run
    python experiments/scl_paper.py report
"""

from __future__ import annotations

from collections.abc import Iterator

from paper_runs import HE, Arm, Paper, percent

from evosparse.nets import TrainingSpec
from evosparse.sparsify import SCL

TRAINING = TrainingSpec(optimizer="adam", learning_rate=1.2e-3, batch=100)
MEASURED = {0.0: ".888, .883 / 98.2, 97.8", 0.003: ".084, .084 / 98.1, 98.2", 0.01: ".0147, .0145 / 97.7, 97.6",
            0.02: ".0056, .0056 / 95.8, 96.3", 0.04: ".0017, .0019 / 91.8, 92.4"}  # fmt: skip
PAPER = Paper("scl", "SCL", {
    f"{penalty:g}": Arm(f"penalty {penalty:g}", SCL(penalty=penalty, tune=0), 0.0, TRAINING, 12, initialisation=HE, published=MEASURED[penalty])
    for penalty in MEASURED
}, seeds=3)  # fmt: skip
SIZE = 266_200


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{SCL().notes[0]}."
    yield ""
    yield "| penalty | density / test %, measured for the page | ours, density | test % | masks that flip in the last epoch | units without weights | seeds |"
    yield "|---" * 7 + "|"
    for name, arm in PAPER.arms.items():
        own = [row for row in rows if row["arm"] == name]
        if own:
            density = sum(row["weights"] for row in own) / len(own) / SIZE
            flips, dead = (sum(row["further"][key] for row in own) / len(own) for key in ("flips", "dead_units"))
            yield f"| {name} | {arm.published} | {density:.4f} | {percent([row['test'] for row in own])} | {flips:,.0f} | {dead:.1f} | {len(own)} |"


if __name__ == "__main__":
    PAPER.main(report)
