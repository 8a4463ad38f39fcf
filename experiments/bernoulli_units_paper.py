"""Variational Bernoulli units, a reconstruction, beside what was measured for the project's page: arXiv 2205.04650, on MNIST.

    python experiments/bernoulli_units_paper.py run
    python experiments/bernoulli_units_paper.py report
"""

from __future__ import annotations

from collections.abc import Iterator

from paper_runs import HE, Arm, Paper, percent

from evosparse.nets import NetworkSpec, TrainingSpec
from evosparse.sparsify import BernoulliUnits

TRAINING = TrainingSpec(optimizer="adam", learning_rate=1.2e-3, batch=100)
MEASURED = {("300-100", 3e-4): "93-52 / .56 / 98.0", ("300-100", 1e-3): "49-29 / .80 / 97.6",
            ("600-200", 3e-4): "105-49 / .76 / 98.0", ("600-200", 1e-3): "53-26 / .91 / 97.6"}  # fmt: skip
PAPER = Paper("bernoulli_units", "Variational Bernoulli units", {
    f"{widths} {penalty:g}": Arm(
        f"{widths}, {penalty:g}", BernoulliUnits(penalty=penalty, tune=0), 0.0, TRAINING, 15,
        NetworkSpec(name="mlp", hidden=tuple(map(int, widths.split("-")))), initialisation=HE, published=known,
    )
    for (widths, penalty), known in MEASURED.items()
}, seeds=3)  # fmt: skip


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{BernoulliUnits().notes[0]}."
    yield ""
    yield "| start, penalty | units / decided / test %, measured for the page | ours, units | decided | test % | seeds |"
    yield "|---" * 6 + "|"
    for name, arm in PAPER.arms.items():
        own = [row for row in rows if row["arm"] == name]
        if own:
            units = "-".join(f"{sum(row['alive'][place] for row in own) / len(own):.1f}" for place in (1, 2))
            decided = sum(row["further"]["decided"] for row in own) / len(own)
            yield f"| {arm.title} | {arm.published} | {units} | {decided:.2f} | {percent([row['test'] for row in own])} | {len(own)} |"


if __name__ == "__main__":
    PAPER.main(report)
