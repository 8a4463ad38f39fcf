"""Classification: scores are those of slow formulas, in any blocks; and the search has no way to the test set."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from task_checks import expect_alone_as_in_batch, face_of, judge, random_networks

from evosparse.data import DataSet, DataSpec, Examples, SearchData, Test, Train, Validation, load
from evosparse.errors import DataError
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks import SupervisedSpec, supervised
from evosparse.topologies.tasks.supervised import classification, score


@pytest.fixture(scope="module")
def squares() -> DataSet:
    """Three classes of images of 2 by 3 pixels; each part is of another size."""
    rng = np.random.default_rng(0)

    def part(kind: type, count: int) -> Examples:
        y = np.arange(count) % 3
        return kind(rng.normal(y[:, None, None, None], 1.0, (count, 1, 2, 3)).astype(np.float32), y.astype(np.int64))

    search = SearchData(part(Train, 90), part(Validation, 40), 3, (1, 2, 3))
    return DataSet("squares", search, part(Test, 50), ("low", "middle", "high"))


def slow(network: object, examples: Examples) -> tuple[float, float]:
    """Accuracy and cross-entropy, example by example."""
    right, loss = 0, 0.0
    for x, y in zip(examples.x, examples.y, strict=True):
        outputs = Networks.of([network]).activate(x.reshape(-1))[0]
        right += int(outputs.argmax() == y)
        loss -= np.log(np.exp(outputs[y]) / np.exp(outputs).sum())
    return right / len(examples), loss / len(examples)


@pytest.mark.parametrize("recurrent", [False, True])
def test_scores_are_those_of_slow_formulas_alone_and_together(squares: DataSet, recurrent: bool) -> None:
    task = classification(squares, recurrent=recurrent).search
    networks = random_networks(task, 12, functions=("steep_sigmoid", "identity", "tanh"))
    found = expect_alone_as_in_batch(task, networks)
    for network, one in zip(networks, found, strict=True):
        for name, part in (("train", squares.search.train), ("validation", squares.search.validation)):
            accuracy, loss = slow(network, part)
            assert one[f"{name}_accuracy"] == accuracy
            assert one[f"{name}_log_loss"] == pytest.approx(loss, rel=1e-9)
        assert one["fitness"] == one["train_accuracy"]
    assert len({one["fitness"] for one in found}) > 3


def test_the_aim_of_a_low_log_loss_ranks_by_it(squares: DataSet) -> None:
    task = classification(squares, "log_loss").search
    found = judge(task, random_networks(task, 12, functions=("identity",)))
    for one in found:
        assert one["fitness"] == pytest.approx(np.exp(-one["train_log_loss"]), rel=1e-12) and 0 < one["fitness"] < 1
    assert {one["fitness"] for one in found} != {one["train_accuracy"] for one in found}


@pytest.mark.parametrize("most", [1, 7, 60, 10_000])
def test_scores_do_not_depend_on_the_size_of_the_blocks(
    squares: DataSet, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = classification(squares).search
    networks = Networks.of(random_networks(task, 5, functions=("identity", "tanh")))
    whole = score(networks, squares.search.train)
    shown = []
    answer = Networks.answer
    monkeypatch.setattr(Networks, "answer", lambda self, cases: shown.append(len(cases)) or answer(self, cases))
    monkeypatch.setattr(supervised, "_MOST_NUMBERS", most)
    blocks = score(networks, squares.search.train)
    assert [array.tobytes() for array in blocks] == [array.tobytes() for array in whole]
    assert sum(shown) == 90 and max(shown) == max(1, min(90, most // 15))


def test_huge_outputs_have_a_finite_loss(squares: DataSet) -> None:
    task = classification(squares).search
    (network,) = random_networks(task, 1, seed=3, functions=("identity",))
    huge = dataclasses.replace(network, weight=network.weight * 1e6)
    (found,) = judge(task, [huge])
    assert 1e3 < found["train_log_loss"] < np.inf


def test_the_search_holds_no_test_set_and_the_examination_nothing_else(squares: DataSet) -> None:
    tasks = classification(squares)
    searched, examined = pickle.dumps(tasks.search), pickle.dumps(tasks.examination)
    train, validation, test = (
        part.x.tobytes() for part in (squares.search.train, squares.search.validation, squares.test)
    )
    assert train in searched and validation in searched and test not in searched
    assert test in examined and train not in examined and validation not in examined
    (network,) = random_networks(tasks.search, 1, seed=1)
    accuracy, loss = slow(network, squares.test)
    assert judge(tasks.examination, [network]) == [
        {"test_accuracy": accuracy, "test_log_loss": pytest.approx(loss, rel=1e-9)}
    ]
    assert list(tasks.examination.objectives) == ["test_accuracy"] and tasks.data_hash == squares.hash


def test_networks_have_an_input_for_each_number_and_an_output_for_each_class(squares: DataSet) -> None:
    face = face_of(classification(squares).search)
    assert face.inputs == ("x0", "x1", "x2", "x3", "x4", "x5")
    assert face.outputs == ("class_low", "class_middle", "class_high")


def test_the_section_says_which_data(tmp_path: Path) -> None:
    tasks = SupervisedSpec(data={"name": "iris", "limit": 60}, aim="log_loss").tasks()
    assert tasks.data_hash == load(DataSpec(name="iris", limit=60)).hash
    assert [len(part) for _, part in tasks.search.parts] == [48, 12]
    assert SupervisedSpec(data="wine").data == DataSpec(name="wine")
    with pytest.raises(DataError, match="there is no file absent.csv"):
        SupervisedSpec(data="absent.csv").tasks(tmp_path)
