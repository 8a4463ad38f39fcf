"""Commands that read what is in run directories: list, hof, show, lineage, digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from evosparse import tables
from evosparse.cli.common import AsJson, Run, Uid, app, find, kind_of, show_facts, show_rows
from evosparse.engine import database
from evosparse.engine.store import Store
from evosparse.errors import BadInput, StoreError


@app.command("list")
def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of run directories.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List the campaigns in a folder.

    Example: evosparse list runs
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "a path where nothing is"
        raise StoreError(f"{folder}: expected a folder of run directories, got {got}: run a campaign, or name another")
    found = [path for path in (folder, *sorted(folder.iterdir())) if (path / database.FILE).exists()]
    show_rows([_summary(path) for path in found], as_json, f"no campaign in {folder}")


@app.command()
def hof(
    folder: Run,
    top: Annotated[int | None, typer.Option(min=1, help="Only the best so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the Hall of Fame, or the Pareto front.

    Example: evosparse hof runs/kstarts-digits --top 3
    """
    with Store.open(folder) as store:
        members = store.hall_of_fame(kind_of(store).genomes.from_bytes)[:top]
    rows = [
        {"rank": rank, "uid": member.uid, **member.outcome.measures, "genome": member.genome.describe()}
        for rank, member in enumerate(members, 1)
    ]
    show_rows(rows, as_json, f"the Hall of Fame of {folder} is empty")


@app.command()
def show(folder: Run, uid: Uid = "best", as_json: AsJson = False) -> None:
    """Show a candidate, or why it failed.

    Example: evosparse show runs/kstarts-digits 0.1
    """
    with Store.open(folder) as store:
        known = kind_of(store)
        candidate = find(store, uid, known)
    details = {"traceback": candidate.outcome.traceback, "details": known.show(candidate.genome)}
    show_facts(tables.candidate_row(candidate) | details, as_json)


@app.command()
def lineage(folder: Run, uid: Uid = "best", as_json: AsJson = False) -> None:
    """Show a candidate and its ancestors.

    Parents come before grandparents, in each population if there are several.

    Example: evosparse lineage runs/masks-genetic-digits best
    """
    with Store.open(folder) as store:
        known = kind_of(store)
        candidate = find(store, uid, known)
        family = [candidate, *store.lineage(candidate.uid, known.genomes.from_bytes)]
    rows = [tables.candidate_row(member) for member in tables.by_population(family)]
    one = len({member.population for member in family}) == 1
    hidden = () if as_json else ("message", "seconds", "attempts", "key", *(["population"] if one else []))
    show_rows([{name: value for name, value in row.items() if name not in hidden} for row in rows], as_json)


@app.command()
def digest(folder: Run) -> None:
    """Print the SHA-256 of everything found.

    It is equal for equal campaigns, however they were run.

    Example: evosparse digest runs/kstarts-digits
    """
    with Store.open(folder) as store:
        print(store.digest())


def _summary(folder: Path) -> Mapping[str, object]:
    """Return one line about a run directory."""
    try:
        with Store.open(folder) as store:
            return tables.campaign_row(store)
    except BadInput as error:
        return {"run": str(folder), "status": f"unreadable: {error}"}
