"""Networks whose connections Boltzmann machines learn: the choice, what the network has of its machine, clear errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sparsify_registry import DATA, NETWORK, cohort, sparsified
from torch import nn

from evosparse.data import DataSpec, SearchData, Train, Validation, load
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.nets import inspect_module, multilayer_perceptron
from evosparse.sparsify import NCG, Cohort
from evosparse.sparsify.fitness import module_of
from evosparse.sparsify.methods.ncg import binary, ranks, states_of
from evosparse.sparsify.rbm import NCG as Connectivity
from evosparse.sparsify.rbm import RBM, Connections, RBMSpec


@given(
    arrays(np.float64, (3, 5), elements=st.floats(0, 1)), arrays(np.float64, (3, 5), elements=st.floats(-1, 1)),
    st.sampled_from([0.2, 0.4, 0.8, 1.0]), st.integers(3, 5),
)  # fmt: skip
@settings(max_examples=200)
def test_exact_connections_are_the_best_scored_ones_of_a_fixed_number(
    scores: np.ndarray, slopes: np.ndarray, density: float, free: int
) -> None:
    connections = Connections((scores > 0.5).astype(float), scores.copy(), free)
    Connectivity(density=density, exact=True).update(connections, np.ones((3, 5)), slopes, 0.1)
    moved = sorted(((scores[i, j] + 0.5 * slopes[i, j], i, j) for i in range(3) for j in range(free)), reverse=True)
    count = max(1, round(density * 3 * free))
    if count == len(moved) or moved[count - 1][0] - moved[count][0] < 1e-9:
        return
    expected = np.zeros((3, free))
    for _, i, j in moved[:count]:
        expected[i, j] = 1
    assert np.array_equal(connections.active[:, :free], expected)
    assert np.array_equal(connections.scores[:, free:], scores[:, free:])
    assert connections.scores.min() >= 0 and connections.scores.max() <= 1
    # All moved by one amount, but for what is cut at 0 and 1.
    shift = 0.5 - (moved[count - 1][0] + moved[count][0]) / 2
    for score, i, j in moved:
        assert connections.scores[i, j] == pytest.approx(min(1, max(0, score + shift)))


def test_ranks_order_by_score_then_by_magnitude() -> None:
    weights = np.array([[3.0, -4.0, 0.1], [2.0, 1.0, -9.0]])
    scores = np.array([[0.5, 0.5, 0.9], [0.2, 0.9, 0.1]])
    active = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert (6 * ranks(Connections(active, scores, 3), weights)).round().tolist() == [[2, 3, 4], [1, 5, 0]]
    assert (6 * ranks(Connections(active, None, 3), weights)).round().tolist() == [[5, 2, 4], [1, 0, 3]]
    assert (6 * ranks(None, weights)).round().tolist() == [[3, 4, 0], [2, 1, 5]]
    assert np.isnan(ranks(None, np.array([[1.0, np.nan]]))).tolist() == [[False, True]]


def test_connections_go_where_inputs_tell_of_each_other() -> None:
    """Ten inputs are copies of two coins, thirty are coins of their own: a machine has nothing to say of these."""
    rng = np.random.default_rng(0)
    coins = rng.integers(2, size=(600, 2))
    x = np.concatenate([np.repeat(coins, 5, axis=1), rng.integers(2, size=(600, 30))], axis=1).astype(np.float32)
    data = SearchData(Train(x[:500], coins[:500, 0].copy()), Validation(x[500:], coins[500:, 0].copy()), 2, (40,))
    network = multilayer_perceptron((40,), 2, (20,))
    shares = {}
    for connectivity in ("ncg", "random"):
        made = cohort((0, 1, 2), 0.8, data=data, network=network, epochs=1)
        results = sparsified(NCG(connectivity=connectivity, machine_epochs=20, batch=10), made)
        first = [own.connections[0] % 40 for own in results]
        shares[connectivity] = [float((own < 10).mean()) for own in first]
    assert max(abs(share - 0.25) for share in shares["random"]) < 0.15
    assert min(shares["ncg"]) > 0.5


@pytest.fixture(scope="module")
def digits() -> SearchData:
    return load(DataSpec(name="digits")).search


def flat(data: SearchData) -> SearchData:
    """Return examples as (n, features)."""
    parts = [type(part)(part.x.reshape(len(part.x), -1), part.y) for part in (data.train, data.validation)]
    return SearchData(*parts, data.classes, parts[0].x.shape[1:])


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_a_network_that_is_not_tuned_classifies_as_its_machine(digits: SearchData, sparsity: float) -> None:
    network = multilayer_perceptron((64,), 10, (50,), "sigmoid")
    method, machines = NCG(weights="machines", tuned=False, machine_epochs=10), []

    class Spied(Cohort):
        def advance(self, epochs: int, *rest: object, **options: object) -> None:
            assert epochs == 0
            super().advance(epochs, *rest, **options)

    class Watched(NCG):
        def _learn(self, *arguments: object) -> list[RBM]:
            machines.extend(learnt := super()._learn(*arguments))
            return learnt

    digits = flat(digits)
    made = cohort((0,), sparsity, data=digits, network=network, kind=Spied)
    # The output layer is whole, as the links of label units are.
    uneven = {"distribution": {"distribution": "er", "output_floor": 1.0}}
    [result] = sparsified(Watched(**method.model_dump(exclude={"distribution"}), **uneven), made)
    assert len(result.connections[1]) == 500 and sum(map(len, result.connections)) == round((1 - sparsity) * 3700)
    # The same arrays in a machine that knows which of its visible units are labels.
    [machine] = machines
    labelled = RBM(64, RBMSpec(hidden=50), 10)
    labelled.weights, labelled.hidden_bias, labelled.visible_bias = machine.weights, machine.hidden_bias, machine.visible_bias
    labelled.connections = machine.connections
    x = digits.validation.x
    answers = module_of(network, result.state)(torch.from_numpy(x.copy())).detach().numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-answers.astype(float))), labelled.label_probabilities(x), atol=1e-5)
    right = float((labelled.classify(x) == digits.validation.y).mean())
    assert result.measures["validation_accuracy"] == pytest.approx(right, abs=1e-9) and right > 0.6


def test_machines_are_paid_for() -> None:
    made = cohort((0,), 0.8, epochs=1)
    [result] = sparsified(NCG(machine_epochs=2, steps=3), made)
    machines = 11 * 13 + 7 * (11 + 3)
    kept = sum(map(len, result.connections))
    assert result.measures["training_multiply_adds"] == 53 * (2 * 9 * machines + 3 * kept)
    assert result.measures["epochs"] == 2 + 1


def test_weights_of_machines_are_only_used_where_that_is_asked_for() -> None:
    [plain] = sparsified(NCG(tuned=False), cohort((0,)))
    made = cohort((0,))
    made.begin(made.dense, 1)
    first = made.population.state(0)
    for layer, own in zip(NETWORK.layers, plain.connections, strict=True):
        values = plain.state[layer.parameter].reshape(-1)
        np.testing.assert_array_equal(values[own], first[layer.parameter].reshape(-1)[own])


def test_values_become_states_with_these_probabilities() -> None:
    key = SeedKey(3)
    x = np.full((4000, 2), (0.25, 1.0), np.float32)
    assert binary(x, key).mean(axis=0) == pytest.approx((0.25, 1), abs=0.03)
    wide = np.repeat(np.array([[-5.0, 7.0], [3.0, 7.0]], np.float32), 2000, axis=0)
    drawn = binary(wide, key)
    one = 1 / (1 + np.e)  # of one standard deviation below the mean
    assert drawn[:2000, 0].mean() == pytest.approx(one, abs=0.04) and drawn[2000:, 0].mean() == pytest.approx(1 - one, abs=0.04)
    assert not drawn[:, 1].any()  # which is always the same
    assert states_of(np.array([2, 0]), 3, key).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert states_of(np.linspace(-3, 3, 50, dtype=np.float32), 1, key).shape == (50, 1)


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(72, 3))


@pytest.mark.parametrize(
    ("network", "method", "words"),
    [
        (inspect_module(convolutional, (1, 8, 8), 3, "convolutional"), NCG(), ["linear layers alone", "(2, 1, 3, 3)", "another method"]),
        (multilayer_perceptron((5,), 3, ()), NCG(), ["at least one hidden", "output (3, 5)"]),
        (multilayer_perceptron((5,), 3, (4,)), NCG(weights="machines"), ["sigmoids", "weights: initial", "activation: sigmoid"]),
    ],
)
def test_networks_that_do_not_fit_are_refused(network: object, method: NCG, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        method.expect_fitting(network, 0.5)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_user_s_chain_of_linear_layers_will_do() -> None:
    network = inspect_module(lambda: nn.Sequential(nn.Linear(13, 8), nn.Tanh(), nn.Linear(8, 3, bias=False)), (13,), 3, "chain")
    method = NCG()
    method.expect_fitting(network, 0.5)
    [result] = sparsified(method, cohort((0,), 0.5, network=network, data=DATA))
    assert sum(map(len, result.connections)) == round(0.5 * (13 * 8 + 8 * 3))
