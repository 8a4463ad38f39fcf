"""A user's own task: a marked function, a class or an instance; what it may return, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter
from task_checks import expect_alone_as_in_batch, face_of, judge, keys, random_networks

from evosparse.engine.fitness import Invalid
from evosparse.engine.seeds import SeedKey
from evosparse.errors import PluginError
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks import AnyTask, CustomSpec, Task, task
from evosparse.topologies.tasks.custom import as_task

OWN = """
from evosparse.topologies.tasks import Task, task


@task(inputs=2, outputs=("left", "right"))
def nearest(networks, target=0.5):
    return -abs(networks.activate([1.0, 0.0])[:, 0] - target)


class Distance(Task):
    input_names = ("x", "y")
    output_names = ("left", "right")

    def __init__(self, target=0.5):
        if target < 0:
            raise ValueError("no such place")
        self.target = target

    def evaluate(self, networks, seeds):
        return [{"fitness": value} for value in -abs(networks.activate([1.0, 0.0])[:, 0] - self.target)]


class Half(Task):
    input_names = ("x",)
    output_names = ("y",)


class Nameless(Distance):
    input_names = "x"


class Aimless(Distance):
    objectives = {"fitness": "up"}


half_way = Distance(0.25)
unmarked = print
"""


@pytest.fixture
def own(forgetful: Path) -> Path:
    """The folder of a file with tasks of a user's."""
    (forgetful / "own_tasks.py").write_text(OWN)
    return forgetful


@task(inputs=("x", "y"), outputs=1)
def first_output(networks: Networks) -> np.ndarray:
    """Fitness is the output, at one input."""
    return networks.activate([1.0, -1.0])[:, 0]


def returning(result: object, **more: object) -> list[object]:
    """What becomes of three networks if a function returns this of them."""
    made = as_task(task(inputs=1, outputs=1, **more)(lambda networks: result))
    return list(judge(made, random_networks(made, 3)))


@pytest.mark.parametrize("place", ["own_tasks:{}", "own_tasks.py:{}"])
@pytest.mark.parametrize("name", ["nearest", "Distance"])
def test_functions_and_classes_of_a_file_take_parameters(own: Path, place: str, name: str) -> None:
    reference = place.format(name)
    plain, other = (
        CustomSpec(function=reference, parameters=parameters).tasks(own) for parameters in ({}, {"target": 0.25})
    )
    networks = random_networks(plain.search, 10)
    answers = Networks.of(networks).activate([1.0, 0.0])[:, 0]
    for tasks, target in ((plain, 0.5), (other, 0.25)):
        for one in (tasks.search, tasks.examination):
            assert [found["fitness"] for found in expect_alone_as_in_batch(one, networks)] == (
                -abs(answers - target)
            ).tolist()
    assert judge(CustomSpec(function=place.format("half_way")).tasks(own).search, networks) == judge(
        other.search, networks
    )
    assert [source.__name__ for source in plain.sources] == [name] and plain.replicates == 1


def test_the_section_is_one_of_the_tasks() -> None:
    spec = TypeAdapter(AnyTask).validate_python({"name": "custom", "function": "here:there", "replicates": 3})
    assert isinstance(spec, CustomSpec) and spec.replicates == 3


def test_the_mark_says_what_networks_need() -> None:
    @task(
        inputs=3, outputs=("left", "right"), maximize=("laps", "style"), minimize="crashes", bias=False, recurrent=True
    )
    def drive(networks: Networks) -> Mapping[str, np.ndarray]:
        return {}

    made = as_task(drive)
    face = face_of(made)
    assert (face.inputs, face.outputs) == (("in_0", "in_1", "in_2"), ("left", "right"))
    assert (face.bias, face.recurrent) == (False, True)
    assert list(made.objectives.items()) == [("laps", "max"), ("style", "max"), ("crashes", "min")]
    plain = as_task(first_output)
    assert (plain.objectives, plain.bias, plain.recurrent) == ({"fitness": "max"}, True, False)
    assert first_output(Networks.of(random_networks(plain, 2))).shape == (2,)  # still an ordinary function


def test_seeds_come_to_those_who_ask_for_them() -> None:
    @task(inputs=1, outputs=1)
    def lucky(networks: Networks, seeds: list[SeedKey], luck: float) -> list[float]:
        return [luck + key.rng().random() for key in seeds]

    made = as_task(lucky, {"luck": 2.0})
    found = judge(made, random_networks(made, 4), keys(4))
    assert [one["fitness"] for one in found] == [2.0 + key.rng().random() for key in keys(4)]


@pytest.mark.parametrize(
    "result",
    [
        np.array([1.0, 2.0, 3.0]), [1, 2, 3], (1.0, np.float32(2), np.int64(3)), {"fitness": np.array([1, 2, 3])},
        {"fitness": [1.0, 2.0, 3.0]}, [{"fitness": 1.0}, {"fitness": 2.0}, 3.0],
    ],
)  # fmt: skip
def test_numbers_columns_and_mappings_are_all_understood(result: object) -> None:
    assert returning(result) == [{"fitness": 1.0}, {"fitness": 2.0}, {"fitness": 3.0}]


