"""What every registered method promises of seeds, costs, bytes and what it sees; generated from the registry."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sparsify_registry import (
    DATA,
    EPOCHS,
    EVERY_METHOD,
    NETWORK,
    SIZE,
    SPARSITY,
    bits,
    cohort,
    examples,
    quick,
    sparsified,
)

from evosparse.data import DataSet, SearchData, Test, Train, Validation
from evosparse.engine.fitness import Resources
from evosparse.engine.seeds import SeedKey
from evosparse.errors import DataError, StoreError
from evosparse.nets.randomness import Purpose, generator
from evosparse.sparsify import METHODS, Cohort, Problem, RigL, Static
from evosparse.sparsify.fitness import module_of
from evosparse.sparsify.genome import Recipe
from evosparse.sparsify.trained import decode, encode

NETWORK_SPEC = {"name": "mlp", "hidden": (11, 7)}
STEPS = -(-len(DATA.train) // 16)


PROGRAM = """
import hashlib
from evosparse.sparsify import METHODS
from sparsify_registry import bits, cohort, quick, sparsified
for name in METHODS:
    print(name, hashlib.sha256(repr([bits(one) for one in sparsified(quick(name), cohort((0, 1), kernel="dense"))]).encode()).hexdigest())
"""


def test_the_salt_of_hashes_changes_nothing() -> None:
    place = Path(__file__).resolve().parent
    paths = [str(place), str(place.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    said = []
    for salt in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1] and len(said[0].splitlines()) == len(METHODS)


class Trap:
    """What nobody may look at."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"somebody looked at the test set: {name}")


def data_set(name: str = "prototypes") -> DataSet:
    return DataSet(name, DATA, Test(*examples(31, 3)), ("a", "b", "c"))


@EVERY_METHOD
def test_only_train_and_validation_are_seen(name: str) -> None:
    data = data_set()
    marked = replace(data, test=Test(np.full_like(data.test.x, 0.123456), data.test.y))
    problem = Problem(NETWORK_SPEC, marked, [quick(name)], [SPARSITY], seeds=2, epochs=EPOCHS)
    assert np.float32(0.123456).tobytes() not in pickle.dumps(problem.stage.data)
    assert problem.stage.data.data is data.search
    # Once more with a test set that cannot be looked at: the results are the same.
    recipes = problem.search.recipes[0]
    seeds = [SeedKey(5)] * 2
    fitness = problem.stage.fitness
    told = []
    for bench in (problem.bench, Problem(NETWORK_SPEC, data, [quick(name)], [SPARSITY], seeds=2, epochs=EPOCHS).bench):
        object.__setattr__(data, "test", Trap())
        fitness.prepare(Resources(bench))
        told.append([(dict(one.measures), one.payload) for one in fitness.evaluate(recipes, seeds)])
    assert told[0] == told[1]
    assert not any("test" in key for measures, _ in told[0] for key in measures)


def test_a_test_set_is_refused() -> None:
    test = Test(DATA.validation.x, DATA.validation.y)
    for train, validation in ((test, DATA.validation), (DATA.train, test)):
        with pytest.raises(DataError, match="test set"):
            Cohort(NETWORK, train, validation, [], cohort().training, cohort().initialisation, 1)


@EVERY_METHOD
def test_recipes_and_networks_come_back_from_bytes(name: str) -> None:
    recipe = Recipe(quick(name), 0.85, 3)
    again = Recipe.from_bytes(recipe.to_bytes())
    assert again == recipe and (again.method, again.sparsity, again.replicate) == (quick(name), 0.85, 3)
    assert (again.key, again.arm, again.describe()) == (recipe.key, recipe.arm, recipe.describe())
    assert Recipe(quick(name), 0.85, 4).key != recipe.key != Recipe(quick(name), 0.8, 3).key
    [result] = sparsified(quick(name), cohort((0,)))
    connections, final, selected = decode(NETWORK, encode(NETWORK, result))
    for own, other in zip(connections, result.connections, strict=True):
        np.testing.assert_array_equal(own, other)
    for state, expected in ((final, result.state), (selected, result.selected)):
        assert state.keys() == expected.keys()
        assert all(state[key].tobytes() == np.asarray(expected[key]).tobytes() for key in state)


def test_what_is_no_recipe_is_refused() -> None:
    for data in (b"", b"{}", b"[2, {}, 0.5, 1]", b'[1, {"method": "rigle"}, 0.5, 1]', b'[1, {"method": "rigl", "x": 1}, 0.5, 1]'):
        with pytest.raises(StoreError, match="recipe"):
            Recipe.from_bytes(data)


