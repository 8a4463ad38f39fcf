"""Exclusive or: fitness and solution are those of the page, for networks written by hand and for random ones."""

from __future__ import annotations

import pytest
from task_checks import expect_alone_as_in_batch, face_of, handmade, judge, random_networks

from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks import XorSpec
from evosparse.topologies.tasks.xor import Xor

TASK = Xor()
FACE = face_of(TASK)
A, B, ONE, OUT, BOTH = range(5)
HALVES = {(A, OUT): 0.5, (B, OUT): 0.5, (BOTH, OUT): -1.0, (A, BOTH): 1.0, (B, BOTH): 1.0, (ONE, BOTH): -1.5}


def test_outputs_on_their_side_of_one_half_solve_it() -> None:
    (result,) = judge(TASK, [handmade(FACE, ("identity", "step"), HALVES)])
    assert result == {"fitness": 9.0, "solved": 1.0}  # outputs 0, .5, .5, 0: one half will do where 1 is wanted


def test_one_half_will_not_do_where_nothing_is_wanted() -> None:
    (result,) = judge(TASK, [handmade(FACE, ("sigmoid",), {})])
    assert result == {"fitness": 4.0, "solved": 0.0}  # outputs of one half throughout
    (lifted,) = judge(TASK, [handmade(FACE, ("identity", "step"), {**HALVES, (ONE, OUT): 0.5})])
    assert lifted == {"fitness": 9.0, "solved": 0.0}  # .5, 1, 1, .5


def test_the_exact_answers_have_the_highest_fitness() -> None:
    exact = {**HALVES, (A, OUT): 1.0, (B, OUT): 1.0, (BOTH, OUT): -2.0}
    assert judge(TASK, [handmade(FACE, ("identity", "step"), exact)]) == [{"fitness": 16.0, "solved": 1.0}]


def test_random_networks_are_judged_as_by_slow_sums_alone_and_together() -> None:
    networks = random_networks(TASK, 40, functions=("steep_sigmoid", "tanh", "sin"))
    for network, found in zip(networks, expect_alone_as_in_batch(TASK, networks), strict=True):
        outputs = [Networks.of([network]).activate(case)[0, 0] for case in ((0, 0), (0, 1), (1, 0), (1, 1))]
        error = sum(abs(target - output) for target, output in zip((0, 1, 1, 0), outputs, strict=True))
        solved = outputs[0] < 0.5 and outputs[3] < 0.5 and min(outputs[1:3]) >= 0.5
        assert found == {"fitness": pytest.approx((4 - error) ** 2, rel=1e-12), "solved": solved}


def test_the_search_is_for_what_is_examined() -> None:
    tasks = XorSpec().tasks()
    assert isinstance(tasks.search, Xor) and isinstance(tasks.examination, Xor)
    assert (tasks.confirmation, tasks.replicates) == (None, 1)
    assert (FACE.inputs, FACE.outputs, FACE.bias, FACE.recurrent) == (("a", "b"), ("xor",), True, False)
