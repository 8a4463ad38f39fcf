"""Who is told of a campaign's progress: a bar on a terminal, plain lines elsewhere, nobody by default."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evosparse.engine.candidate import Candidate

if TYPE_CHECKING:
    from evosparse.engine.campaign import Campaign


class Listener:
    """Is told of everything and does nothing: the base of every listener."""

    def begin(self, campaign: Campaign) -> None:
        """The campaign starts or goes on."""

    def progress(self, campaign: Campaign, done: int, total: int) -> None:
        """So many of the genomes of this generation, or of the trials of the examination, have been evaluated."""

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        """A generation has been committed."""

    def end(self, campaign: Campaign) -> None:
        """The campaign has ended, well or not."""


class PlainProgress(Listener):
    """Writes one line for each generation and each tenth of a long evaluation.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.perf_counter()
        self._tenth = 0

    def begin(self, campaign: Campaign) -> None:
        self._write(f"{campaign.folder}: from generation {campaign.generation}")

    def progress(self, campaign: Campaign, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if done == 0:
            self._start, self._tenth = time.perf_counter(), 0
        elif tenth > self._tenth and done < total:
            self._tenth = tenth
            rate = done / max(time.perf_counter() - self._start, 1e-9)
            self._write(f"  {done}/{total} evaluated, {rate:.1f}/s, {(total - done) / rate:.0f} s left")

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        self._write(progress_line(campaign, time.perf_counter() - self._start))

    def end(self, campaign: Campaign) -> None:
        if campaign.store.finished:
            self._write(f"{campaign.folder}: done after {campaign.generation} generations ({campaign.store.reason})")

    def _write(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class BarProgress(Listener):
    """Draws a bar for the evaluations that are under way, and keeps a line for each generation.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, rate="")
        self._start = time.perf_counter()

    def begin(self, campaign: Campaign) -> None:
        self._bar.start()

    def progress(self, campaign: Campaign, done: int, total: int) -> None:
        if done == 0:
            self._start = time.perf_counter()
            self._bar.reset(self._task, total=total, description=f"generation {campaign.generation}", rate="")
        rate = done / max(time.perf_counter() - self._start, 1e-9)
        self._bar.update(self._task, completed=done, rate=f"{rate:.1f}/s")

    def generation(self, campaign: Campaign, candidates: Sequence[Candidate]) -> None:
        line = progress_line(campaign, time.perf_counter() - self._start)
        self._bar.console.print(line, highlight=False, markup=False)

    def end(self, campaign: Campaign) -> None:
        self._bar.stop()


def progress_line(campaign: Campaign, seconds: float) -> str:
    """Say in one line how the last generation went.

    Args:
        campaign: with at least one generation.
        seconds: how long the last generation took.
    """
    record = campaign.logbook[-1]
    parts = [f"generation {record['generation']}: {record['candidates']} candidates"]
    if record["failed"]:
        parts.append(f"{record['failed']} failed")
    objectives = campaign.problem.stage.fitness.objectives
    for name, direction in objectives.items() if record["failed"] < record["candidates"] else ():
        measured = campaign.logbook.chapters[name][-1]
        parts.append(f"{name} best {measured['max' if direction == 'max' else 'min']:.6g}, mean {measured['mean']:.6g}")
    if len(campaign.hall_of_fame):
        parts.append(f"{'Pareto front' if len(objectives) > 1 else 'Hall of Fame'} {len(campaign.hall_of_fame)}")
    parts.append(f"{record['candidates'] / max(seconds, 1e-9):.1f}/s")
    left = campaign.last_generation - campaign.generation
    if left > 0:
        parts.append(f"at most {left * seconds:.0f} s left")
    return ", ".join(parts)


def progress(console: Console) -> Listener:
    """Return the listener that suits the console: a bar on a terminal, plain lines elsewhere."""
    return BarProgress(console) if console.is_terminal else PlainProgress(console)
