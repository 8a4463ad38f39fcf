"""The scores of a search on a planted network, against counting by hand and the published values of collapse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.sparsify.planted.data import draw_data
from evosparse.sparsify.planted.mother import draw_mother, mother_widths, plant
from evosparse.sparsify.planted.network import Masks, ReluNetwork
from evosparse.sparsify.planted.score import paths, score_masks, score_outputs
from evosparse.sparsify.planted.targets import make_ticket


@st.composite
def two_masks(draw: st.DrawFn) -> tuple[Masks, Masks]:
    widths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    rng, density = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.floats(0, 1))

    def random() -> Masks:
        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        weights, biases = ([rng.random(shape) < density for shape in kind] for kind in (shapes, widths[1:]))
        return Masks(tuple(weights), tuple(biases))

    return random(), random()


def places(masks: Masks, biases: bool) -> set[tuple[object, ...]]:
    """Every kept entry by its name."""
    found = {("w", layer, *place) for layer, mask in enumerate(masks.weights) for place in zip(*np.nonzero(mask))}
    if biases:
        found |= {("b", layer, *place) for layer, mask in enumerate(masks.biases) for place in zip(*np.nonzero(mask))}
    return found


@given(pair=two_masks())
def test_scores_are_those_of_sets(pair: tuple[Masks, Masks]) -> None:
    found, planted = pair
    score = score_masks(found, planted)
    for biases, precision, recall, size in (
        (False, score.precision, score.recall, score.size),
        (True, score.precision_with_biases, score.recall_with_biases, score.size_with_biases),
    ):
        mine, theirs = places(found, biases), places(planted, biases)
        assert size == len(mine)
        assert precision == pytest.approx(len(mine & theirs) / len(mine) if mine else math.nan, nan_ok=True)
        assert recall == pytest.approx(len(mine & theirs) / len(theirs) if theirs else math.nan, nan_ok=True)
    assert score.survivors == tuple(int(mask.sum()) for mask in found.weights)
    both = places(found, False) & places(planted, False)
    assert score.hits == tuple(sum(place[1] == layer for place in both) for layer in range(len(found.weights)))
    assert score.collapsed == (not paths(found))


@given(pair=two_masks())
def test_paths_are_those_that_walking_finds(pair: tuple[Masks, Masks]) -> None:
    masks = pair[0]

    def reaches_output(layer: int, unit: int) -> bool:
        if layer == len(masks.weights):
            return True
        return any(
            mask and reaches_output(layer + 1, above) for above, mask in enumerate(masks.weights[layer][:, unit])
        )

    assert paths(masks) == any(reaches_output(0, unit) for unit in range(masks.weights[0].shape[1]))


def test_weights_in_every_layer_are_not_yet_a_path() -> None:
    masks = Masks((np.array([[True], [False]]), np.array([[False, True]])), (np.ones(2, bool), np.ones(1, bool)))
    assert score_masks(masks, masks).collapsed


def test_the_planted_mask_itself_has_full_marks() -> None:
    ticket = make_ticket("circle", 5)
    planted = plant(draw_mother(mother_widths("circle", 5, 100), SeedKey(0)), ticket)
    score = score_masks(planted.masks, planted.masks)
    assert (score.precision, score.recall, score.precision_with_biases, score.recall_with_biases) == (1, 1, 1, 1)
    assert (score.size, score.size_with_biases, score.collapsed) == (108, 108 + 4 + 2 + 20 + 4, False)
    assert score.survivors == score.hits == (4, 4, 20, 80)


def test_masks_over_different_networks_are_refused() -> None:
    one, other = (Masks((np.ones((1, width), bool),), (np.ones(1, bool),)) for width in (2, 3))
    with pytest.raises(SpecError, match="masks over the planted network"):
        score_masks(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_strong_circle_tickets_need_the_scale_of_planting(seed: int) -> None:
    """planted.md, section 6, defect 2: without it the exact ticket seems to be no ticket."""
    data = draw_data("circle", SeedKey(seed))
    planted = plant(draw_mother(mother_widths("circle", 5, 100), SeedKey(seed)), make_ticket("circle", 5))
    outputs = planted.network.masked(planted.masks).forward(data.test.x)
    assert score_outputs("circle", outputs, data.test.y, planted.scale_out)["accuracy"] > 0.97
    assert score_outputs("circle", outputs, data.test.y, None)["accuracy"] < 0.8


def test_strong_tickets_of_regression_are_rescaled() -> None:
    data = draw_data("helix", SeedKey(0))
    planted = plant(draw_mother(mother_widths("helix", 5, 100), SeedKey(0)), make_ticket("helix", 5))
    outputs = planted.network.masked(planted.masks).forward(data.test.x)
    measures = score_outputs("helix", outputs, data.test.y, planted.scale_out)
    assert list(measures) == ["mse", "mse_least_squares"]
    assert measures["mse"] == pytest.approx(3.2e-4, abs=0.2e-4)
    assert measures["mse_least_squares"] == pytest.approx(1.4e-4, abs=0.2e-4)


def test_the_least_squares_error_is_that_of_the_best_factors() -> None:
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(2, 50, 3))
    outputs[:, 2] = 0  # an output that is zero can take any factor
    residuals = sum(np.linalg.lstsq(outputs[:, [place]], targets[:, place], rcond=None)[1].sum() for place in range(2))
    wanted = (residuals + (targets[:, 2] ** 2).sum()) / targets.size
    measures = score_outputs("helix", outputs, targets, None)
    assert measures["mse_least_squares"] == pytest.approx(wanted)
    assert measures["mse"] == pytest.approx(((outputs - targets) ** 2).mean())


def test_a_collapsed_network_has_the_published_values() -> None:
    """planted.md, section 7 and PL7: a constant Circle network answers class 0, whose share is .157."""
    means = {}
    for task in ("circle", "relu", "helix"):
        figures = []
        for seed in range(5):
            data = draw_data(task, SeedKey(seed))
            mother = draw_mother(mother_widths(task, 5, 50), SeedKey(seed))
            nothing = ReluNetwork(
                tuple(0 * layer for layer in mother.weights), tuple(0 * layer for layer in mother.biases)
            )
            outputs = nothing.forward(data.test.x)
            figures.append(score_outputs(task, outputs, data.test.y, None)["accuracy" if task == "circle" else "mse"])
        means[task] = np.mean(figures)
    assert means["circle"] == pytest.approx(0.157, abs=0.03)
    assert means["circle"] == pytest.approx(0.153, abs=0.03)
    assert means["relu"] == pytest.approx(0.171, abs=0.01)
    assert means["helix"] == pytest.approx(0.293, abs=0.01)


def test_outputs_that_are_not_finite_have_no_quality() -> None:
    outputs = np.zeros((3, 4))
    outputs[1, 2] = np.nan
    assert math.isnan(score_outputs("circle", outputs, np.zeros(3, int), None)["accuracy"])
    assert all(math.isnan(value) for value in score_outputs("helix", outputs[:, 1:], np.zeros((3, 3)), None).values())


def test_outputs_and_targets_of_different_shapes_are_refused() -> None:
    with pytest.raises(SpecError, match="one shape"):
        score_outputs("relu", np.zeros((3, 1)), np.zeros(3), None)
    with pytest.raises(SpecError, match="labels"):
        score_outputs("circle", np.zeros((3, 4)), np.zeros((3, 4)), None)
    with pytest.raises(SpecError, match="planted task"):
        score_outputs("spiral", np.zeros((3, 4)), np.zeros(3), None)
