"""What the command line shows, as tables, lines and JSON values; nothing is printed here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from evosparse.engine.candidate import Candidate, Outcome
from evosparse.engine.results import Arm, Interval, summarise
from evosparse.engine.store import Store


def table(rows: Sequence[Mapping[str, object]]) -> Table:
    """Return a table with a column for each name that occurs in a row."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    shown = Table()
    for name in names:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(cell(row.get(name, "")) for name in names))
    return shown


def lines(facts: Mapping[str, object], indent: str = "") -> list[str]:
    """Return ``name: value`` lines, what is inside a value further to the right; what is empty is left out."""
    shown = []
    for name, value in facts.items():
        if isinstance(value, Mapping) and not _flat(value.values()):
            shown += [f"{indent}{name}:", *lines(value, indent + "  ")]
        elif isinstance(value, (list, tuple)) and not _flat(value):
            shown += [f"{indent}{name}:", *(f"{indent}  {cell(part)}" for part in value)]
        elif isinstance(value, str) and "\n" in value:
            shown += [f"{indent}{name}:", *(f"{indent}  {line}".rstrip() for line in value.rstrip().splitlines())]
        elif value not in ("", (), [], {}, None):
            shown.append(f"{indent}{name}: {cell(value)}")
    return shown


def cell(value: object) -> str:
    """Write a JSON value for a person, in one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {cell(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return " x ".join(map(str, value)) if _whole(value) else ", ".join(map(cell, value))
    return str(value)


def result(outcome: Outcome, names: Iterable[str] | None = None) -> str:
    """Say in one line what an evaluation gave: its measures, all or those named, or why there are none."""
    if not outcome.ok:
        return f"{outcome.status}: {outcome.message}"
    chosen = outcome.measures if names is None else {name: outcome.measures[name] for name in names}
    return cell(chosen)


def campaign_row(store: Store) -> dict[str, object]:
    """Return what a list of campaigns says about one, as JSON values by name."""
    best, arms = store.hall_of_fame()[:1], summarise(store.trials())
    winner = next((f"{name} {value.mean:.4g}" for name, value in arms[0].measures.items()), "-") if arms else "-"
    return {
        "run": str(store.folder),
        "kind": str(store.header.document["kind"]),
        "status": f"finished ({store.reason})" if store.finished else "not finished",
        "generations": len(store.generations()),
        "evaluations": store.evaluations(),
        "seconds": round(store.seconds(), 1),
        "best": result(best[0].outcome, store.header.objectives) if best else "-",
        "winner": winner,
    }


def candidate_row(candidate: Candidate) -> dict[str, object]:
    """Return what is known of a candidate, as JSON values by name."""
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
        "genome": candidate.genome.describe(),
    }


def by_population(family: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates population by population, in the order in which these appear; each keeps its own order."""
    places = {name: place for place, name in enumerate(dict.fromkeys(member.population for member in family))}
    return sorted(family, key=lambda member: places[member.population])


def arm_row(arm: Arm) -> dict[str, object]:
    """Return an arm of the examination as JSON values by name."""
    measures = {
        name: {
            "mean": value.mean,
            "half_width": None if math.isnan(value.half_width) else value.half_width,  # JSON has no NaN
            "values": list(value.values),
        }
        for name, value in arm.measures.items()
    }
    return {"arm": arm.name, "description": arm.description, "failed": arm.failed, "measures": measures}


def examination(arms: Sequence[Arm]) -> Table:
    """Return the table of the examination: a row for each arm, the mean and its interval for each measure."""
    names = list(dict.fromkeys(name for arm in arms for name in arm.measures))
    found = {name: [arm.measures[name] for arm in arms if name in arm.measures] for name in names}
    counts = {name for name in names if all(value.is_integer() for one in found[name] for value in one.values)}
    shown = Table(title="examination: mean and 95 % interval over the seeds; accuracies are shares")
    for name in ("arm", "seeds", *names):
        shown.add_column(name, justify="left" if name == "arm" else "right", no_wrap=name == "arm")
    for arm in arms:
        seeds = max((len(value.values) for value in arm.measures.values()), default=0)
        failed = f" ({arm.failed} failed)" if arm.failed else ""
        cells = [_interval(arm.measures[name], name in counts) if name in arm.measures else "-" for name in names]
        shown.add_row(arm.name, f"{seeds}{failed}", *cells)
    return shown


def _interval(value: Interval, count: bool) -> str:
    text = f"{value.mean:,.0f}" if count and value.mean.is_integer() else f"{value.mean:,.4f}"
    return f"{text} ± {value.half_width:.4f}" if value.half_width > 0 else text


def _flat(values: Iterable[object]) -> bool:
    return not any(
        isinstance(value, (Mapping, list, tuple)) or (isinstance(value, str) and "\n" in value) for value in values
    )


def _whole(values: Sequence[object]) -> bool:
    return bool(values) and all(isinstance(value, int) for value in values)
