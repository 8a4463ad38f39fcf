"""The command line: one function per command, and the only place that prints.

What a command is asked for goes to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the
campaign failed, 2 bad input, 130 interrupted and resumable.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from evosparse import tables
from evosparse.engine import database, evaluate
from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate
from evosparse.engine.check import check
from evosparse.engine.limits import one_thread
from evosparse.engine.listeners import progress
from evosparse.engine.problem import Kind, Problem, kind
from evosparse.engine.spec import CampaignSpec, parse, read
from evosparse.engine.store import Store
from evosparse.errors import BadInput, CampaignFailed, StoreError

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


def main() -> None:
    """Run the command line and turn errors into messages and exit codes."""
    try:
        app()
    except BadInput as error:
        _complain(error, 2)
    except CampaignFailed as error:
        _complain(error, 1)


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
    spec = read(file, overrides)
    with _undone_if_refused(out if out is not None else Path("runs") / spec.name) as made:
        with Campaign.from_spec(spec, out, file.resolve().parent) as campaign:
            made.append(campaign)
            _go(campaign, None, workers, address, as_json, quiet)


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
    _show_rows([_summary(path) for path in found], as_json, f"no campaign in {folder}")


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
        members = store.hall_of_fame(_kind_of(store).genomes.from_bytes)[:top]
    rows = [
        {"rank": rank, "uid": member.uid, **member.outcome.measures, "genome": member.genome.describe()}
        for rank, member in enumerate(members, 1)
    ]
    _show_rows(rows, as_json, f"the Hall of Fame of {folder} is empty")


@app.command()
def show(folder: Run, uid: Uid = "best", as_json: AsJson = False) -> None:
    """Show a candidate, or why it failed.

    Example: evosparse show runs/kstarts-digits 0.1
    """
    with Store.open(folder) as store:
        known = _kind_of(store)
        candidate = _find(store, uid, known)
    details = {"traceback": candidate.outcome.traceback, "details": known.show(candidate.genome)}
    _show_facts(tables.candidate_row(candidate) | details, as_json)


@app.command()
def lineage(folder: Run, uid: Uid = "best", as_json: AsJson = False) -> None:
    """Show a candidate and its ancestors.

    Parents come before grandparents, in each population if there are several.

    Example: evosparse lineage runs/masks-genetic-digits best
    """
    with Store.open(folder) as store:
        known = _kind_of(store)
        candidate = _find(store, uid, known)
        family = [candidate, *store.lineage(candidate.uid, known.genomes.from_bytes)]
    rows = [tables.candidate_row(member) for member in tables.by_population(family)]
    one = len({member.population for member in family}) == 1
    hidden = () if as_json else ("message", "seconds", "attempts", "key", *(["population"] if one else []))
    _show_rows([{name: value for name, value in row.items() if name not in hidden} for row in rows], as_json)


@app.command()
def verify(
    folder: Run,
    uid: Annotated[str | None, typer.Argument(metavar="[UID]", help="A candidate; default the Hall of Fame.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate again and compare, bit for bit.

    The exit code is 1 if anything differs from what is stored.

    Example: evosparse verify runs/kstarts-digits
    """
    with Store.open(folder) as store:
        known = _kind_of(store)
        members = store.hall_of_fame(known.genomes.from_bytes) if uid is None else [_find(store, uid, known)]
        spec, problem = _rebuilt(store, known)
    rows = []
    with evaluate.InProcessEvaluator(problem.stage, spec.evaluation.policy) as evaluator:
        outcomes = evaluator.evaluate([evaluate.Job.of(member.genome, spec.seed) for member in members])
    for member, outcome in zip(members, outcomes, strict=True):
        same = outcome.status == member.outcome.status and dict(outcome.measures) == dict(member.outcome.measures)
        stored, again = tables.result(member.outcome), tables.result(outcome)
        rows.append({"uid": member.uid, "same": same, "stored": stored, "again": again})
    _show_rows(rows, as_json, f"the Hall of Fame of {folder} is empty")
    different = sum(not row["same"] for row in rows)
    if different:
        raise CampaignFailed(f"{folder}: {different} of {len(rows)} results differ when they are evaluated again")


