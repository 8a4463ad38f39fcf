"""Commands that run a campaign, or try what it needs: run, resume, check-fitness."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evosparse import tables
from evosparse.cli.common import Address, AsJson, Quiet, Run, Set, Workers, app, print_table
from evosparse.engine import database
from evosparse.engine.campaign import Campaign
from evosparse.engine.check import check
from evosparse.engine.listeners import progress
from evosparse.engine.problem import kind
from evosparse.engine.spec import CampaignSpec, parse, read
from evosparse.engine.store import Store
from evosparse.errors import BadInput


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A campaign file.")],
    overrides: Set = [],  # noqa: B006 - typer copies it
    workers: Workers = None,
    address: Address = None,
    out: Annotated[Path | None, typer.Option(help="A new run directory; default runs/NAME.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a campaign to its final table.

    Example: evosparse run experiments/kstarts_digits.yaml --set search.k=20 --workers 2
    """
    start(read(file, overrides), file.resolve().parent, out, workers, address, as_json, quiet)


@app.command()
def resume(
    folder: Run,
    generations: Annotated[int | None, typer.Option(min=1, help="How many generations there shall be in all.")] = None,
    overrides: Set = [],  # noqa: B006
    workers: Workers = None,
    address: Address = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a campaign.

    One that was interrupted goes on from its last generation, a finished one for more generations.

    Example: evosparse resume runs/kstarts-digits --generations 20
    """
    spec = _amended(folder, overrides) if overrides else None
    with Campaign.resume(folder, spec) as campaign:
        _go(campaign, generations, workers, address, as_json, quiet)


@app.command("check-fitness")
def check_fitness(
    file: Annotated[Path, typer.Argument(metavar="SPEC", help="A campaign file that names the fitness.")],
    overrides: Set = [],  # noqa: B006
    workers: Annotated[int, typer.Option(min=0, max=1, help="0 leaves out the test on a Ray worker.")] = 1,
) -> None:
    """Try the fitness of a campaign file.

    It is run on two genomes, here and on a worker, and what is wrong is told before a campaign starts.

    Example: evosparse check-fitness experiments/plugins/calm.yaml
    """
    spec = read(file, overrides)
    problem = kind(spec.kind).build(spec.problem, file.resolve().parent)
    for line in check(problem, spec, on_worker=workers > 0):
        print(line)
    print("ok")


def start(
    spec: CampaignSpec, base: Path, out: Path | None, workers: int | None, address: str | None, as_json: bool, quiet: bool
) -> None:
    """Begin a campaign, run it and show its final table.

    Args:
        spec: of the campaign.
        base: folder of relative paths in it.
        out: a new run directory; None for ``runs/NAME``.
        workers, address: see `Campaign.run`.
        as_json: print JSON.
        quiet: show no progress.
    """
    with _undone_if_refused(out if out is not None else Path("runs") / spec.name) as made:
        with Campaign.from_spec(spec, out, base) as campaign:
            made.append(campaign)
            _go(campaign, None, workers, address, as_json, quiet)


def _go(
    campaign: Campaign, generations: int | None, workers: int | None, address: str | None, as_json: bool, quiet: bool
) -> None:
    listener = {} if quiet else {"listener": progress(Console(stderr=True))}
    try:
        arms = campaign.run(generations, workers=workers, address=address, **listener)
    except KeyboardInterrupt:
        mend = f"'evosparse resume {campaign.folder}' goes on from there"
        print(f"interrupted: the {campaign.generation} generations done are safe, {mend}", file=sys.stderr)
        raise typer.Exit(130) from None
    notes = campaign.store.header.notes
    if as_json:
        rows = [tables.arm_row(arm) for arm in arms]
        print(json.dumps({"run": str(campaign.folder), "notes": list(notes), "arms": rows}, indent=2))
        return
    for note in notes:
        print(f"note: {note}")
    print_table(tables.examination(arms))
    print(f"run directory: {campaign.folder}")


@contextmanager
def _undone_if_refused(folder: Path) -> Iterator[list[Campaign]]:
    """Remove the run directory of a campaign that was refused before its first generation, for want of a cluster say.

    Args:
        folder: where it is going to be, or beside.

    Yields:
        A list, to which the block adds the campaign once it is made.
    """
    missing = [path for path in folder.absolute().parents if not path.exists()]
    existed = folder.exists()
    made: list[Campaign] = []
    try:
        yield made
    except BadInput:
        for campaign in made:
            if not campaign.generation:
                (campaign.folder / database.FILE).unlink(missing_ok=True)
                for path in [*([] if existed and campaign.folder == folder else [campaign.folder]), *missing]:
                    path.rmdir()
        raise


def _amended(folder: Path, overrides: Sequence[str]) -> CampaignSpec:
    with Store.open(folder) as store:
        return parse(store.header.document, str(folder), overrides)
