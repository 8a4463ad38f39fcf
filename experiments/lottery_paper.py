"""Lottery tickets beside an independent replication: Frankle and Carbin, ICLR 2019, arXiv 1803.03635, LeNet-300-100 on MNIST.

    python experiments/lottery_paper.py run
    python experiments/lottery_paper.py report
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paper_runs import Arm, Paper, Watched, paired, percent

from evosparse.nets import Connections, TrainingSpec
from evosparse.sparsify import Dense, LotteryTicket

# 20 epochs of 55,000 images in batches of 60: 18,340 steps for each ticket in place of 50,000, for the early stop comes after
# some five thousand. The validation loss is looked at after each epoch, not every 100 steps, but for the whole network once more.
TRAINING = TrainingSpec(optimizer="adam", learning_rate=1.2e-3, batch=60)


class Controlled(LotteryTicket):
    """Lottery tickets, with the control of some rounds: the same masks, other initial weights."""

    controls: tuple[int, ...] = (7, 15)

    def after_cut(self, cohort: Watched, connections: Sequence[Connections], turn: int) -> None:
        if turn in self.controls:
            cohort.label = "redrawn"
            cohort.begin(connections, cohort.epochs, redraw=True)
            cohort.advance(cohort.epochs)
            cohort.label = ""


PAPER = Paper("lottery", "Lottery tickets", {
    "ticket": Arm("tickets", Controlled(), 1 - 9537 / 266_200, TRAINING, 20, observe="all"),
    "whole": Arm("whole network, looked at every 100 steps", Dense(), 0.0, TRAINING, 20, observe="steps"),
})  # fmt: skip
REPLICATION = {0: 98.05, 3: 98.04, 5: 98.26, 7: 98.33, 9: 98.26, 11: 98.20, 13: 98.19, 15: 98.16}


def report(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table."""
    whole = [row for row in rows if row["arm"] == "whole"]
    rows = [row for row in rows if row["arm"] == "ticket"]
    tickets = [[one for one in row["trainings"] if not one[4]] for row in rows]
    redrawn = [{one[0]: one for one in row["trainings"] if one[4]} for row in rows]
    yield "| rounds | weights | share, % | replication, early stop | ours, early stop | ours, at the end | epoch of the early stop | minus re-initialised |"
    yield "|---" * 8 + "|"
    for place in range(len(tickets[0]) if tickets else 0):
        own = [ticket[place] for ticket in tickets]
        early, end = percent([one[1] for one in own]), percent([one[2] for one in own])
        epoch = sum(one[3] for one in own) / len(own)
        pairs = [(ticket[place][1], other[ticket[place][0]][1]) for ticket, other in zip(tickets, redrawn) if ticket[place][0] in other]
        here, there = ([{"seed": seed, "test": pair[side]} for seed, pair in enumerate(pairs)] for side in (0, 1))
        control = paired(here, there) if pairs else ""
        yield f"| {place} | {own[0][0]:,.0f} | {100 * own[0][0] / 266_200:.2f} | {REPLICATION.get(place, '')} | {early} | {end} | {epoch:.1f} | {control} |"
    if whole:
        [stops] = zip(*(row["trainings"] for row in whole), strict=True)
        early = percent([one[1] for one in stops])
        steps = sum(100 * one[3] for one in stops) / len(stops)
        yield ""
        yield f"{PAPER.arms['whole'].title}: {early} at the early stop, after {steps:,.0f} steps ({len(stops)} seeds)."


if __name__ == "__main__":
    PAPER.main(report)
