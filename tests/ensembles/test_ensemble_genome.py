"""The ensemble genome: an immutable value, known by who votes, that survives its encoding."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evosparse.ensembles import Ensemble
from evosparse.ensembles.genome import Roster
from evosparse.errors import StoreError

SOME = settings(max_examples=60, deadline=None)
rows = st.lists(st.booleans(), min_size=1, max_size=40)


def ensemble(row: list[bool], prefix: str = "tree ") -> Ensemble:
    names = tuple(f"{prefix}{member}" for member in range(len(row)))
    return Ensemble(np.array(row, dtype=bool), Roster(names, tuple(member / 64 for member in range(len(row)))))


@SOME
@given(rows)
def test_an_ensemble_survives_its_encoding(row: list[bool]) -> None:
    before = ensemble(row)
    after = Ensemble.from_bytes(before.to_bytes())
    assert after == before and after.key == before.key and hash(after) == hash(before)
    assert after.chosen.tolist() == row and after.pool == len(row) and after.size == sum(row)
    assert after.members == before.members and after.describe() == before.describe()
    assert after.to_bytes() == before.to_bytes()


@SOME
@given(rows, st.data())
def test_ensembles_are_equal_where_the_same_members_vote(row: list[bool], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(row) - 1))
    other = [chosen ^ (member == place) for member, chosen in enumerate(row)]
    assert ensemble(row) == ensemble(list(row)) != ensemble(other)
    assert ensemble(row) != ensemble([*row, False])  # of another pool
    if any(row):
        assert ensemble(row) != ensemble(row, "forest ")
    assert ensemble(row) != "ensemble"


def test_an_ensemble_cannot_be_changed() -> None:
    row = np.array([True, False])
    made = Ensemble(row, Roster(("a", "b"), (0.5, 0.5)))
    row[1] = True
    assert made.chosen.tolist() == [True, False]
    with pytest.raises(ValueError, match="read-only"):
        made.chosen[0] = False


def test_it_describes_itself_by_its_size_and_its_best_members() -> None:
    assert ensemble([True, False, True, True, True]).describe() == "4 of 5: tree 4, tree 3, tree 2, ..."
    assert ensemble([True, False]).describe() == "1 of 2: tree 0"
    assert ensemble([False, False]).describe() == "0 of 2: "


def test_truth_values_of_another_pool_are_refused() -> None:
    with pytest.raises(ValueError, match=r"each of 2 members, got \(3,\)"):
        Ensemble(np.ones(3, dtype=bool), Roster(("a", "b"), (0.5, 0.5)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"EVEN\x02rest",
        b"EVEN\x01rest",
        b"EVEN\x01" + zlib.compress(b"no JSON"),
        b"EVEN\x01" + zlib.compress(json.dumps([3, "e0"]).encode()),
        b"EVEN\x01" + zlib.compress(json.dumps([3, "zz", []]).encode()),
        b"EVEN\x01" + zlib.compress(json.dumps([3, "e0", [["a", 0.5]]]).encode()),
        b"EVEN\x01" + zlib.compress(json.dumps(["3", "e0", [["a", 0.5]] * 3]).encode()),
        b"EVEN\x01" + zlib.compress(json.dumps([99, "80", [["a", 0.5]]]).encode()),
        b"EVEN\x01" + zlib.compress(json.dumps([-3, "80", [["a", 0.5]]]).encode()),
        b"EVEN\x01" + zlib.compress(json.dumps([1, "80", [["a", "b"]]]).encode()),
        b"EVEN\x01" + zlib.compress(b"\xff\xfe"),
    ],
)
def test_bytes_that_are_no_ensemble_are_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match="expected an ensemble"):
        Ensemble.from_bytes(data)


@SOME
@given(rows, st.data())
def test_a_truncated_encoding_is_refused(row: list[bool], data: st.DataObject) -> None:
    whole = ensemble(row).to_bytes()
    with pytest.raises(StoreError, match="expected an ensemble"):
        Ensemble.from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
