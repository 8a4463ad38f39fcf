"""Energies, likelihoods and gradients of Boltzmann machines, against enumeration, scikit-learn and finite differences."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.neural_network import BernoulliRBM

from evosparse.engine.seeds import SeedKey
from evosparse.errors import DataError, SpecError
from evosparse.sparsify.rbm import (
    RBM, AnnealingSpec, Parameters, RBMSpec, annealed_log_partition, average_nll, bars_and_stripes, binarise,
    contrastive_divergence, least_nll_of_bars_and_stripes, log_partition,
)  # fmt: skip

SHORT = AnnealingSpec(pieces=((0.0, 1.0, 1e-3),))


def machine(hidden: int, visible: int, seed: int = 0, size: float = 1.0) -> Parameters:
    """A machine with random parameters, in double precision."""
    rng = np.random.default_rng(seed)
    return Parameters(*(rng.normal(0, size, shape) for shape in ((hidden, visible), hidden, visible)))


def joint_energies(own: Parameters) -> dict[tuple[int, ...], list[float]]:
    """The energies of all (x, h), by the sums of the definition, for each x."""
    hidden, visible = own.weights.shape
    found = {}
    for x in product((0, 1), repeat=visible):
        found[x] = []
        for h in product((0, 1), repeat=hidden):
            energy = -sum(x[j] * own.visible_bias[j] for j in range(visible))
            energy -= sum(h[i] * own.hidden_bias[i] for i in range(hidden))
            energy -= sum(h[i] * own.weights[i, j] * x[j] for i in range(hidden) for j in range(visible))
            found[x].append(energy)
    return found


def test_enumeration_is_the_sum_over_all_visible_and_hidden_states() -> None:
    own, x = machine(3, 9), bars_and_stripes(3)
    energies = joint_energies(own)
    partition = sum(math.exp(-energy) for rest in energies.values() for energy in rest)
    assert log_partition(own) == pytest.approx(math.log(partition), abs=1e-10)
    nll = -np.mean([math.log(sum(math.exp(-energy) for energy in energies[tuple(row)]) / partition) for row in x.tolist()])
    assert average_nll(own, x, log_partition(own)) == pytest.approx(nll, abs=1e-10)
    for row in x.tolist():
        free = -math.log(sum(math.exp(-energy) for energy in energies[tuple(row)]))
        assert own.free_energy(np.array([row], float))[0] == pytest.approx(free, abs=1e-10)
        states = np.array(list(product((0, 1), repeat=3)), float)
        np.testing.assert_allclose(own.energy(np.tile(np.array(row, float), (8, 1)), states), energies[tuple(row)])


@pytest.mark.parametrize(("hidden", "visible"), [(14, 3), (3, 14), (13, 13), (1, 1)])
def test_either_side_may_be_the_one_that_is_gone_through(hidden: int, visible: int) -> None:
    own = machine(hidden, visible, 1, 0.5)
    assert log_partition(own) == pytest.approx(log_partition(own.transposed()), abs=1e-9)


def test_a_machine_without_weights_has_a_partition_function_in_closed_form() -> None:
    rng = np.random.default_rng(2)
    own = Parameters(np.zeros((30, 15)), rng.normal(size=30), rng.normal(size=15))
    expected = np.log1p(np.exp(own.hidden_bias)).sum() + np.log1p(np.exp(own.visible_bias)).sum()
    assert log_partition(own) == pytest.approx(expected, abs=1e-9)
    assert annealed_log_partition(own, SeedKey(0), SHORT, own.visible_bias).log_partition == pytest.approx(expected, abs=0.05)


def test_free_energies_and_mean_field_are_those_of_scikit_learn() -> None:
    x = np.random.default_rng(3).integers(0, 2, (40, 12)).astype(float)
    theirs = BernoulliRBM(n_components=7, random_state=0, n_iter=3).fit(x)
    ours = Parameters(theirs.components_, theirs.intercept_hidden_, theirs.intercept_visible_)
    np.testing.assert_allclose(ours.free_energy(x), theirs._free_energy(x), rtol=1e-12)
    np.testing.assert_allclose(ours.hidden_probabilities(x), theirs.transform(x), rtol=1e-12)
    machine = RBM(12, RBMSpec(hidden=7, connectivity="dense", precision="float64"))
    machine.weights, machine.hidden_bias, machine.visible_bias = ours.weights, ours.hidden_bias, ours.visible_bias
    np.testing.assert_allclose(machine.free_energy(x), theirs._free_energy(x), rtol=1e-12)
    np.testing.assert_allclose(machine.hidden_probabilities(x), theirs.transform(x), rtol=1e-12)
    # Its pseudo-likelihood flips one bit of each example, drawn by its seed.
    flipped, bits = x.copy(), np.random.RandomState(0).randint(0, 12, 40)
    flipped[np.arange(40), bits] = 1 - flipped[np.arange(40), bits]
    expected = -12 * np.log1p(np.exp(machine.free_energy(x) - machine.free_energy(flipped)))
    np.testing.assert_allclose(theirs.score_samples(x), expected, rtol=1e-9)


def test_nc1_annealing_agrees_with_enumeration() -> None:
    """NC1: within .05 nats at 16 visible units; a schedule of 5,000 steps instead of 14,500."""
    x = bars_and_stripes(4)
    annealing = AnnealingSpec(pieces=((0.0, 0.5, 1e-3), (0.5, 1.0, 1e-4)), chains=200)
    for connectivity in ("dense", "ncg"):
        spec = RBMSpec(hidden=16, connectivity=connectivity, batch=5, learning_rate=0.01)
        trained = RBM(16, spec, key=SeedKey(1)).fit(x, epochs=300)
        exact = trained.average_nll(x)
        estimate = trained.annealed_log_partition(SeedKey(2), annealing)
        assert trained.average_nll(x, log_partition=estimate.log_partition) == pytest.approx(exact, abs=0.05)
        assert estimate.standard_error < 0.05 and estimate.log_weights.shape == (200,)


def test_the_published_schedule_has_its_steps_and_ends() -> None:
    temperatures = AnnealingSpec().temperatures()
    assert len(temperatures) == 14_501 and temperatures[0] == 0 and temperatures[-1] == 1
    assert (np.diff(temperatures) > 0).all()
    steps = np.diff(temperatures)[[0, 499, 500, 4499, 4500, -1]]
    np.testing.assert_allclose(steps, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-6)


def test_a_long_chain_gives_the_exact_gradient_in_expectation() -> None:
    own, x = machine(4, 9, 4, 0.4), bars_and_stripes(3).astype(float)
    every = np.array(list(product((0, 1), repeat=9)), float)
    probabilities = np.exp(-own.free_energy(every) - log_partition(own))
    assert probabilities.sum() == pytest.approx(1)
    here, there = own.hidden_probabilities(x), own.hidden_probabilities(every)
    exact = {
        "weights": here.T @ x / len(x) - (there * probabilities[:, None]).T @ every,
        "hidden_bias": here.mean(axis=0) - probabilities @ there,
        "visible_bias": x.mean(axis=0) - probabilities @ every,
    }
    rng = np.random.default_rng(5)
    estimate = contrastive_divergence(own, np.tile(x, (1000, 1)), 20, rng)
    short = contrastive_divergence(own, np.tile(x, (1000, 1)), 1, rng)
    for name, values in exact.items():
        np.testing.assert_allclose(getattr(estimate, name), values, atol=0.02)
    assert np.abs(short.weights - exact["weights"]).max() > 0.025  # a short chain is biased: the check above can fail
    # The exact gradient is the slope of the exact log-likelihood.
    for name, place in (("weights", (2, 5)), ("hidden_bias", 1), ("visible_bias", 7)):
        slope = 0.0
        for sign in (1, -1):
            moved = {key: getattr(own, key).copy() for key in exact}
            moved[name][place] += sign * 1e-5
            other = Parameters(**moved)
            slope -= sign * average_nll(other, x, log_partition(other)) / 2e-5
        assert slope == pytest.approx(exact[name][place], abs=1e-6)


def test_gibbs_samples_have_the_probabilities_of_the_machine() -> None:
    own = machine(3, 4, 6, 0.7)
    every = np.array(list(product((0, 1), repeat=4)), float)
    expected = np.exp(-own.free_energy(every) - log_partition(own))
    drawn = own.gibbs(np.zeros((40_000, 4)), 30, np.random.default_rng(7))
    counts = np.bincount((drawn @ [8, 4, 2, 1]).astype(int), minlength=16)
    np.testing.assert_allclose(counts / len(drawn), expected, atol=0.012)


def test_no_model_of_bars_and_stripes_is_better_than_their_entropy() -> None:
    for side, published in ((4, 3.379), (3, 2.599)):
        pictures = bars_and_stripes(side)
        assert pictures.shape == (2 * 2**side, side * side)
        kinds, counts = np.unique(pictures, axis=0, return_counts=True)
        assert len(kinds) == len(pictures) - 2 and sorted(counts)[-3:] == [1, 2, 2]
        assert {tuple(kind) for kind in kinds[counts == 2]} == {(0,) * side**2, (1,) * side**2}
        shares = counts / counts.sum()
        assert least_nll_of_bars_and_stripes(side) == pytest.approx(-(shares * np.log(shares)).sum())
        assert least_nll_of_bars_and_stripes(side) == pytest.approx(published, abs=5e-4)
        for picture in pictures.reshape(-1, side, side):
            assert (picture == picture[:1]).all() or (picture == picture[:, :1]).all()


def test_pixels_are_on_as_often_as_they_are_bright() -> None:
    x = np.tile(np.array([0, 0.25, 0.9, 1], np.float32), (20_000, 1))
    drawn = binarise(x, SeedKey(0))
    assert drawn.dtype == np.uint8 and set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(axis=0), [0, 0.25, 0.9, 1], atol=0.015)
    assert not drawn[:, 0].any() and drawn[:, 3].all()
    assert np.array_equal(drawn, binarise(x, SeedKey(0))) and not np.array_equal(drawn, binarise(x, SeedKey(1)))


def test_what_cannot_be_computed_says_why_and_what_to_do() -> None:
    with pytest.raises(SpecError, match=r"at most 25 .* got 26 hidden and 30 visible; .* annealed_log_partition"):
        log_partition(machine(26, 30))
    with pytest.raises(DataError, match="got 0 to 255; divide"):
        binarise(np.array([[0, 255]]), SeedKey(0))
    with pytest.raises(SpecError, match="1 to 12 pixels a side, got 13"):
        bars_and_stripes(13)
    with pytest.raises(SpecError, match=r"base: expected \(4,\) finite biases"):
        annealed_log_partition(machine(3, 4), SeedKey(0), SHORT, np.zeros(3))
    for pieces in (((0.0, 0.5, 0.1),), ((0.0, 0.5, 0.1), (0.6, 1.0, 0.1)), ((0.0, 1.0, 0.0),), ()):
        with pytest.raises(ValidationError, match="lead from 0 to 1"):
            AnnealingSpec(pieces=pieces)
