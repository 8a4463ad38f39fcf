"""Han et al., NIPS 2015, arXiv 1506.02626, beside its published errors: LeNet-300-100 on MNIST at 8 / 9 / 26 %.

    python experiments/han_paper.py run
    python experiments/han_paper.py report
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paper_runs import GLOROT, Arm, Paper, Watched, paired, percent

from evosparse.nets import Connections, ScheduleSpec, TrainingSpec
from evosparse.nets.sparsity import Distribution
from evosparse.sparsify import Han
from evosparse.sparsify.methods.han import LENET300

TRAINING = TrainingSpec(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4, batch=100, schedule=ScheduleSpec(name="cosine")
)


class Seen(Han):
    """The method, looked at right after the cut as well."""

    def after_cut(self, cohort: Watched, connections: Sequence[Connections], turn: int) -> None:
        cohort.population.cut(connections)
        cohort.look("cut")


SIZES = Distribution(distribution="explicit", output_floor=0, layers=LENET300)
PAPER = Paper("han", "Han 2015", {
    "han": Arm("8 / 9 / 26 % of weights, retrained", Seen(distribution=SIZES), 0.92, TRAINING, 20, initialisation=GLOROT, published="1.59 (dense 1.64)", observe="all"),
})  # fmt: skip


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| arm | published error | dense, before | right after the cut | retrained | accuracy, retrained minus dense | weights | seeds |"
    yield "|---" * 8 + "|"
    dense, retrained = ([row["trainings"][place][2] for row in rows] for place in (0, -1))
    # The first rows were not looked at right after the cut.
    cut = [one[2] for row in rows for one in row["trainings"] if one[4] == "cut"] or [float("nan")]
    both = ([{"seed": seed, "test": value} for seed, value in enumerate(values)] for values in (retrained, dense))
    yield (
        f"| {PAPER.arms['han'].title} | {PAPER.arms['han'].published} | {percent(dense, True)} | {percent(cut, True)} | {percent(retrained, True)} "
        f"| {paired(*both)} | {rows[0]['weights']:,} | {len(rows)} |"
    )


if __name__ == "__main__":
    PAPER.main(report)
