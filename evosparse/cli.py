"""The command line: one function per command, and the only place that prints.

What a command is asked for goes to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the
campaign failed, 2 bad input, 130 interrupted and resumable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from evosparse.engine import evaluate, records
from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate, Outcome
from evosparse.engine.listeners import progress
from evosparse.engine.problem import Kind, kind
from evosparse.engine.results import Arm, summarise
from evosparse.engine.seeds import SeedKey
from evosparse.engine.spec import CampaignSpec, parse, read
from evosparse.engine.store import Store
from evosparse.errors import BadInput, CampaignFailed, PluginError, StoreError

app = typer.Typer(
    name="evosparse", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Evolutionary search for small, sparse and unusual neural networks.",
)  # fmt: skip

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
Uid = Annotated[str, typer.Argument(metavar="UID", help="A candidate, such as 3.17; 'best' is the first of the Hall of Fame.")]
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
    except KeyboardInterrupt:
        print("interrupted: what was committed is safe, 'evosparse resume RUN' goes on from there", file=sys.stderr)
        sys.exit(130)


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
    """Run a campaign, from its first generation to the examination of its winner.

    Example: evosparse run experiments/kstarts_digits.yaml --set search.k=20 --workers 2
    """
    spec = read(file, overrides)
    with Campaign.from_spec(spec, out, file.resolve().parent) as campaign:
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
    """Go on with a campaign that was interrupted, or with a finished one for more generations.

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
        raise StoreError(f"{folder}: expected a folder of run directories, found none: run a campaign, or name another folder")
    rows = [_summary(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    _show_rows([row for row in rows if row is not None], as_json)


@app.command()
def hof(
    folder: Run,
    top: Annotated[int | None, typer.Option(min=1, help="Only the best so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the Hall of Fame: the best candidates, or the Pareto front.

    Example: evosparse hof runs/kstarts-digits --top 3
    """
    with Store.open(folder) as store:
        members = store.hall_of_fame(_kind_of(store).genomes.from_bytes)[:top]
    rows = [
        {"rank": rank, "uid": member.uid, **member.outcome.measures, "genome": member.genome.describe()}
        for rank, member in enumerate(members, 1)
    ]
    _show_rows(rows, as_json)


@app.command()
def show(folder: Run, uid: Uid = "best", as_json: AsJson = False) -> None:
    """Show one candidate: its genome, its measures, or why there are none.

    Example: evosparse show runs/kstarts-digits 1.0
    """
    with Store.open(folder) as store:
        known = _kind_of(store)
        candidate = _find(store, uid, known)
    facts = _facts(candidate) | {"traceback": candidate.outcome.traceback} | {"genome": known.show(candidate.genome)}
    _show_facts(facts, as_json)


@app.command()
def lineage(folder: Run, uid: Uid = "best", as_json: AsJson = False) -> None:
    """Show a candidate and its ancestors, parents before grandparents.

    Example: evosparse lineage runs/masks-genetic best
    """
    with Store.open(folder) as store:
        known = _kind_of(store)
        candidate = _find(store, uid, known)
        family = [candidate, *store.lineage(candidate.uid, known.genomes.from_bytes)]
    _show_rows([_facts(member) for member in family], as_json)


@app.command()
def verify(
    folder: Run,
    uid: Annotated[str | None, typer.Argument(metavar="[UID]", help="A candidate; default the whole Hall of Fame.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate again and compare with what is stored, bit for bit; exit code 1 if anything differs.

    Example: evosparse verify runs/kstarts-digits
    """
    with Store.open(folder) as store:
        spec = CampaignSpec.from_document(store.header.document, str(folder))
        known = _kind_of(store)
        problem = known.build(spec.problem, Path(store.header.base))
        members = store.hall_of_fame(known.genomes.from_bytes) if uid is None else [_find(store, uid, known)]
    rows = []
    with evaluate.InProcessEvaluator(problem.stage, spec.evaluation.policy) as evaluator:
        outcomes = evaluator.evaluate([evaluate.Job.of(member.genome, spec.seed) for member in members])
    for member, outcome in zip(members, outcomes, strict=True):
        same = outcome.status == member.outcome.status and dict(outcome.measures) == dict(member.outcome.measures)
        rows.append({"uid": member.uid, "same": same, "stored": _result(member.outcome), "again": _result(outcome)})
    _show_rows(rows, as_json)
    if not all(row["same"] for row in rows):
        raise CampaignFailed(f"{folder}: {sum(not row['same'] for row in rows)} of {len(rows)} results differ when evaluated again")


@app.command()
def export(
    folder: Run,
    uid: Uid = "best",
    file: Annotated[Path | None, typer.Option("-o", "--out", help="The file to write; default RUN/UID.safetensors.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a candidate, trained to the end as in the examination, to a file that other programs read.

    Example: evosparse export runs/kstarts-digits best -o winner.safetensors
    """
    with Store.open(folder) as store:
        spec = CampaignSpec.from_document(store.header.document, str(folder))
        known = _kind_of(store)
        candidate = _find(store, uid, known)
        problem = known.build(spec.problem, Path(store.header.base))
        metadata = {
            "evosparse": records.installed_versions().get("evosparse", "unknown"),
            "campaign": json.dumps(store.header.document),
            "uid": candidate.uid,
            "genome": candidate.genome.key,
            "measures": json.dumps(dict(candidate.outcome.measures)),
            "notes": json.dumps(list(store.header.notes)),
        }
    target = file if file is not None else folder / f"{candidate.uid}.safetensors"
    if not target.parent.is_dir():
        raise StoreError(f"{target}: expected an existing folder to write to, {target.parent} is none: make it first")
    with evaluate.one_thread():
        _show_facts(known.export(problem, candidate, target, spec.seed, metadata), as_json)


@app.command()
def digest(folder: Run) -> None:
    """Print the SHA-256 of everything that was found: equal for equal campaigns, however they were run.

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
    """Run the fitness of a campaign file once, here and on a worker, and say what is wrong before a campaign starts.

    Example: evosparse check-fitness experiments/plugins/calm.yaml
    """
    spec = read(file, overrides)
    problem = kind(spec.kind).build(spec.problem, file.resolve().parent)
    candidates = problem.search.ask(SeedKey(spec.seed).child("ask", 0))[:2]
    jobs = [evaluate.Job.of(candidate.genome, spec.seed) for candidate in candidates]
    policy = spec.evaluation.policy
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    say(f"found: objectives {', '.join(f'{name} ({way})' for name, way in problem.stage.fitness.objectives.items())}")
    with evaluate.InProcessEvaluator(problem.stage, policy) as evaluator:
        here = evaluator.evaluate(jobs)
        _expect_ok(here)
        say(f"runs here: {_result(here[0])}, {here[0].seconds:.3g} s for each genome")
        _expect_equal(here, [evaluator.evaluate([job])[0] for job in jobs], "evaluated alone")
        say("repeatable: the same alone and together")
    if workers:
        from evosparse.engine.cluster import Cluster

        with Cluster(1, sources=problem.sources) as cluster, cluster.evaluator(problem.stage, policy) as evaluator:
            there = evaluator.evaluate(jobs)
        _expect_ok(there)
        _expect_equal(here, there, "evaluated on a worker")
        say("runs on a worker: sent, imported and evaluated there with the same result")
    print("ok")


def _go(
    campaign: Campaign, generations: int | None, workers: int | None, address: str | None, as_json: bool, quiet: bool
) -> None:
    console = Console(stderr=True)
    listener = {} if quiet else {"listener": progress(console)}
    arms = campaign.run(generations, workers=workers, address=address, **listener)
    if as_json:
        print(json.dumps({"run": str(campaign.folder), "arms": [_arm_row(arm) for arm in arms]}, indent=2))
        return
    for note in campaign.store.header.notes:
        print(f"note: {note}")
    _print_arms(arms)
    print(f"run directory: {campaign.folder}")


def _print_arms(arms: Sequence[Arm]) -> None:
    names = list(dict.fromkeys(name for arm in arms for name in arm.measures))
    table = Table(title="examination: mean and 95 % interval over the seeds; accuracies are shares")
    for name in ("arm", "seeds", *names):
        table.add_column(name, justify="left" if name == "arm" else "right", no_wrap=name == "arm")
    for arm in arms:
        cells = [_interval(arm.measures[name].mean, arm.measures[name].half_width) if name in arm.measures else "-" for name in names]
        seeds = max((len(measure.values) for measure in arm.measures.values()), default=0)
        table.add_row(arm.name, f"{seeds}" + (f" ({arm.failed} failed)" if arm.failed else ""), *cells)
    _print_table(table)


def _interval(mean: float, half_width: float) -> str:
    text = f"{mean:,.0f}" if float(mean).is_integer() and abs(mean) >= 1 else f"{mean:.4f}"
    return f"{text} ± {half_width:.4f}" if half_width > 0 else text


def _arm_row(arm: Arm) -> dict[str, object]:
    measures = {
        name: {"mean": value.mean, "half_width": _finite(value.half_width), "values": list(value.values)}
        for name, value in arm.measures.items()
    }
    return {"arm": arm.name, "description": arm.description, "failed": arm.failed, "measures": measures}


def _amended(folder: Path, overrides: Sequence[str]) -> CampaignSpec:
    with Store.open(folder) as store:
        return parse(store.header.document, str(folder), overrides)


def _summary(folder: Path) -> Mapping[str, object] | None:
    """Return one line about a run directory; None if it is something else."""
    if not (folder / "campaign.sqlite").exists():
        return None
    try:
        with Store.open(folder) as store:
            document, best = store.header.document, store.hall_of_fame()[:1]
            row = {
                "run": str(folder),
                "kind": document["kind"],
                "status": f"finished ({store.reason})" if store.finished else "not finished",
                "generations": len(store.generations()),
                "evaluations": store.evaluations(),
                "seconds": round(store.seconds(), 1),
                "best": _result(best[0].outcome, store.header.objectives) if best else "-",
            }
            arms = summarise(store.trials())
            row["winner"] = ", ".join(f"{name} {value.mean:.4g}" for name, value in list(arms[0].measures.items())[:1]) if arms else "-"
            return row
    except BadInput as error:
        return {"run": str(folder), "status": f"unreadable: {error}"}


def _kind_of(store: Store) -> Kind:
    return kind(str(store.header.document["kind"]))


def _find(store: Store, uid: str, known: Kind) -> Candidate:
    decode = known.genomes.from_bytes
    if uid != "best":
        return store.candidate(uid, decode)
    members = store.hall_of_fame(decode)
    if not members:
        raise StoreError(f"{store.folder}: the Hall of Fame is empty: name a candidate by its uid, such as 0.0")
    return members[0]


def _facts(candidate: Candidate) -> dict[str, object]:
    outcome = candidate.outcome
    return {
        "uid": candidate.uid,
        "population": candidate.population,
        "parents": list(candidate.parents),
        "status": str(outcome.status),
        "measures": dict(outcome.measures),
        "message": outcome.message,
        "seconds": round(outcome.seconds, 4),
        "attempts": outcome.attempts,
        "key": candidate.genome.key,
        "describe": candidate.genome.describe(),
    }


def _result(outcome: Outcome, names: Sequence[str] | Mapping[str, str] | None = None) -> str:
    if not outcome.ok:
        return f"{outcome.status}: {outcome.message}"
    return ", ".join(f"{name} {value:.6g}" for name, value in outcome.measures.items() if names is None or name in names)


def _expect_ok(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if not outcome.ok:
            detail = f"\n{outcome.traceback}" if outcome.traceback else ""
            raise PluginError(f"the fitness function does not work: {outcome.status}: {outcome.message}; mend it{detail}")


def _expect_equal(first: Sequence[Outcome], second: Sequence[Outcome], how: str) -> None:
    for one, other in zip(first, second, strict=True):
        if dict(one.measures) != dict(other.measures):
            raise PluginError(
                f"the fitness function is not repeatable: {_result(one)} first, {_result(other)} when {how}: draw random "
                "numbers from the argument 'seed' alone, and let a result depend on its own genome only"
            )


def _show_rows(rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(list(rows), indent=2))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*[_cell(row.get(name, "")) for name in names])
    _print_table(table)


def _show_facts(facts: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(dict(facts), indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, Mapping) and any(isinstance(part, (list, dict)) for part in value.values()):
            print(f"{name}:")
            for key, part in value.items():
                print(f"  {key}: {_cell(part)}")
        else:
            print(f"{name}: {_cell(value)}")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(map(_cell, value)) if any(isinstance(part, Mapping) for part in value) else ", ".join(map(_cell, value))
    return str(value)


def _print_table(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def _finite(value: float) -> float | None:
    return value if value == value else None  # JSON has no NaN


def _complain(error: Exception, code: int) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
