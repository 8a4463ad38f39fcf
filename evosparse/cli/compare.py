"""The command that puts several campaigns in one table: compare."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from evosparse import tables
from evosparse.cli.common import AsJson, app, print_table
from evosparse.engine.store import Store
from evosparse.report import compare as comparison


@app.command("compare")
def compare_runs(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories of any kinds.")],
    against: Annotated[
        str | None, typer.Option(metavar="RUN[:ARM]", help="The reference; default the first arm of the first run.")
    ] = None,
    equal_weights: Annotated[
        bool, typer.Option("--equal-weights", help="Only arms with as many weights as the reference.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the arms of several runs.

    Means and 95 % intervals over the seeds, medians, what search and training cost, and paired differences from a reference.

    Example: evosparse compare runs/masks-genetic-digits runs/sparsify-rigl-lenet300 --equal-weights
    """
    with ExitStack() as stack:
        table = comparison.compare([stack.enter_context(Store.open(folder)) for folder in folders], against, equal_weights)
    if as_json:
        print(json.dumps(comparison.as_json(table), indent=2))
        return
    for note in table.notes:
        print(f"note: {note}")
    print_table(tables.table(comparison.cells(table)))