@app.command()
def export(
    folder: Run,
    uid: Uid = "best",
    file: Annotated[
        Path | None, typer.Option("-o", "--out", help="The file to write; by default UID in the run directory.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a candidate's network to a file.

    It is trained to the end first, as it was for the final table.

    Example: evosparse export runs/kstarts-digits best -o winner.safetensors
    """
    with Store.open(folder) as store:
        known = _kind_of(store)
        candidate = _find(store, uid, known)
        target = file if file is not None else folder / f"{candidate.uid}{known.suffixes[0]}"
        _require_place(target, known.suffixes)
        spec, problem = _rebuilt(store, known)
        problem.search.restore(store.state(known.genomes.from_bytes))  # a picture may show how the search went
        metadata = {
            "evosparse": version("evosparse"),
            "campaign": json.dumps(store.header.document),
            "uid": candidate.uid,
            "genome": candidate.genome.key,
            "measures": json.dumps(dict(candidate.outcome.measures)),
            "notes": json.dumps(list(store.header.notes)),
        }
    with one_thread():
        _show_facts(known.export(problem, candidate, target, spec.seed, metadata), as_json)


@app.command()
def digest(folder: Run) -> None:
    """Print the SHA-256 of everything found.

    It is equal for equal campaigns, however they were run.

    Example: evosparse digest runs/kstarts-digits
    """
    with Store.open(folder) as store:
        print(store.digest())


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
    _print_table(tables.examination(arms))
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


def _summary(folder: Path) -> Mapping[str, object]:
    """Return one line about a run directory."""
    try:
        with Store.open(folder) as store:
            return tables.campaign_row(store)
    except BadInput as error:
        return {"run": str(folder), "status": f"unreadable: {error}"}


def _kind_of(store: Store) -> Kind:
    return kind(str(store.header.document["kind"]))


def _rebuilt(store: Store, known: Kind) -> tuple[CampaignSpec, Problem]:
    """Return the campaign of a run directory, and its problem on the data that it began with."""
    spec = CampaignSpec.from_document(store.header.document, str(store.folder))
    problem = known.build(spec.problem, Path(store.header.base))
    if problem.data_hash != store.header.data_hash:
        raise StoreError(
            f"{store.folder}: expected the data that the campaign began with (hash {store.header.data_hash[:12]}), "
            f"got other data (hash {problem.data_hash[:12]}): restore the data"
        )
    return spec, problem


def _find(store: Store, uid: str, known: Kind) -> Candidate:
    decode = known.genomes.from_bytes
    if uid != "best":
        return store.candidate(uid, decode)
    members = store.hall_of_fame(decode)
    if not members:
        raise StoreError(f"{store.folder}: the Hall of Fame is empty: name a candidate by its uid, such as 0.0")
    return members[0]


def _require_place(target: Path, suffixes: Sequence[str]) -> None:
    """Refuse a place that cannot be written to, before the work is done; an earlier export there is replaced."""
    folder = target.parent
    if target.suffix not in suffixes or target.is_dir():
        got = "a folder" if target.is_dir() else repr(target.name)
        valid = " or ".join(suffixes)
        raise StoreError(f"{target}: expected the name of a file that ends in {valid}, got {got}: name one")
    if not folder.is_dir():
        raise StoreError(f"{target}: expected an existing folder to write to, {folder} is none: make it first")
    for path in (folder, target):
        # The mode counts even for root, as in the store.
        if path.exists() and not (os.access(path, os.W_OK) and path.stat().st_mode & 0o222):
            raise StoreError(f"{target}: cannot be written, {path} is read-only: change its permissions, or use -o")


def _show_rows(rows: Sequence[Mapping[str, object]], as_json: bool, otherwise: str = "nothing to show") -> None:
    if as_json:
        print(json.dumps(list(rows), indent=2))
    elif rows:
        _print_table(tables.table(rows))
    else:
        print(otherwise, file=sys.stderr)


def _show_facts(facts: Mapping[str, object], as_json: bool) -> None:
    print(json.dumps(dict(facts), indent=2) if as_json else "\n".join(tables.lines(facts)))


def _print_table(table: Table) -> None:
    console = Console()
    # A pipe has no width: wide enough for every column.
    (console if console.is_terminal else Console(width=200)).print(table)


def _complain(error: Exception, code: int) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
