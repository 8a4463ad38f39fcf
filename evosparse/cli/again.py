"""Commands that compute again what a campaign computed, from what it stored: verify, export."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from evosparse import tables
from evosparse.cli.common import AsJson, Run, Uid, app, find, kind_of, show_facts, show_rows
from evosparse.engine import evaluate
from evosparse.engine.limits import one_thread
from evosparse.engine.problem import Kind, Problem
from evosparse.engine.spec import CampaignSpec
from evosparse.engine.store import Store
from evosparse.errors import CampaignFailed, StoreError


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
        known = kind_of(store)
        members = store.hall_of_fame(known.genomes.from_bytes) if uid is None else [find(store, uid, known)]
        spec, problem = _rebuilt(store, known)
    rows = []
    with evaluate.InProcessEvaluator(problem.stage, spec.evaluation.policy) as evaluator:
        outcomes = evaluator.evaluate([evaluate.Job.of(member.genome, spec.seed) for member in members])
    for member, outcome in zip(members, outcomes, strict=True):
        same = outcome.status == member.outcome.status and dict(outcome.measures) == dict(member.outcome.measures)
        stored, again = tables.result(member.outcome), tables.result(outcome)
        rows.append({"uid": member.uid, "same": same, "stored": stored, "again": again})
    show_rows(rows, as_json, f"the Hall of Fame of {folder} is empty")
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
        known = kind_of(store)
        candidate = find(store, uid, known)
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
        show_facts(known.export(problem, candidate, target, spec.seed, metadata), as_json)


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
