"""What all commands share: the application, options that several have, and how values are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from evosparse import tables
from evosparse.engine.candidate import Candidate
from evosparse.engine.problem import Kind, kind
from evosparse.engine.store import Store
from evosparse.errors import StoreError

app = typer.Typer(
    name="evosparse", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Evolutionary search for small, sparse and unusual neural networks.",
)  # fmt: skip

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
Uid = Annotated[str, typer.Argument(metavar="UID", help="A candidate, such as 3.17; 'best' heads the Hall of Fame.")]
Set = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as search.k=20.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Ray workers; 0 evaluates in this process.")]
Address = Annotated[str | None, typer.Option(help="A running Ray cluster to join, HOST:PORT or 'auto'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"evosparse {version('evosparse')}")
        raise typer.Exit


@app.callback()
def _common(
    wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Evolutionary search for small, sparse and unusual neural networks."""


def kind_of(store: Store) -> Kind:
    """Return the kind of genome of a campaign."""
    return kind(str(store.header.document["kind"]))


def find(store: Store, uid: str, known: Kind) -> Candidate:
    """Return a candidate by its uid, or the best of the Hall of Fame.

    Raises:
        StoreError: there is none.
    """
    decode = known.genomes.from_bytes
    if uid != "best":
        return store.candidate(uid, decode)
    members = store.hall_of_fame(decode)
    if not members:
        raise StoreError(f"{store.folder}: the Hall of Fame is empty: name a candidate by its uid, such as 0.0")
    return members[0]


def show_rows(rows: Sequence[Mapping[str, object]], as_json: bool, otherwise: str = "nothing to show") -> None:
    """Print rows as a table or as JSON; where there are none, say so."""
    if as_json:
        print(json.dumps(list(rows), indent=2))
    elif rows:
        print_table(tables.table(rows))
    else:
        print(otherwise, file=sys.stderr)


def show_facts(facts: Mapping[str, object], as_json: bool) -> None:
    """Print facts as lines or as JSON."""
    print(json.dumps(dict(facts), indent=2) if as_json else "\n".join(tables.lines(facts)))


def print_table(table: Table) -> None:
    """Print a table as wide as it needs to be."""
    console = Console()
    # A pipe has no width: wide enough for every column.
    (console if console.is_terminal else Console(width=200)).print(table)
