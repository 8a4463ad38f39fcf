"""Boltzmann machines with learnt connections: the steps of the source against slow loops, keys, labels, clear errors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from evosparse.engine.seeds import SeedKey
from evosparse.errors import DataError, SpecError
from evosparse.sparsify.rbm import (
    CONNECTIVITIES, NCG, RBM, Connections, Connectivity, Gradient, Random, RBMSpec, bars_and_stripes, binarise, connectivity,
    machine,
)  # fmt: skip

SMALL_SPEC = {"hidden": 6, "batch": 5, "learning_rate": 0.05}
X = bars_and_stripes(3)
Y = (np.arange(16) >= 8).astype(int)


def values(low: float, high: float, shape: tuple[int, ...] = (3, 4)) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, shape, elements=st.floats(low, high) | st.sampled_from([low, high, (low + high) / 2]))


def small(seed: int = 0, classes: int = 0, **changes: object) -> RBM:
    return RBM(9, RBMSpec(**{**SMALL_SPEC, **changes}), classes, SeedKey(seed))


def literal_scores(
    scores: np.ndarray, active: np.ndarray, weights: np.ndarray, slopes: np.ndarray, rate: float, free: int
) -> None:
    """The rule of the source, position by position, in place."""
    for i in range(scores.shape[0]):
        for j in range(free):
            score = scores[i, j] + 5 * rate * (weights[i, j] * slopes[i, j])
            if score > 0.5:
                active[i, j] = 1
            elif score < 0.5:
                active[i, j] = 0
            scores[i, j] = 0 if score < 0 else 1 if score > 1 else score


@given(
    values(0, 1), arrays(np.float64, (3, 4), elements=st.sampled_from([0.0, 1.0])), values(-2, 2), values(-1, 1),
    st.sampled_from([0.01, 0.1, 0.5]), st.integers(0, 4),
)  # fmt: skip
@settings(max_examples=200)
def test_scores_and_connections_move_by_the_rule_at_every_position(
    scores: np.ndarray, active: np.ndarray, weights: np.ndarray, slopes: np.ndarray, rate: float, free: int
) -> None:
    connections = Connections(active.copy(), scores.copy(), free)
    NCG().update(connections, weights, slopes, rate)
    literal_scores(scores, active, weights, slopes, rate, free)
    np.testing.assert_allclose(connections.scores, scores, atol=1e-15)
    clear = np.abs(scores - 0.5) > 1e-12  # in between, the last bit of the product decides
    assert np.array_equal(connections.active[clear], active[clear])


def test_a_connection_whose_score_is_one_half_stays_as_it_is() -> None:
    connections = Connections(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]]), 2)
    NCG().update(connections, np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), 0.1)
    assert connections.active.tolist() == [[0, 1]] and connections.scores.tolist() == [[0.5, 0.5]]


@given(st.lists(values(-1, 1, (6, 11)), min_size=1, max_size=4), st.sampled_from(["optimised", "dense"]))
@settings(max_examples=40)
def test_a_step_is_the_page_s_step_at_every_position(slopes: list[np.ndarray], links: Literal["optimised", "dense"]) -> None:
    own = small(classes=2, learning_rate=0.5, precision="float64", label_links=links)
    weights, active, scores = own.weights.copy(), own.connections.active.copy(), own.connections.scores.copy()
    biases = (np.linspace(-1, 1, 6), np.linspace(-1, 1, 11))
    free = 11 if links == "optimised" else 9
    for slope in slopes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(machine, "contrastive_divergence", lambda *rest, slope=slope: Gradient(slope, *biases))
            own._step(np.zeros((1, 11)), np.random.default_rng(0))
        before, were = weights.copy(), active.copy()
        for i in range(6):
            for j in range(11):
                if were[i, j]:
                    weights[i, j] += 0.5 * slope[i, j]
        literal_scores(scores, active, before, slope, 0.5, free)
        if (np.abs(scores[:, :free] - 0.5) < 1e-9).any():
            return
        np.testing.assert_allclose(own.weights, weights, atol=1e-12)
        np.testing.assert_allclose(own.connections.scores, scores, atol=1e-12)
        assert np.array_equal(own.connections.active, active)
    np.testing.assert_allclose(own.hidden_bias, 0.5 * len(slopes) * biases[0], atol=1e-12)
    np.testing.assert_allclose(own.visible_bias, 0.5 * len(slopes) * biases[1], atol=1e-12)


def test_a_connection_that_comes_back_has_the_weight_that_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    own = RBM(1, RBMSpec(hidden=1, connectivity={"connectivity": "ncg", "density": 1.0}, learning_rate=0.1, precision="float64"))
    own.weights[:], own.connections.scores[:] = 0.8, 0.6
    seen = []
    for slope in (-1.0, -0.5, 0.5, 1.0):
        gradient = Gradient(np.array([[slope]]), np.zeros(1), np.zeros(1))
        monkeypatch.setattr(machine, "contrastive_divergence", lambda *rest, gradient=gradient: gradient)
        own._step(np.zeros((1, 1)), np.random.default_rng(0))
        seen.append((own.weights.item(), own.parameters.weights.item(), own.connections.scores.item()))
    # A~: .6 - .4 = .2 (cut; W .8 - .1), .2 - .175 = .025, .025 + .175 = .2, .2 + .35 = .55 (back).
    expected = [(0.7, 0, 0.2), (0.7, 0, 0.025), (0.7, 0, 0.2), (0.7, 0.7, 0.55)]
    np.testing.assert_allclose(seen, expected, atol=1e-12)


def test_weights_without_a_connection_do_not_move_in_training() -> None:
    own = small(connectivity=Random(density=0.4))
    before, missing = own.weights.copy(), own.connections.active == 0
    own.fit(X, epochs=5)
    assert np.array_equal(own.weights[missing], before[missing]) and missing.any()
    assert (own.weights[~missing] != before[~missing]).all()
    assert np.array_equal(own.connections.active == 0, missing) and not own.parameters.weights[missing].any()


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_first_connections_have_the_density_and_scores_match_them(density: float) -> None:
    own = RBM(100, RBMSpec(hidden=100, connectivity=NCG(density=density)), 10)
    assert own.density == pytest.approx(density, abs=0.02)
    active, scores = own.connections.active, own.connections.scores
    assert scores.min() >= 0 and scores.max() <= 1
    assert (scores[active == 1] >= 0.5).all() and (scores[active == 0] < 0.5).all()
    assert active[:, 100:].all() and (scores[:, 100:] == 1).all()
    for part in (scores[:, :100][active[:, :100] == 1] - 0.5, scores[active == 0]):
        assert not part.size or part.mean() == pytest.approx(0.25, abs=0.02)
    assert np.abs(own.weights).max() <= 1 and own.weights.mean() == pytest.approx(0, abs=0.02)
    assert own.weights.std() == pytest.approx(1 / np.sqrt(3), abs=0.02)
    assert not own.hidden_bias.any() and not own.visible_bias.any()


def test_label_links_are_learnt_only_where_that_is_asked_for() -> None:
    dense, optimised = (small(classes=2, label_links=links) for links in ("dense", "optimised"))
    for own in (dense, optimised):
        own.fit(X, Y, epochs=60)
    assert dense.connections.active[:, 9:].all() and dense.connections.free == 9
    assert not optimised.connections.active[:, 9:].all() and optimised.connections.free == 11
    assert dense.density == dense.connections.active[:, :9].mean()


def test_connections_are_drawn_anew_in_each_call_where_that_is_asked_for() -> None:
    once, each = (small(redraw_A=redraw).fit(X, epochs=1) for redraw in ("once", "each_call"))
    assert np.array_equal(once.connections.scores, each.connections.scores)
    weights, kept, left = each.weights.copy(), once.connections.active.copy(), each.connections.scores.copy()
    once.fit(X, epochs=0)
    each.fit(X, epochs=0)
    assert np.array_equal(once.connections.active, kept)
    assert not np.array_equal(each.connections.scores, left) and np.array_equal(each.weights, weights)


def test_two_calls_do_as_one() -> None:
    whole, parts = small().fit(X, epochs=7), small().fit(X, epochs=3).fit(X, epochs=4)
    for one, other in ((whole.weights, parts.weights), (whole.connections.scores, parts.connections.scores)):
        assert np.array_equal(one, other)


def test_training_brings_the_likelihood_close_to_the_best() -> None:
    own = RBM(9, RBMSpec(hidden=12, batch=5, steps=5, learning_rate=0.05, connectivity="dense"), key=SeedKey(3))
    first = own.average_nll(X)
    seen = []
    own.fit(X, epochs=1500, after_epoch=lambda trained: seen.append(trained.epochs))
    assert seen == list(range(1, 1501)) and first > 5 and own.average_nll(X) < 3.2


def test_classes_are_the_label_units_of_one_pass_up_and_down() -> None:
    own = small(classes=2, connectivity="dense", steps=5, hidden=12, precision="float64").fit(X, Y, epochs=1500)
    whole = np.concatenate([X, np.full((16, 2), 0.5)], axis=1)
    sigmoid: Callable = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    hidden = sigmoid(whole @ own.parameters.weights.T + own.hidden_bias)
    visible = sigmoid(hidden @ own.parameters.weights + own.visible_bias)
    np.testing.assert_allclose(own.label_probabilities(X), visible[:, 9:], rtol=1e-10)
    np.testing.assert_allclose(own.mean_field(X), visible, rtol=1e-10)
    assert np.array_equal(own.classify(X), visible[:, 9:].argmax(axis=1))
    distinct = (X.sum(axis=1) > 0) & (X.sum(axis=1) < 9)
    assert (own.classify(X) == Y)[distinct].all()


def test_samples_of_a_trained_machine_look_like_its_data() -> None:
    own = RBM(9, RBMSpec(hidden=12, batch=5, steps=5, learning_rate=0.05, connectivity="dense")).fit(X, epochs=800)
    drawn = own.sample(400, 100, SeedKey(1))
    known = {tuple(row) for row in X.tolist()}
    assert drawn.shape == (400, 9) and set(np.unique(drawn)) == {0, 1}
    assert np.mean([tuple(row) in known for row in drawn.astype(int).tolist()]) > 0.3  # by chance 14 of 512
    assert np.array_equal(drawn, own.sample(400, 100, SeedKey(1)))
    assert np.array_equal(own.sample(16, 0, SeedKey(1), start=X), X)


def digest() -> str:
    """What a training and samples come to, as text."""
    own = RBM(9, RBMSpec(hidden=6, batch=5), 2, SeedKey(5)).fit(X, Y, epochs=20)
    parts = (own.weights, own.connections.scores, own.connections.active, own.hidden_bias, own.sample(5, 5, SeedKey(1)))
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def test_the_key_alone_decides_in_any_process() -> None:
    """Equal under two PYTHONHASHSEED values, that of this process and another."""
    paths = os.pathsep.join([str(Path(machine.__file__).parents[3]), str(Path(__file__).parent)])
    salt = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    other = subprocess.run(
        [sys.executable, "-c", "import test_rbm; print(test_rbm.digest())"], check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONHASHSEED": salt, "PYTHONPATH": paths},
    ).stdout  # fmt: skip
    assert other.strip() == digest() == digest()
    assert not np.array_equal(small(0).fit(X, epochs=2).weights, small(1).fit(X, epochs=2).weights)


def test_bad_inputs_say_what_was_expected_what_came_and_how_to_mend_it() -> None:
    plain, labelled = small(), small(classes=2)
    for call, words in (
        (lambda: plain.fit(X[:, :4], epochs=1), r"expected \(n, 9\) inputs.* got shape \(16, 4\)"),
        (lambda: plain.fit(X[0], epochs=1), r"got shape \(9,\)"),
        (lambda: plain.fit(255 * X.astype(int), epochs=1), "got 0 to 255; divide"),
        (lambda: plain.fit(np.where(X, np.nan, 0.0), epochs=1), "got nan to nan"),
        (lambda: plain.fit(X.astype(str), epochs=1), "got type <U"),
        (lambda: plain.fit(X, Y, epochs=1), "without label units; make it as"),
        (lambda: labelled.fit(X, epochs=1), "with label units, got none"),
        (lambda: labelled.fit(X, Y[:3], epochs=1), r"expected \(16,\) whole numbers.*\(3,\)"),
        (lambda: labelled.fit(X, Y + 1, epochs=1), "expected 0 to 1, got 1 to 2"),
        (lambda: labelled.fit(X, Y.astype(float), epochs=1), "whole numbers.* got float64"),
        (lambda: plain.sample(3, 1, SeedKey(0), start=X), "expected 3 first states.* got 16"),
    ):
        with pytest.raises(DataError, match=words):
            call()
    for call, words in (
        (lambda: plain.fit(X, epochs=-1), "from 0 on, got -1"),
        (lambda: plain.classify(X), "machine with label units"),
        (lambda: plain.sample(0, 1, SeedKey(0)), "at least 1 chain"),
        (lambda: RBM(0), "at least 1 visible unit"),
        (lambda: RBM(9, classes=1), "at least 2 classes"),
        (lambda: RBMSpec(connectivity="ngc"), "unknown connectivity 'ngc': did you mean 'ncg'"),
        (lambda: RBMSpec(connectivity={"connectivity": "random", "density": 2.0}), "random.density"),
        (lambda: RBMSpec(connectivity={"density": 0.5}), "connectivity: NAME.*names are dense"),
        (lambda: RBM(30, RBMSpec(hidden=30)).log_partition(), "annealed_log_partition"),
    ):
        with pytest.raises(SpecError, match=words):
            call()
    with pytest.raises(ValidationError, match="label_links"):
        RBMSpec(label_links="some")
    assert not plain.calls and not labelled.calls


def test_a_connectivity_of_one_s_own_is_used_and_names_are_taken_once() -> None:
    class Diagonal(Connectivity):
        connectivity: str = "diagonal"

        def draw(self, shape: tuple[int, int], free: int, rng: np.random.Generator, dtype: np.dtype) -> Connections:
            return Connections(np.eye(*shape, dtype=dtype), None, free)

    own = RBM(9, RBMSpec(hidden=6, connectivity=Diagonal())).fit(X, epochs=1)
    assert own.density == 6 / 54 and not own.parameters.weights[0, 1:].any()

    class Second(Diagonal):
        connectivity: str = "dense"

    with pytest.raises(SpecError, match="two connectivities are called 'dense'"):
        connectivity(Second)
    assert set(CONNECTIVITIES) == {"dense", "random", "ncg"}


def test_brightness_can_be_trained_on_as_well_as_its_draws() -> None:
    grey = np.full((4, 9), 0.5)
    assert small().fit(grey, epochs=1).epochs == small().fit(binarise(grey, SeedKey(0)), epochs=1).epochs == 1