def test_further_measures_and_several_objectives_are_kept() -> None:
    columns = {"speed": np.arange(3.0), "size": np.ones(3), "more": np.zeros(3)}
    rows = [{"speed": float(place), "size": 1.0, "more": 0.0} for place in range(3)]
    assert returning(columns, maximize="speed", minimize="size") == rows
    assert returning(rows, maximize="speed", minimize="size") == rows


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", ["numbers", "columns", "rows"])
def test_one_network_that_is_no_number_costs_itself_alone(bad: float, form: str) -> None:
    values = [1.0, bad, 3.0]
    result = {"numbers": values, "columns": {"fitness": values}, "rows": [{"fitness": value} for value in values]}[form]
    first, lost, last = returning(result)
    assert (first, last) == ({"fitness": 1.0}, {"fitness": 3.0})
    assert lost == Invalid(f"expected a finite number for 'fitness', got {bad}")


def test_a_network_may_be_declared_invalid() -> None:
    assert returning([{"fitness": 1.0}, Invalid("too large"), 3]) == [
        {"fitness": 1.0},
        Invalid("too large"),
        {"fitness": 3.0},
    ]


TWO = {"maximize": ("speed", "size")}


@pytest.mark.parametrize(
    ("result", "more", "message"),
    [
        (np.ones(4), {}, r"of shape \(3,\), a number for each network, got shape \(4,\)"),
        (np.ones((3, 1)), {}, r"got shape \(3, 1\)"),
        (1.0, {}, r"got shape \(\)"),
        (None, {}, r"got shape \(\)|got NoneType"),
        ("good", {}, "a number for each of 3 networks, got str"),
        ({"fitness": np.ones(2)}, {}, r"'fitness' with an array of shape \(3,\)"),
        ({"fitnes": np.ones(3)}, {}, "the objectives fitness, got fitnes"),
        ([{"fitness": 1.0}, {}, {}], {}, "the objectives fitness, got nothing"),
        ([{"fitness": 1.0}], {}, "one result for each of 3 networks, got 1"),
        ([{"fitness": 1.0}, "x", 2.0], {}, "a mapping from measure to number for each network, got str: 'x'"),
        (np.ones(3), TWO, "a mapping with the objectives speed, size, got numbers without names"),
        ([{"speed": 1, "size": 2}, 3.0, 4.0], TWO, "a mapping with the objectives speed, size"),
    ],
)
def test_wrong_shapes_are_refused_in_one_sentence(result: object, more: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        returning(result, **more)
    assert "must return" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "parameters", "message"),
    [
        ("own_tasks.py:nearst", {}, "has no 'nearst': did you mean 'nearest'"),
        ("own_tasks.py:unmarked", {}, "is no task: mark the function"),
        ("own_tasks.py:nearest", {"taget": 1}, "takes no parameter 'taget': did you mean 'target'"),
        ("own_tasks.py:Distance", {"taget": 1}, "takes no parameter 'taget': did you mean 'target'"),
        (
            "own_tasks.py:Distance",
            {"target": -1},
            "cannot be made with the parameters {'target': -1}: ValueError: no such place",
        ),
        ("own_tasks.py:half_way", {"target": 1}, "is an instance and takes no parameters"),
        ("own_tasks.py:Half", {}, "is no whole task: define evaluate"),
        ("own_tasks.py:Nameless", {}, "expected input_names such as"),
        ("own_tasks.py:Aimless", {}, "expected each objective's direction"),
        ("absent.py:nearest", {}, "'absent.py' not found"),
        ("nearest", {}, "an entry point of 'evosparse.tasks'"),
    ],
)
def test_what_is_no_task_is_refused_in_one_sentence(
    own: Path, function: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        CustomSpec(function=function, parameters=parameters).tasks(own)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "mark",
    [
        lambda: task(inputs=0, outputs=1), lambda: task(inputs=(), outputs=1), lambda: task(inputs=1, outputs="left"),
        lambda: task(inputs=True, outputs=1), lambda: task(inputs=("a", "a"), outputs=1),
        lambda: task(inputs=(1, 2), outputs=1),
        lambda: task(inputs=1, outputs=1, maximize="a", minimize="a"),
    ],
)  # fmt: skip
def test_marks_that_make_no_sense_are_refused(mark: Callable[[], object]) -> None:
    with pytest.raises(PluginError, match="expected"):
        mark()


def test_a_missing_parameter_is_told_before_anything_runs() -> None:
    @task(inputs=1, outputs=1)
    def wanting(networks: Networks, wanted: float) -> list[float]:
        return [wanted] * len(networks)

    with pytest.raises(PluginError, match="does not accept a call with networks and the parameters"):
        as_task(wanting)


def test_a_task_of_ones_own_is_taken_as_it_is() -> None:
    class Constant(Task):
        input_names = ("x",)
        output_names = ("y",)

        def evaluate(self, networks: Networks, seeds: object) -> list[Mapping[str, float]]:
            return [{"fitness": 1.0}] * len(networks)

    own = Constant()
    assert as_task(own) is own and isinstance(as_task(Constant), Constant)