@EVERY_METHOD
def test_the_last_examples_are_evaluated_too(name: str) -> None:
    # More than are evaluated at once, and not a multiple of anything.
    data = SearchData(DATA.train, Validation(*examples(1037, 4)), 3, (13,))
    [result] = sparsified(quick(name), cohort((0,), data=data))
    with torch.no_grad():
        answers = module_of(NETWORK, result.state)(torch.from_numpy(data.validation.x.copy())).numpy()
    right = np.mean(answers.argmax(axis=1) == data.validation.y)
    assert abs(result.measures["validation_accuracy"] - right) < 2 / 1037  # a tie may fall either way
    shifted = answers - answers.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(1037), data.validation.y]
    np.testing.assert_allclose(result.measures["validation_loss"], losses.mean(), rtol=1e-4)


@EVERY_METHOD
def test_the_last_smaller_minibatch_is_trained_on(name: str) -> None:
    order = generator(cohort((0,)).replicates[0].seeds.order, Purpose.ORDER, 0).permutation(53)
    told = []
    for rows in (order[:0], order[48:]):
        y = DATA.train.y.copy()
        y[rows] = (y[rows] + 1) % 3  # which moves the biases of the outputs, whatever is dead
        train = replace(DATA, train=Train(DATA.train.x, y))
        [result] = sparsified(quick(name), cohort((0,), data=train, epochs=1))
        if not any(value.any() for key, value in result.state.items() if key.endswith("bias")):
            pytest.skip("weights and biases stay as they were drawn: the masks alone are learnt")
        told.append(bits(result))
    assert told[0] != told[1]


def multiply_adds(name: str, **options: object) -> tuple[list[float], list[float]]:
    made = cohort(**options)
    results = sparsified(quick(name), made)
    return [one.measures["training_multiply_adds"] for one in results], [one.measures["epochs"] for one in results]


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if kind().dense])
def test_dense_training_costs_three_forward_passes(name: str) -> None:
    told, epochs = multiply_adds(name)
    assert told == [3 * SIZE * 53 * EPOCHS] * 3 and epochs == [EPOCHS] * 3


def test_static_sparse_training_costs_three_sparse_passes() -> None:
    assert multiply_adds("static")[0] == [3 * round((1 - SPARSITY) * SIZE) * 53 * EPOCHS] * 3


def test_set_costs_no_more_than_static_training() -> None:
    assert multiply_adds("set") == multiply_adds("static")


def test_pruning_costs_what_exists_while_it_is_trained() -> None:
    kept = round((1 - SPARSITY) * SIZE)
    assert multiply_adds("random")[0] == [3 * kept * 53 * EPOCHS] * 3
    assert multiply_adds("magnitude")[0] == [3 * (SIZE + kept) * 53 * EPOCHS] * 3
    assert multiply_adds("snip")[0] == [3 * kept * 53 * EPOCHS + 3 * SIZE * 16] * 3


def test_each_round_of_a_lottery_costs_what_is_left() -> None:
    made = cohort((0,))
    method = quick("lottery")
    ladder = [sum(step) for step in method.ladder(made, SPARSITY)]
    [result] = sparsified(method, made)
    assert result.measures["training_multiply_adds"] == 3 * sum(ladder) * 53 * EPOCHS
    assert result.measures["epochs"] == EPOCHS * len(ladder)


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_rigl_costs_what_its_paper_says(every: int) -> None:
    """(3 f_S dT + 2 f_S + f_D) / (dT + 1) for each example, where each dT + 1st step exchanges connections."""
    batch, epochs = 53, 40  # one step an epoch, so that all steps have as many examples
    made = cohort((0,), epochs=epochs, batch=batch)
    sparsified(RigL(every=every + 1, until=1.0, annealing="constant"), made)
    sparse, dense = round((1 - SPARSITY) * SIZE), SIZE
    exchanges = (epochs - 1) // (every + 1)
    assert made.costs[0] == batch * (3 * sparse * (epochs - exchanges) + exchanges * (2 * sparse + dense))
    published = batch * epochs * (3 * sparse * every + 2 * sparse + dense) / (every + 1)
    assert abs(made.costs[0] - published) <= batch * 2 * (dense - sparse)  # the last period may be cut short


def test_further_minibatches_of_rigl_are_paid_for() -> None:
    costs = []
    for batches in (1, 3):
        made = cohort((0,))
        sparsified(RigL(every=2, until=1.0, annealing="constant", grow_batches=batches), made)
        costs.append(made.costs[0])
    sparse = round((1 - SPARSITY) * SIZE)
    exchanges = (EPOCHS * STEPS - 1) // 2
    assert costs[1] - costs[0] == exchanges * 2 * 16 * (2 * sparse + SIZE)


def test_static_training_exchanges_nothing() -> None:
    made = cohort((0,))
    before = Static().start(made)
    [result] = sparsified(Static(), made)
    for own, first in zip(result.connections, before[0], strict=True):
        np.testing.assert_array_equal(own, first)
