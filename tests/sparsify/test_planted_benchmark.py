"""The planted-ticket benchmark: exact budgets, known answers, collapse, and a verdict on every method of the registry."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from evosparse.errors import SpecError
from evosparse.nets import Population, Seeds
from evosparse.sparsify import METHODS, Pruning
from evosparse.sparsify.cohort import Replicate
from evosparse.sparsify.planted import SHAPES, Masks
from evosparse.sparsify.planted.benchmark import Benchmark, by_protocol
from evosparse.sparsify.planted.module import INITIALISATION, connections_of, masks_of, planted_network

PRUNING = sorted(name for name, kind in METHODS.items() if issubclass(kind, Pruning))
MASKING = sorted(name for name, kind in METHODS.items() if not kind.dense)


@cache
def small(task: str = "circle", seed: int = 0) -> Benchmark:
    """A mother just wide enough, few examples, one epoch."""
    return Benchmark(task, depth=3, width=32, seed=seed, epochs=1, samples=300)


@pytest.mark.parametrize("task", sorted(SHAPES))
def test_the_module_computes_what_is_planted(task: str) -> None:
    benchmark = small(task)
    x = benchmark.data.test.x
    module = benchmark.network.module(Replicate(0, 0.0, benchmark.seed).seeds.weights)
    with torch.no_grad():
        outputs = module(torch.from_numpy(x)).numpy()
    expected = benchmark.planted.network.forward(x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_each_seed_has_a_mother_of_its_own_which_populations_begin_with() -> None:
    mothers = [small(seed=seed).planted.network.weights[0] for seed in (0, 1)]
    assert not np.array_equal(*mothers)
    network = planted_network("circle", 3, 32)
    seeds = Replicate(0, 0.5, 1).seeds
    population = Population(
        network, [[None, None]], [Seeds(seeds.weights, 0, 0)], small().training, INITIALISATION, 1, "cpu"
    )
    np.testing.assert_allclose(population.state(0)["layer1.weight"][:, :-1], mothers[1], rtol=1e-6)


def test_masks_and_connections_say_the_same() -> None:
    network, rng = small().network, np.random.default_rng(0)
    shapes = [(units, inputs - 1) for units, inputs in (layer.shape for layer in network.layers)]
    masks = Masks(tuple(rng.random(shape) < 0.3 for shape in shapes), tuple(rng.random(shape[0]) < 0.3 for shape in shapes))
    again = masks_of(network, connections_of(masks))
    for one, other in zip((*masks.weights, *masks.biases), (*again.weights, *again.biases), strict=True):
        np.testing.assert_array_equal(one, other)
    dense = masks_of(network, [None, None])
    assert all(mask.all() for mask in dense.weights + dense.biases)


@pytest.mark.parametrize("task", sorted(SHAPES))
def test_the_planted_mask_is_found_whole_and_strong(task: str) -> None:
    benchmark = replace(small(task), samples=2000)
    [verdict] = benchmark.judge([connections_of(benchmark.planted.masks)])
    assert verdict.mask.precision == verdict.mask.recall == 1 and not verdict.mask.collapsed
    if task == "circle":
        assert verdict.strong["accuracy"] > 0.9  # .95 less what 200 examples leave open
    else:
        assert verdict.strong["mse"] < 5e-4
    assert verdict.costs["epochs"] == 1


@pytest.mark.parametrize("protocol", ["singleshot", "multishot"])
@pytest.mark.parametrize("name", PRUNING)
def test_budgets_over_weights_and_biases_are_exact(name: str, protocol: str) -> None:
    benchmark = small()
    size = sum(layer.size for layer in benchmark.network.layers)
    densities = (0.5, 0.1, benchmark.planted_density())
    method = by_protocol(name, protocol, **({"rounds": 3, "round_epochs": 1} if protocol == "multishot" else {}))
    for density, verdict in zip(densities, benchmark.run(method, densities), strict=True):
        assert verdict.mask.size_with_biases == verdict.costs["weights"] == round(density * size)
        if name != "lottery":  # whose number of rounds follows from its rate
            assert verdict.costs["epochs"] == (4 if protocol == "multishot" else 1)


@pytest.mark.parametrize("name", ["random", "synflow"])
def test_singleshot_leaves_no_path_at_a_hundredth_and_answers_the_first_class(name: str) -> None:
    benchmark = Benchmark("circle", epochs=1, samples=600)
    [verdict] = benchmark.run(by_protocol(name, "singleshot"), [0.01])
    assert verdict.mask.collapsed
    assert verdict.weak["accuracy"] == np.mean(benchmark.data.test.y == 0)


@pytest.mark.parametrize("name", MASKING)
def test_every_method_that_makes_a_mask_is_judged(name: str) -> None:
    benchmark = small()
    try:
        few, many = benchmark.run(name, [0.2, 0.6])
    except SpecError as error:  # a method may be of networks of another kind, and then says so
        assert "expected a multilayer perceptron" in str(error)
        return
    for verdict in (few, many):
        assert {"accuracy"} == set(verdict.strong) == set(verdict.strong_undivided) == set(verdict.weak)
        assert 0 <= verdict.mask.precision <= 1 and 0 <= verdict.mask.recall <= 1
        assert len(verdict.mask.survivors) == 2 and sum(verdict.mask.survivors) == verdict.mask.size
        assert not verdict.mask.collapsed
        assert verdict.costs["training_multiply_adds"] > 0 and verdict.costs["epochs"] >= 1
    assert few.mask.size_with_biases < many.mask.size_with_biases
    # Beside others or alone: the same.
    assert benchmark.run(name, [0.2]) == [few]


def test_regression_is_judged_by_squared_errors() -> None:
    [verdict] = small("helix").run(by_protocol("grasp", "singleshot"), [0.5])
    assert set(verdict.weak) == set(verdict.strong) == {"mse", "mse_least_squares"}


def test_what_cannot_be_asked_for_is_refused() -> None:
    with pytest.raises(SpecError, match="multishot"):
        by_protocol("snip", "multishoot")
    with pytest.raises(SpecError, match="run it as it is"):
        by_protocol("rigl", "singleshot")
    with pytest.raises(SpecError, match="validation"):
        Benchmark("relu", depth=3, width=4, samples=100, validation=0.0).run("random", [0.5])
    with pytest.raises(SpecError, match="circle"):
        planted_network("circel")
