"""What goes into a campaign's database comes out of it, exactly."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from store_runs import FILE, Blob, evaluated, generation, header, run  # noqa: F401

from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.codec import array_to_bytes
from evosparse.engine.results import TrialResult
from evosparse.engine.search import State
from evosparse.engine.store import Generation, Store

floats = st.floats(allow_nan=False, allow_infinity=False)
durations = st.floats(0, 1e300)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
measures = st.fixed_dictionaries({"accuracy": floats, "loss": floats}, optional={"ü": floats})
failures = st.sampled_from([status for status in Status if status is not Status.OK])
details = words, words, durations, st.integers(1, 9), st.booleans()
outcomes = st.one_of(
    st.builds(Outcome, st.just(Status.OK), measures, *details), st.builds(Outcome, failures, st.just({}), *details)
)
arrays = st.sampled_from(
    [
        np.array([-0.0, math.nan, math.inf, 5e-324]),
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        np.array(True),
        np.zeros((0, 4), np.float32),
        np.array(["ä", "b"]),
    ]
)


@st.composite
def runs(draw: st.DrawFn) -> list[Generation]:
    generations, everybody = [], []
    for number in range(draw(st.integers(1, 3))):
        candidates = [
            evaluated(
                f"{number}.{index}",
                draw(st.binary(max_size=3)),
                draw(outcomes),
                population=draw(words),
                contender=draw(st.booleans()),
                parents=tuple(member.uid for member in draw(st.permutations(everybody))[:2]),
            )
            for index in range(draw(st.integers(0, 4)))
        ]
        everybody = everybody + candidates
        some = st.lists(st.sampled_from(everybody), max_size=4) if everybody else st.just([])
        state = State(
            draw(st.dictionaries(words, json_values, max_size=2)),
            draw(st.dictionaries(words | st.sampled_from(["file", "allow_pickle", "a/b"]), arrays, max_size=3)),
            draw(st.dictionaries(words, some, max_size=2)),
        )
        record = {"nan": math.nan, "value": draw(json_values), "numpy": np.float64(draw(floats)), "count": np.int64(3)}
        best = draw(st.permutations(everybody))[:3]
        costs = draw(durations), draw(st.integers(0, 9))
        generations.append(Generation(number, candidates, best, state, record, *costs))
    return generations


def exact(candidate: Candidate) -> tuple:
    """Everything of a candidate, such that floats are equal only if their bits are."""
    values = [(name, value.hex()) for name, value in candidate.outcome.measures.items()]
    origin = candidate.uid, candidate.generation, candidate.population, tuple(candidate.parents), candidate.contender
    fitness = candidate.fitness.wvalues, candidate.fitness.weights
    return origin, candidate.genome, repr(candidate.outcome), values, fitness


@settings(max_examples=30, deadline=None)
@given(runs())
def test_what_was_committed_comes_back_exactly(generations: list[Generation]) -> None:
    with TemporaryDirectory() as place:
        with Store.create(Path(place) / "run", header()) as store:
            for one in generations:
                store.commit(one)
        with Store.open(Path(place) / "run") as store:
            everybody = [candidate for one in generations for candidate in one.candidates]
            assert list(map(exact, store.candidates(decode=Blob))) == list(map(exact, everybody))
            assert all(exact(store.candidate(one.uid, Blob)) == exact(one) for one in everybody)
            last = generations[-1]
            assert [list(map(exact, store.candidates(last.number, Blob)))] == [list(map(exact, last.candidates))]
            assert list(map(exact, store.hall_of_fame(Blob))) == list(map(exact, last.hall_of_fame))

            rows = store.generations()
            assert [(row.number, row.seconds, row.evaluations) for row in rows] == [
                (one.number, one.seconds, one.evaluations) for one in generations
            ]
            assert [repr(row.record) for row in rows] == [
                repr(dict(one.record) | {"numpy": float(one.record["numpy"]), "count": 3}) for one in generations
            ]
            assert store.evaluations() == sum(one.evaluations for one in generations)

            state = store.state(Blob)
            assert repr(state.values) == repr(last.state.values)
            assert list(state.arrays) == list(last.state.arrays)
            for name, array in last.state.arrays.items():
                assert array_to_bytes(state.arrays[name]) == array_to_bytes(array)
            assert {name: list(map(exact, group)) for name, group in state.candidates.items()} == {
                name: list(map(exact, group)) for name, group in last.state.candidates.items()
            }


def test_the_header_comes_back(tmp_path: Path) -> None:
    given_header = header(base="/weird/\udcff", notes=("ü", "\0"), objectives={"z": "min", "a": "max"})
    with Store.create(tmp_path / "run", given_header) as store:
        assert store.header == given_header
        assert list(store.header.objectives) == ["z", "a"]
        assert {"python", "numpy", "torch", "deap", "ray"} <= store.header.versions.keys()


def test_a_changed_document_replaces_the_old_one(run: Path) -> None:
    with Store.open(run, write=True) as store:
        before = store.digest()
        store.update_document({"seed": 3, "more": True})
        assert store.header == replace(header(), document={"seed": 3, "more": True}, created=store.header.created)
    with Store.open(run) as store:
        assert store.header.document == {"seed": 3, "more": True}
        assert store.digest() == before


def test_text_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    failed = Outcome(Status.FAILED, message="no file \udcff\0", traceback="\ud800")
    one = Generation(0, [evaluated("0.0", outcome=failed)], [], State(), {}, 1.0, 1)
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(one)
        outcome = store.candidate("0.0").outcome
    assert (outcome.message, outcome.traceback) == ("no file \\udcff\0", "\\ud800")


def test_a_candidate_in_several_groups_is_one_object(tmp_path: Path) -> None:
    one = generation(0)
    groups = {"population": [*one.candidates, one.candidates[0]], "archive": one.candidates[:1]}
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(one, state=State(candidates=groups)))
        state = store.state(Blob)
    assert state.candidates["population"][0] is state.candidates["population"][-1] is state.candidates["archive"][0]


def test_equal_genomes_are_stored_once_and_apart_from_candidates(tmp_path: Path) -> None:
    candidates = [evaluated(f"0.{index}", bytes([index % 2]) * 5000) for index in range(50)]
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(generation(0), candidates=candidates, hall_of_fame=[], state=State()))
        assert [one.genome for one in store.candidates(decode=Blob)] == [one.genome for one in candidates]
    connection = sqlite3.connect(tmp_path / "run" / FILE)
    assert connection.execute("SELECT COUNT(*) FROM genome").fetchone() == (2,)
    connection.close()


def test_only_the_latest_state_and_hall_of_fame_are_kept(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(generation(0), state=State({"old": 1}, {"old": np.zeros(3)})))
        store.commit(generation(1))
        assert store.state().values == {"number": 1}
        assert list(store.state().arrays) == ["weights"]
        assert [one.uid for one in store.hall_of_fame()] == ["1.0", "1.1"]


def test_outcomes_are_the_first_real_ones_and_not_the_failures(tmp_path: Path) -> None:
    by_status = [evaluated(f"0.{i}", status.encode(), Outcome(status)) for i, status in enumerate(Status) if i]
    first = Outcome(Status.OK, {"accuracy": 0.5, "loss": 1.0}, seconds=2.0, attempts=2)
    again = replace(first, seconds=0.0, cached=True)
    uncached = replace(first, seconds=9.0)
    known = [evaluated(f"0.{i}", b"ok", outcome) for i, outcome in enumerate((first, again, uncached), start=7)]
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(generation(0), candidates=[*by_status, *known], hall_of_fame=[], state=State()))
        assert store.outcomes() == {Blob(b"ok").key: first, Blob(b"invalid").key: Outcome(Status.INVALID)}


def test_lineage_is_breadth_first_and_names_everybody_once(tmp_path: Path) -> None:
    parents = {
        "0.0": (), "0.1": (), "0.2": (), "1.0": ("0.0",), "1.1": ("0.1", "0.0"), "2.0": ("1.1", "0.2"), "2.1": ("1.0",),
        "3.0": ("2.0", "1.0", "2.0"),
    }  # fmt: skip
    with Store.create(tmp_path / "run", header()) as store:
        for number in range(4):
            members = [evaluated(uid, parents=them) for uid, them in parents.items() if uid.startswith(f"{number}.")]
            store.commit(replace(generation(number), candidates=members, hall_of_fame=[], state=State()))
        assert [one.uid for one in store.lineage("3.0")] == ["2.0", "1.0", "1.1", "0.2", "0.0", "0.1"]
        assert store.lineage("0.1") == []


def test_an_examination_is_kept_until_the_campaign_goes_on(run: Path) -> None:
    with Store.open(run, write=True) as store:
        assert (store.finished, store.reason) == (True, "generations")
        trials = [
            TrialResult("winner", 1, "a ü net", Outcome(Status.OK, {"accuracy": 0.1}, "m", "t", 2.5, 2)),
            TrialResult("dense", 0, "other", Outcome(Status.CRASHED, message="killed")),
        ]
        store.finish(trials, "target")
        assert (store.finished, store.reason, store.trials()) == (True, "target", trials)
        store.commit(generation(2))
        assert (store.finished, store.reason, store.trials()) == (False, "", [])


def test_a_thousand_candidates_take_less_than_16_kb_each_with_genomes_of_6_kb(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(generation(0, size=1000, length=6000))
    assert (tmp_path / "run" / FILE).stat().st_size < 16_000 * 1000
