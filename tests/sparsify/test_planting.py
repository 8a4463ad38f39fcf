"""Planting: the hidden ticket computes what the ticket computes, and nothing else of the mother changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.sparsify.planted.mother import draw_mother, mother_widths, plant
from evosparse.sparsify.planted.network import Masks, ReluNetwork
from evosparse.sparsify.planted.targets import SHAPES, Ticket, make_ticket

OPTIONS = [(norm, fallback) for norm in ("l2", "l1") for fallback in ("best_unused", "first_unused")]


@st.composite
def tickets_and_mothers(draw: st.DrawFn) -> tuple[Ticket, ReluNetwork]:
    narrow = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = tuple(
        rng.integers(-2, 3, (units, fan_in)).astype(float)
        for fan_in, units in zip(narrow[:-1], narrow[1:], strict=True)
    )
    biases = tuple(np.where(layer.any(axis=1), rng.integers(-1, 2, len(layer)), 1).astype(float) for layer in weights)
    wide = [narrow[0], *(units + draw(st.integers(0, 5)) for units in narrow[1:-1]), narrow[-1]]
    return Ticket(weights, biases, "relu"), draw_mother(tuple(wide), SeedKey(draw(st.integers(0, 2**32))))


def slow_plant(mother: ReluNetwork, ticket: Ticket, norm: str, fallback: str) -> tuple[list[list[int]], list[float]]:
    """The published search, one number at a time: the chosen units of every layer, and the last factors."""
    below, scales, chosen = list(range(ticket.widths[0])), [1.0] * ticket.widths[0], []
    for layer, goals in enumerate(ticket.weights):
        weights, biases = mother.weights[layer].tolist(), mother.biases[layer].tolist()
        units, factors = [], []
        for goal, bias in zip(goals.tolist(), ticket.biases[layer].tolist(), strict=True):
            inputs = [place for place, value in enumerate(goal) if value != 0]
            wanted = [bias] + [goal[place] / scales[place] for place in inputs]
            best = {True: (math.inf, -1, 0.0), False: (math.inf, -1, 0.0)}  # by whether the signs agree
            first_unused = None
            for unit in range(len(biases)):
                if unit in units and fallback == "best_unused":
                    continue
                offered = [biases[unit]] + [weights[unit][below[place]] for place in inputs]
                pairs = [(have, want) for have, want in zip(offered, wanted, strict=True) if want != 0]
                alike = all(have * want > 0 for have, want in pairs)
                if alike:
                    factor = sum(have * want for have, want in pairs) / sum(want * want for want in wanted)
                else:
                    factor = math.hypot(*[have for have, _ in pairs]) / math.hypot(*wanted)
                gaps = [abs(have - factor * want) for have, want in zip(offered, wanted, strict=True)]
                cost = math.hypot(*gaps) if norm == "l2" else sum(gaps)
                best[alike] = min(best[alike], (cost, unit, factor))
                if unit not in units and first_unused is None:
                    first_unused = (unit, factor)
            _, unit, factor = best[True] if best[True][1] >= 0 or fallback == "first_unused" else best[False]
            if fallback == "first_unused" and (unit < 0 or unit in units):
                unit, factor = first_unused
            for place, value in zip(inputs, wanted[1:], strict=True):
                weights[unit][below[place]] = factor * value
            biases[unit] = factor * bias
            units.append(unit)
            factors.append(factor)
        below, scales = units, factors
        chosen.append(units)
    return chosen, scales


@pytest.mark.parametrize(("norm", "fallback"), OPTIONS)
@given(case=tickets_and_mothers())
def test_planting_chooses_as_the_obvious_search_does(
    norm: str, fallback: str, case: tuple[Ticket, ReluNetwork]
) -> None:
    ticket, mother = case
    planted = plant(mother, ticket, norm, fallback)
    units, scale_out = slow_plant(mother, ticket, norm, fallback)
    assert [layer.tolist() for layer in planted.units] == units
    assert np.allclose(planted.scale_out, scale_out, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("norm", "fallback"), OPTIONS)
@given(case=tickets_and_mothers())
def test_only_the_places_of_the_ticket_change(norm: str, fallback: str, case: tuple[Ticket, ReluNetwork]) -> None:
    ticket, mother = case
    before = [layer.copy() for layer in (*mother.weights, *mother.biases)]
    planted = plant(mother, ticket, norm, fallback)
    for old, now in zip(before, (*mother.weights, *mother.biases), strict=True):
        assert np.array_equal(old, now)

    order = planted.units[-1]
    own_weights = [*mother.weights[:-1], mother.weights[-1][order]]
    own_biases = [*mother.biases[:-1], mother.biases[-1][order]]
    for layer, units in enumerate(planted.units):
        assert len(set(units.tolist())) == len(units) == ticket.widths[layer + 1]
        for now, own, mask in (
            (planted.network.weights[layer], own_weights[layer], planted.masks.weights[layer]),
            (planted.network.biases[layer], own_biases[layer], planted.masks.biases[layer]),
        ):
            assert np.array_equal(now[~mask], own[~mask])
        assert planted.masks.weights[layer].sum() == np.count_nonzero(ticket.weights[layer])
        assert planted.masks.biases[layer].sum() == len(units)


@pytest.mark.parametrize(("norm", "fallback"), OPTIONS)
@given(case=tickets_and_mothers())
def test_any_planted_ticket_computes_what_the_ticket_does(
    norm: str, fallback: str, case: tuple[Ticket, ReluNetwork]
) -> None:
    ticket, mother = case
    planted = plant(mother, ticket, norm, fallback)
    x = np.random.default_rng(0).normal(size=(20, ticket.widths[0]))
    wanted = ticket.forward(x)
    assert (planted.scale_out > 0).all()
    assert np.abs(planted.forward(x) - wanted).max() <= 1e-10 * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("task", SHAPES)
@pytest.mark.parametrize("depth", [3, 4, 5, 6, 10])
@pytest.mark.parametrize("width", [50, 100])
def test_planted_tickets_compute_exactly_what_the_ticket_does(task: str, depth: int, width: int) -> None:
    """planted.md, PL1."""
    ticket = make_ticket(task, depth)
    x = np.random.default_rng(0).uniform(-1, 1, (1000, SHAPES[task][0]))
    for seed in range(3):
        planted = plant(draw_mother(mother_widths(task, depth, width), SeedKey(seed)), ticket)
        assert np.abs(planted.forward(x) - ticket.forward(x)).max() < 1e-10


def test_the_first_unit_of_the_mother_is_free_and_the_best_unused_match_is_taken() -> None:
    """planted.md, section 6, defect 4: the published code never uses unit 0 after a miss, nor the second best match."""
    ticket = Ticket((np.array([[1.0], [1.0]]), np.array([[1.0, 1.0]])), (np.zeros(2), np.zeros(1)), "relu")
    mother = ReluNetwork((np.array([[2.0], [3.0], [1.0]]), np.ones((1, 3))), (np.array([0.1, 0.9, 0.2]), np.zeros(1)))
    assert plant(mother, ticket).units[0].tolist() == [0, 2]
    assert plant(mother, ticket, fallback="first_unused").units[0].tolist() == [0, 1]  # unit 0 again matches best


def test_without_the_signs_a_planted_unit_keeps_its_magnitude() -> None:
    ticket = Ticket((np.array([[3.0, 4.0]]), np.array([[1.0]])), (np.zeros(1), np.zeros(1)), "relu")
    mother = ReluNetwork((np.array([[-0.6, 0.8]]), np.array([[1.0]])), (np.array([7.0]), np.array([7.0])))
    planted = plant(mother, ticket)
    assert np.allclose(planted.network.weights[0], [[0.6, 0.8]])
    assert planted.network.biases[0].tolist() == [0.0]


def test_a_mother_of_zeros_can_be_planted() -> None:
    ticket = make_ticket("circle", 4)
    mother = ReluNetwork(*(tuple(np.zeros_like(layer) for layer in kind) for kind in (ticket.weights, ticket.biases)))
    x = np.random.default_rng(0).uniform(-1, 1, (100, 2))
    assert np.allclose(plant(mother, ticket).forward(x), ticket.forward(x), rtol=0, atol=1e-10)


def test_a_masked_network_has_nothing_outside_its_masks() -> None:
    network = ReluNetwork((np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])), (np.array([5.0]), np.array([6.0, 7.0])))
    masks = Masks(
        (np.array([[True, False]]), np.array([[False], [True]])), (np.array([False]), np.array([True, False]))
    )
    masked = network.masked(masks)
    assert [layer.tolist() for layer in masked.weights] == [[[1, 0]], [[0], [4]]]
    assert [layer.tolist() for layer in masked.biases] == [[0], [6, 0]]


def test_outputs_stand_in_the_order_of_the_ticket() -> None:
    ticket = Ticket((np.array([[1.0], [-1.0]]),), (np.zeros(2),), "relu")
    mother = ReluNetwork((np.array([[-2.0], [5.0]]),), (np.zeros(2),))
    planted = plant(mother, ticket)
    assert planted.units[0].tolist() == [1, 0]
    assert planted.network.weights[0].tolist() == [[5.0], [-2.0]]
    assert planted.scale_out.tolist() == [5.0, 2.0]


def test_mothers_have_the_published_variances_and_belong_to_their_key() -> None:
    widths = mother_widths("circle", 5, 400)
    assert widths == (2, 400, 400, 400, 4)
    mother = draw_mother(widths, SeedKey(3))
    product = 1.0
    for layer, fan_in in enumerate(widths[:3]):
        product *= 2 / fan_in
        assert mother.weights[layer].shape == (400, fan_in)
        assert mother.weights[layer].var() == pytest.approx(2 / fan_in, rel=0.15)
        assert mother.biases[layer].var() == pytest.approx(product, rel=0.35)
    again, other = draw_mother(widths, SeedKey(3)), draw_mother(widths, SeedKey(4))
    assert np.array_equal(mother.weights[1], again.weights[1]) and not np.array_equal(
        mother.weights[1], other.weights[1]
    )


def test_bad_requests_are_refused() -> None:
    ticket, mother = make_ticket("helix", 5), draw_mother(mother_widths("helix", 5, 50), SeedKey(0))
    for widths in ((1, 20, 20, 20, 3), (1, 50, 50, 3), (1, 50, 50, 50, 4), (2, 50, 50, 50, 3)):
        with pytest.raises(SpecError, match="draw a wider mother, of the same depth"):
            plant(draw_mother(widths, SeedKey(0)), ticket)
    with pytest.raises(SpecError, match="match_norm cannot be 'l3'"):
        plant(mother, ticket, match_norm="l3")
    with pytest.raises(SpecError, match="did you mean 'best_unused'"):
        plant(mother, ticket, fallback="best")
    with pytest.raises(SpecError, match="in every unit"):
        empty = Ticket((np.zeros((2, 1)), np.ones((1, 2))), (np.zeros(2), np.zeros(1)), "relu")
        plant(draw_mother((1, 2, 1), SeedKey(0)), empty)
    with pytest.raises(SpecError, match="planted task"):
        mother_widths("spiral", 5, 50)
