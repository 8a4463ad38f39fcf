"""Compares the arms of several campaigns of any kind: means over seeds, costs, and paired differences from a reference arm.

A campaign's arms are those of its examination. Replicates of equal numbers share initial weights and order of examples where the
campaigns have equal seeds, whatever their kinds, and are compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evosparse.engine.results import Interval, interval
from evosparse.engine.store import Store
from evosparse.errors import BadInput, nearest

_MOST_FLIPPED = 16  # pairs whose choices of signs are all counted, 65,536
_SLACK = 1e-12  # of a sum that only the order of its terms has made smaller


@dataclass(frozen=True)
class Difference:
    """An arm beside the reference, over the replicates that both have.

    Args:
        values: mean and 95 % interval of the differences, arm minus reference.
        t_p: two-sided p-value of the paired t-test; NaN for fewer than two pairs.
        flip_p: of the permutation test that flips the signs of the differences; exact, and so never below 2 / 2^pairs. NaN for
            fewer than two pairs, or more than can be counted.
    """

    values: Interval
    t_p: float
    flip_p: float


@dataclass(frozen=True, eq=False)
class ArmRow:
    """One arm of one campaign.

    Args:
        run: its run directory.
        arm: its name.
        measure: what is compared: accuracy on the test set, or the first measure of its examination.
        by_replicate: that measure by number of the replicate.
        weights: mean number of weights, if it is measured.
        evaluations: candidates that the search evaluated until it had found this arm; None for arms that no search found.
        search_epochs: epochs that these were trained in all, if known, and those of the masks that the search began with.
        search_seconds: that its generations took.
        epochs: of the training of one network, if known.
        training_multiply_adds: of it, if measured.
    """

    run: str
    arm: str
    measure: str
    by_replicate: Mapping[int, float]
    weights: float | None = None
    evaluations: int | None = None
    search_epochs: float | None = None
    search_seconds: float | None = None
    epochs: float | None = None
    training_multiply_adds: float | None = None

    @property
    def values(self) -> Interval:
        """Mean and 95 % interval over the replicates."""
        return interval(list(self.by_replicate.values()))

    @property
    def median(self) -> float:
        """Median over the replicates."""
        return float(np.median(list(self.by_replicate.values())))


@dataclass(frozen=True, eq=False)
class Table:
    """A comparison.

    Args:
        reference: the arm that the others are compared with.
        rows: all arms with their differences from it; None for the reference itself and for arms of another measure.
        notes: what a reader must know.
    """

    reference: ArmRow
    rows: Sequence[tuple[ArmRow, Difference | None]]
    notes: Sequence[str]


def compare(stores: Sequence[Store], against: str | None = None, equal_weights: bool = False) -> Table:
    """Compare the arms of campaigns.

    Args:
        stores: of the campaigns.
        against: the reference as RUN or RUN:ARM; by default, and for RUN alone, the first arm (of the first campaign).
        equal_weights: leave out arms whose number of weights is not the reference's.

    Raises:
        BadInput: a campaign has no examination, or there is no such reference.
    """
    rows = [row for store in stores for row in arms_of(store)]
    reference = _reference(rows, [str(store.folder) for store in stores], against)
    if equal_weights:
        if reference.weights is None:
            raise BadInput(f"--equal-weights: {reference.run}, {reference.arm}: its weights were not counted; leave it out")
        rows = [row for row in rows if row.weights == reference.weights]
    return Table(reference, [(row, _beside(row, reference)) for row in rows], _notes(stores))


def arms_of(store: Store) -> list[ArmRow]:
    """Return the arms of one campaign, in the order of its examination; those without a measurement are left out.

    Raises:
        BadInput: it has no examination.
    """
    trials = [trial for trial in store.trials() if trial.outcome.ok]
    if not trials:
        raise BadInput(f"{store.folder}: expected a campaign with an examination, got one without: resume it first")
    rows = []
    for arm in dict.fromkeys(trial.arm for trial in trials):
        own = {trial.replicate: trial.outcome.measures for trial in trials if trial.arm == arm}
        names = list(next(iter(own.values())))
        measure = next((name for name in names if name.startswith("test_")), names[0])
        mean = {name: float(np.mean([measures[name] for measures in own.values()])) for name in names}
        examined = store.header.document.get("examination")
        length = examined.get("epochs") if isinstance(examined, dict) else None
        rows.append(
            ArmRow(
                str(store.folder), arm, measure, {number: measures[measure] for number, measures in own.items()},
                weights=mean.get("weights"),
                epochs=mean.get("epochs", length),
                training_multiply_adds=mean.get("training_multiply_adds"),
                **_search(store, arm, mean.get("start_epochs")),
            )
        )  # fmt: skip
    return rows


def difference(values: NDArray[np.float64], reference: NDArray[np.float64]) -> Difference:
    """Compare paired values.

    Args:
        values, reference: (pairs,) at least one.
    """
    gains = np.asarray(values, float) - np.asarray(reference, float)
    if len(gains) < 2:
        return Difference(interval(gains.tolist()), math.nan, math.nan)
    spread = np.std(gains, ddof=1) / math.sqrt(len(gains))
    if spread > 0:
        t_p = float(2 * stats.t.sf(abs(gains.mean()) / spread, len(gains) - 1))
    else:  # all differences are the same
        t_p = 0.0 if gains.any() else 1.0
    return Difference(interval(gains.tolist()), t_p, flip_test(gains) if len(gains) <= _MOST_FLIPPED else math.nan)


def flip_test(gains: NDArray[np.float64]) -> float:
    """Return the share of all choices of signs that make the sum of differences at least as large, in magnitude.

    Args:
        gains: (pairs,) differences that would be as likely with the other sign if the arms were equally good.
    """
    sums = np.zeros(1)
    for gain in gains:
        sums = np.concatenate([sums + gain, sums - gain])
    least = abs(gains.sum()) - _SLACK * np.abs(gains).sum()
    return float(np.mean(np.abs(sums) >= least))


def as_json(table: Table) -> dict[str, object]:
    """Return a comparison as JSON values."""
    return {
        "reference": {"run": table.reference.run, "arm": table.reference.arm},
        "notes": list(table.notes),
        "rows": [_facts(row) | {"difference": _difference_facts(beside)} for row, beside in table.rows],
    }


def cells(table: Table) -> list[dict[str, object]]:
    """Return a comparison as rows for people; columns in which nothing stands are left out."""
    names = _short([row.run for row, _ in table.rows])
    one = len({row.measure for row, _ in table.rows}) == 1
    rows = []
    for row, beside in table.rows:
        line: dict[str, object] = {"run": names[row.run], "arm": row.arm}
        line |= {"seeds": len(row.by_replicate), "weights": _count(row.weights)}
        if not one:
            line["measure"] = row.measure
        line[row.measure if one else "value"] = _around(row.values)
        line["median"] = f"{row.median:.4f}"
        line["- reference"] = _around(beside.values, "+") if beside else "reference" if row is table.reference else ""
        line["p (t)"] = _p(beside.t_p) if beside else ""
        line["p (signs)"] = _p(beside.flip_p) if beside else ""
        line |= {
            "search: evaluations": _count(row.evaluations), "epochs": _count(row.search_epochs),
            "seconds": _count(row.search_seconds), "training: epochs": _count(row.epochs),
            "multiply-adds": "" if row.training_multiply_adds is None else f"{row.training_multiply_adds:.3g}",
        }  # fmt: skip
        rows.append(line)
    kept = [name for name in rows[0] if any(line[name] not in ("", None) for line in rows)]
    return [{name: line[name] for name in kept} for line in rows]


def _search(store: Store, arm: str, start_epochs: float | None) -> dict[str, float | int | None]:
    """Return what it cost to find an arm: nothing if no search did, but a mask with which one began may have been trained."""
    if arm.split()[0] != "winner":
        return {"search_epochs": start_epochs}
    evaluations = store.evaluations()
    each = _epochs_of_an_evaluation(store.header.document)
    epochs = None if each is None else evaluations * each + (start_epochs or 0)
    return {"evaluations": evaluations, "search_epochs": epochs, "search_seconds": store.seconds()}


def _epochs_of_an_evaluation(document: Mapping[str, object]) -> int | None:
    """Return how long a candidate is trained, where the campaign says it: with masks that are judged after a training."""
    search = document.get("search")
    if document["kind"] != "masks" or document.get("fitness") is not None or not isinstance(search, dict):
        return None
    masked = search.get("method") in ("genetic", "nsga2") or search.get("train_during") == "masked"
    return search.get("epochs") if masked else None


def _reference(rows: Sequence[ArmRow], runs: Sequence[str], against: str | None) -> ArmRow:
    if against is None:
        return rows[0]
    for run in sorted(runs, key=len, reverse=True):
        if against.rstrip("/") == run.rstrip("/"):
            return next(row for row in rows if row.run == run)
        if against.startswith(f"{run}:"):
            arm = against[len(run) + 1 :]
            own = {row.arm: row for row in rows if row.run == run}
            if arm not in own:
                raise BadInput(f"--against {against}: {run} has no arm {arm!r}: {nearest(arm, list(own))}")
            return own[arm]
    raise BadInput(f"--against {against}: expected one of the runs that are compared, or RUN:ARM: {nearest(against, list(runs))}")


def _beside(row: ArmRow, reference: ArmRow) -> Difference | None:
    both = sorted(row.by_replicate.keys() & reference.by_replicate.keys())
    if row is reference or row.measure != reference.measure or not both:
        return None
    return difference(*(np.array([one.by_replicate[number] for number in both]) for one in (row, reference)))


def _notes(stores: Sequence[Store]) -> list[str]:
    notes = []
    if len({store.header.data_hash for store in stores}) > 1:
        notes.append("the campaigns have different data: their differences are not those of methods alone")
    seeds = list(dict.fromkeys(store.header.document.get("seed", 0) for store in stores))
    if len(seeds) > 1:
        notes.append(f"the campaigns have different seeds ({', '.join(map(str, seeds))}): equal replicates share nothing")
    return notes


def _facts(row: ArmRow) -> dict[str, object]:
    return {
        "run": row.run, "arm": row.arm, "measure": row.measure, "seeds": len(row.by_replicate), "weights": row.weights,
        "mean": row.values.mean, "half_width": _number(row.values.half_width), "median": row.median,
        "values": {str(number): value for number, value in row.by_replicate.items()},
        "search": {"evaluations": row.evaluations, "epochs": row.search_epochs, "seconds": row.search_seconds},
        "training": {"epochs": row.epochs, "multiply_adds": row.training_multiply_adds},
    }  # fmt: skip


def _difference_facts(found: Difference | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "mean": found.values.mean, "half_width": _number(found.values.half_width), "pairs": len(found.values.values),
        "p_t": _number(found.t_p), "p_signs": _number(found.flip_p),
    }  # fmt: skip


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value  # JSON has no NaN


def _around(value: Interval, sign: str = "") -> str:
    text = f"{value.mean:{sign}.4f}"
    return text if math.isnan(value.half_width) else f"{text} ± {value.half_width:.4f}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.1f}"


def _p(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def _short(runs: Sequence[str]) -> dict[str, str]:
    """Return the last part of each path, or the whole where that is another's too."""
    last = {run: run.rstrip("/").rpartition("/")[2] for run in runs}
    return {run: name if list(last.values()).count(name) == 1 else run for run, name in last.items()}
