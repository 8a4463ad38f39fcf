"""The digest of a run says what was found, all of it, and nothing else."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_runs import OBJECTIVES, Blob, evaluated, generation, header

from evosparse.engine.candidate import Outcome, Status
from evosparse.engine.digest import canonical
from evosparse.engine.results import TrialResult
from evosparse.engine.search import State
from evosparse.engine.store import Generation, Store


def digest_of(*generations: Generation, trials: Sequence[TrialResult] = (), reopen: bool = False) -> str:
    with TemporaryDirectory() as place:
        store = Store.create(Path(place) / "run", header())
        for one in generations:
            store.commit(one)
            if reopen:
                store.close()
                store = Store.open(Path(place) / "run", write=True)
        store.finish(trials, "generations")
        with store:
            return store.digest()


def varied(index: int, outcome: Outcome | None = None, **changes: object) -> Generation:
    """Generation 1 with one candidate changed."""
    one = generation(1)
    candidate = replace(one.candidates[index], **changes)
    candidate.judge(outcome or candidate.outcome, OBJECTIVES)
    candidates = [*one.candidates[:index], candidate, *one.candidates[index + 1 :]]
    return replace(one, candidates=candidates, state=State())


TRIAL = TrialResult("winner", 0, "a net", Outcome(Status.OK, {"accuracy": 0.75, "cost": 2.0}))


def test_the_digest_leaves_out_time_cache_attempts_messages_and_interruptions() -> None:
    expected = digest_of(generation(0), generation(1), trials=[TRIAL])
    outcome = generation(1).candidates[0].outcome
    slow = varied(0, replace(outcome, seconds=77.0, attempts=3, cached=True, message="m", traceback="t"))
    reordered = varied(0, replace(outcome, measures=dict(reversed(outcome.measures.items()))))
    trial = replace(TRIAL, description="x", outcome=replace(TRIAL.outcome, seconds=9.0, attempts=4, message="m"))
    assert digest_of(generation(0), slow, trials=[trial]) == expected
    assert digest_of(generation(0), reordered, trials=[TRIAL]) == expected
    assert digest_of(generation(0), replace(generation(1), seconds=9.0, evaluations=0), trials=[TRIAL]) == expected
    assert digest_of(generation(0), generation(1), trials=[TRIAL], reopen=True) == expected


def test_the_digest_changes_with_everything_that_was_found() -> None:
    one = generation(1)
    measures = one.candidates[2].outcome.measures
    nearly = {**measures, "accuracy": math.nextafter(measures["accuracy"], 2)}
    others = [
        replace(one, candidates=one.candidates[:2]),
        replace(one, candidates=[one.candidates[1], one.candidates[0], one.candidates[2]]),
        replace(one, hall_of_fame=one.hall_of_fame[::-1]),
        replace(one, hall_of_fame=one.hall_of_fame[:1]),
        replace(one, record=dict(one.record) | {"best": math.nextafter(one.record["best"], 2)}),
        replace(one, record=dict(one.record) | {"generation": 1.0}),
        varied(2, uid="1.9"),
        varied(2, population="other"),
        varied(2, parents=("0.0",)),
        varied(2, contender=False),
        varied(2, genome=Blob(b"other")),
        varied(2, Outcome(Status.INVALID)),
        varied(2, Outcome(Status.FAILED)),
        varied(2, Outcome(Status.OK, nearly)),
        varied(2, Outcome(Status.OK, {**measures, "extra": 1.0})),
    ]
    found = [digest_of(generation(0), other, trials=[TRIAL]) for other in [one, *others]]
    trials = [
        [],
        [TRIAL, TRIAL],
        [replace(TRIAL, arm="dense")],
        [replace(TRIAL, replicate=1)],
        [replace(TRIAL, outcome=Outcome(Status.FAILED))],
        [replace(TRIAL, outcome=Outcome(Status.OK, {"accuracy": 0.75, "cost": 2.5}))],
    ]
    found += [digest_of(generation(0), one, trials=other) for other in trials]
    assert len(set(found)) == len(found)


def test_the_digest_is_the_hash_of_these_lines() -> None:
    outcome = Outcome(Status.OK, {"loss": -0.0, "accuracy": 0.5})
    candidate = evaluated("0.0", b"genome", outcome, population="ü", parents=("x",))
    one = Generation(0, [candidate], [candidate], State(), {"tiny": 5e-324, "n": [1, True, None, math.nan]}, 1.0, 1)
    lines = [
        "evosparse digest 1",
        '["text generation",{"number":0,"record_json":'
        '{"n":[1,true,null,"float nan"],"tiny":"float 0x0.0000000000001p-1022"}}]',
        '["text candidate",{"contender":1,"key":"text ' + Blob(b"genome").key + '",'
        '"measures_json":{"accuracy":"float 0x1.0000000000000p-1","loss":"float -0x0.0p+0"},"parents_json":["text x"],'
        '"population":"text \\u00fc","status":"text ok","uid":"text 0.0"}]',
        '["text hall_of_fame",{"rank":0,"uid":"text 0.0"}]',
        '["text trial",{"arm":"text winner","measures_json":{"accuracy":"float 0x1.8000000000000p-1",'
        '"cost":"float 0x1.0000000000000p+1"},"replicate":0,"status":"text ok"}]',
    ]
    expected = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert digest_of(one, trials=[TRIAL]) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)


@given(json_values, json_values)
def test_only_equal_values_have_equal_encodings(first: object, second: object) -> None:
    # Python's repr tells 1, 1.0 and True, and 0.0 and -0.0 apart.
    def by_name(value: object) -> object:
        if isinstance(value, dict):
            return {name: by_name(value[name]) for name in sorted(value)}
        return [by_name(inner) for inner in value] if isinstance(value, list) else value

    assert (canonical(first) == canonical(second)) == (repr(by_name(first)) == repr(by_name(second)))


@pytest.mark.parametrize(
    ("first", "second"),
    [(1, 1.0), (1, True), (0.0, -0.0), (1.0, "float 0x1.0000000000000p+0"), (None, "None"), ([], {})],
)
def test_values_that_look_alike_have_different_encodings(first: object, second: object) -> None:
    assert canonical(first) != canonical(second)
