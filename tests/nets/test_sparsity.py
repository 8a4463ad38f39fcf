"""From a sparsity over the network to exact counts per layer."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evosparse.errors import SpecError
from evosparse.nets.sparsity import Distribution, counts


@dataclass(frozen=True)
class Layer:
    name: str
    shape: tuple[int, ...]


LENET = (Layer("hidden1", (300, 784)), Layer("hidden2", (100, 300)), Layer("output", (10, 100)))
LENET5 = (
    Layer("conv1", (6, 1, 5, 5)),
    Layer("conv2", (16, 6, 5, 5)),
    Layer("fc1", (120, 400)),
    Layer("fc2", (84, 120)),
    Layer("output", (10, 84)),
)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Layer, ...]:
    shapes = draw(st.lists(st.lists(st.integers(1, 40), min_size=2, max_size=4), min_size=1, max_size=6))
    return tuple(Layer(f"layer{position}", tuple(shape)) for position, shape in enumerate(shapes))


sparsities = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(("sparsity", "expected"), [(0.9, (23520, 3000, 200)), (0.98, (4704, 600, 200))])
def test_uniform_gives_the_published_numbers_of_lenet(sparsity: float, expected: tuple[int, ...]) -> None:
    """kstarts.md, section 6: kept weights with an output floor of 20 %."""
    assert counts(LENET, sparsity, Distribution()) == expected


def test_uniform_without_a_floor_has_the_paper_count_in_every_layer() -> None:
    assert counts(LENET, 0.98, Distribution(output_floor=0)) == (4704, 600, 20)


@pytest.mark.parametrize(
    ("sparsity", "densities"),
    [
        (0.8, (0.1622, 0.4694, 1.0)),
        (0.9, (0.0796, 0.2302, 1.0)),
        (0.95, (0.0385, 0.1113, 0.9185)),
        (0.98, (0.0154, 0.0445, 0.3674)),
        (0.99, (0.0077, 0.0223, 0.1837)),
    ],
)
def test_er_gives_the_densities_of_lenet(sparsity: float, densities: tuple[float, ...]) -> None:
    """sparsifiers.md, section 2."""
    kept = counts(LENET, sparsity, Distribution(distribution="er", output_floor=0))
    for count, layer, density in zip(kept, LENET, densities, strict=True):
        assert count / prod(layer.shape) == pytest.approx(density, abs=6e-4)


def rigl_densities(layers: tuple[Layer, ...], sparsity: float, kernels: bool) -> list[float]:
    """The published rule: layers whose density would exceed 1 become dense and the scale is solved again."""
    dense: set[str] = set()
    while True:
        budget, divisor, raw = 0.0, 0.0, {}
        for layer in layers:
            size = prod(layer.shape)
            if layer.name in dense:
                budget -= size * sparsity
            else:
                shape = layer.shape if kernels else layer.shape[:2]
                raw[layer.name] = sum(shape) / prod(shape)
                budget += size * (1 - sparsity)
                divisor += raw[layer.name] * size
        scale = budget / divisor if divisor else 0.0
        largest = max(raw, key=lambda name: raw[name], default=None)
        if largest is None or raw[largest] * scale <= 1:
            return [1.0 if layer.name in dense else raw[layer.name] * scale for layer in layers]
        dense |= {name for name in raw if raw[name] == raw[largest]}


@given(
    st.lists(st.lists(st.integers(3, 40), min_size=2, max_size=4), min_size=1, max_size=6),
    st.floats(0, 0.9),
    st.booleans(),
)
def test_er_and_erk_equal_the_published_rule(shapes: list[list[int]], sparsity: float, kernels: bool) -> None:
    layers = tuple(Layer(f"layer{position}", tuple(shape)) for position, shape in enumerate(shapes))
    spec = Distribution(distribution="erk" if kernels else "er", output_floor=0)
    total = round((1 - sparsity) * sum(prod(shape) for shape in shapes))
    exact_sparsity = 1 - total / sum(prod(shape) for shape in shapes)
    expected = rigl_densities(layers, exact_sparsity, kernels)
    sizes = [prod(layer.shape) for layer in layers]
    if any(density * size < 1 for density, size in zip(expected, sizes, strict=True)):
        return  # the published rule may leave a layer without connections, ours keeps one
    for count, size, density in zip(counts(layers, sparsity, spec), sizes, expected, strict=True):
        assert abs(count - density * size) < 1 + 1e-6


def test_erk_differs_from_er_only_where_there_are_kernels() -> None:
    er, erk = Distribution(distribution="er"), Distribution(distribution="erk")
    assert counts(LENET, 0.95, er) == counts(LENET, 0.95, erk)
    assert counts(LENET5, 0.95, er) != counts(LENET5, 0.95, erk)


@given(networks(), sparsities, st.sampled_from(["er", "erk"]), st.floats(0, 1))
def test_er_and_erk_meet_the_total_exactly_or_say_why_not(
    layers: tuple[Layer, ...], sparsity: float, distribution: str, floor: float
) -> None:
    spec = Distribution(distribution=distribution, output_floor=floor)
    sizes = [prod(layer.shape) for layer in layers]
    total = round((1 - sparsity) * sum(sizes))
    try:
        kept = counts(layers, sparsity, spec)
    except SpecError as error:
        assert "output_floor" in str(error)
        assert total < len(sizes) - 1 + max(1, floor * sizes[-1] + 1)
        return
    assert sum(kept) == total
    assert all(1 <= count <= size for count, size in zip(kept, sizes, strict=True))
    assert kept[-1] >= floor * sizes[-1] - 1e-5


@given(networks(), sparsities, st.floats(0, 1))
def test_uniform_rounds_each_layer_and_keeps_the_floor(
    layers: tuple[Layer, ...], sparsity: float, floor: float
) -> None:
    kept = counts(layers, sparsity, Distribution(output_floor=floor))
    for count, layer in zip(kept[:-1], layers[:-1], strict=True):
        assert count == max(1, round((1 - sparsity) * prod(layer.shape)))
    size = prod(layers[-1].shape)
    assert max(1, round((1 - sparsity) * size), floor * size - 1e-5) <= kept[-1] <= size
    assert kept[-1] < max(2, round((1 - sparsity) * size) + 1, floor * size + 1)


@given(networks(), sparsities, sparsities, st.sampled_from(["uniform", "er", "erk"]))
def test_a_higher_sparsity_keeps_fewer_connections(
    layers: tuple[Layer, ...], one: float, other: float, distribution: str
) -> None:
    spec = Distribution(distribution=distribution, output_floor=0)
    try:
        fewer, more = (counts(layers, sparsity, spec) for sparsity in (max(one, other), min(one, other)))
    except SpecError:
        return
    assert sum(fewer) <= sum(more)
    # The largest remainder may move one connection of a single layer the other way.
    slack = 0 if distribution == "uniform" else 1
    assert all(few <= many + slack for few, many in zip(fewer, more, strict=True))


def test_explicit_layers_take_their_own_sparsity_and_the_others_that_of_the_network() -> None:
    spec = Distribution(distribution="explicit", layers={"hidden1": 0.99})
    assert counts(LENET, 0.9, spec) == (2352, 3000, 200)


def test_an_explicit_output_sparsity_goes_before_the_floor() -> None:
    spec = Distribution(distribution="explicit", layers={"output": 0.95})
    assert counts(LENET, 0.9, spec) == (23520, 3000, 50)


def test_an_explicit_layer_that_does_not_exist_is_refused_with_the_nearest() -> None:
    spec = Distribution(distribution="explicit", layers={"hiden1": 0.5})
    with pytest.raises(SpecError, match="'hiden1'.*did you mean 'hidden1'"):
        counts(LENET, 0.9, spec)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 98.0, float("nan")])
def test_a_sparsity_that_is_no_share_is_refused(sparsity: float) -> None:
    with pytest.raises(SpecError, match="expected a sparsity from 0 to below 1"):
        counts(LENET, sparsity, Distribution())


def test_a_total_below_the_floors_is_refused() -> None:
    with pytest.raises(SpecError, match="133 connections.*at least 202.*200 of them in the output layer"):
        counts(LENET, 0.9995, Distribution(distribution="erk"))


@pytest.mark.parametrize(
    "section",
    [
        {"distribution": "random"},
        {"distribution": "explicit"},
        {"distribution": "erk", "layers": {"output": 0.5}},
        {"distribution": "explicit", "layers": {"output": 1.0}},
        {"output_floor": 1.5},
        {"output_flor": 0.5},
    ],
)
def test_a_malformed_section_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Distribution.model_validate(section)
