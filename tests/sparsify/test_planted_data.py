"""The data of the planted tasks: the split, the noise, and how well the tickets do on it."""

from __future__ import annotations

import numpy as np
import pytest

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.sparsify.planted.data import draw_data
from evosparse.sparsify.planted.score import accuracy, least_squares_error, squared_error
from evosparse.sparsify.planted.targets import CIRCLE_BOUNDS, SHAPES, helix, make_ticket


@pytest.mark.parametrize("task", SHAPES)
def test_parts_have_their_sizes_types_and_ranges(task: str) -> None:
    data = draw_data(task, SeedKey(0))
    inputs, outputs = SHAPES[task]
    assert (len(data.train), len(data.validation), len(data.test)) == (8100, 900, 1000)
    for part in (data.train, data.validation, data.test):
        assert part.x.shape == (len(part), inputs) and part.x.dtype == np.float32
        assert part.y.shape == ((len(part),) if task == "circle" else (len(part), outputs))
        assert part.y.dtype == (np.int64 if task == "circle" else np.float32)
        assert -1 <= part.x.min() < -0.98 and 0.98 < part.x.max() <= 1
    assert data.test_clean.shape == data.test.y.shape and data.test_clean.dtype == data.test.y.dtype


@pytest.mark.parametrize("task", SHAPES)
def test_validation_is_taken_out_of_train_and_never_out_of_test(task: str) -> None:
    whole, parted = draw_data(task, SeedKey(5), validation=0), draw_data(task, SeedKey(5), validation=0.25)
    assert whole.validation is None and len(parted.validation) == 2250
    for name in ("x", "y"):
        joined = np.concatenate([getattr(parted.train, name), getattr(parted.validation, name)])
        assert np.array_equal(joined, getattr(whole.train, name))
        assert np.array_equal(getattr(parted.test, name), getattr(whole.test, name))
    assert not set(whole.train.x[:, 0].tolist()) >= set(whole.test.x[:, 0].tolist())


@pytest.mark.parametrize("task", SHAPES)
def test_data_belong_to_their_key_and_inputs_not_to_the_noise(task: str) -> None:
    one, again, other = (draw_data(task, SeedKey(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.train.x, again.train.x) and np.array_equal(one.train.y, again.train.y)
    assert not np.array_equal(one.train.x, other.train.x)
    quiet = draw_data(task, SeedKey(1), noise=0)
    assert np.array_equal(one.test.x, quiet.test.x)
    assert np.array_equal(quiet.test.y, quiet.test_clean) and np.array_equal(one.test_clean, quiet.test_clean)


def test_clean_targets_are_the_functions_of_the_inputs() -> None:
    circle, relu, spiral = (draw_data(task, SeedKey(0)) for task in ("circle", "relu", "helix"))
    squared = (circle.test.x.astype(float) ** 2).sum(axis=1)
    assert np.array_equal(circle.test_clean, np.digitize(squared, CIRCLE_BOUNDS))
    assert np.array_equal(relu.test_clean, np.maximum(relu.test.x, 0))
    assert np.allclose(spiral.test_clean, helix(spiral.test.x[:, 0].astype(float)), atol=1e-6)


def test_one_label_in_a_hundred_moves_to_the_second_most_likely_class() -> None:
    data = draw_data("circle", SeedKey(0), samples=200_000)
    moved = data.test.y != data.test_clean
    assert moved.mean() == pytest.approx(0.01, abs=0.003)
    squared = (data.test.x[moved].astype(float) ** 2).sum(axis=1)
    for radius, clean, noisy in zip(squared, data.test_clean[moved], data.test.y[moved], strict=True):
        scores = [5 * radius, 10 * radius - 1, 20 * radius - 6, 40 * radius - 20]
        assert [int(clean), int(noisy)] == sorted(range(4), key=lambda place: -scores[place])[:2]
    everything = draw_data("circle", SeedKey(0), noise=1)
    assert (everything.test.y != everything.test_clean).all()


@pytest.mark.parametrize("task", ["relu", "helix"])
def test_noise_of_regression_is_gaussian_and_of_each_output_by_itself(task: str) -> None:
    data = draw_data(task, SeedKey(0), samples=100_000, noise=0.05)
    errors = data.test.y - data.test_clean
    assert errors.std(axis=0) == pytest.approx(0.05, rel=0.05)
    assert np.abs(errors.mean(axis=0)).max() < 0.003
    if task == "helix":
        assert np.abs(np.corrcoef(errors.T) - np.eye(3)).max() < 0.05


@pytest.mark.parametrize(
    ("depth", "clean", "noisy"), [(3, 0.960, 0.954), (5, 0.991, 0.981), (6, 0.988, 0.979), (10, 0.998, 0.987)]
)
def test_circle_tickets_have_the_published_quality(depth: int, clean: float, noisy: float) -> None:
    """planted.md, PL3 (depth 5) and section 7, means of 5 data seeds."""
    ticket, drawn = make_ticket("circle", depth), [draw_data("circle", SeedKey(seed)) for seed in range(5)]
    outputs = [ticket.forward(data.test.x) for data in drawn]
    on_clean = [accuracy(one, data.test_clean, None) for one, data in zip(outputs, drawn, strict=True)]
    on_noisy = [accuracy(one, data.test.y, None) for one, data in zip(outputs, drawn, strict=True)]
    assert np.mean(on_clean) == pytest.approx(clean, abs=0.006)
    assert np.mean(on_noisy) == pytest.approx(noisy, abs=0.006)


@pytest.mark.parametrize(("task", "plain", "rescaled"), [("relu", 1.0e-4, 1.0e-4), ("helix", 3.2e-4, 1.4e-4)])
@pytest.mark.parametrize("depth", [3, 5, 6, 10])
def test_tickets_of_regression_have_the_published_quality(task: str, plain: float, rescaled: float, depth: int) -> None:
    """planted.md, section 7, means of 5 data seeds."""
    ticket, drawn = make_ticket(task, depth), [draw_data(task, SeedKey(seed)) for seed in range(5)]
    outputs = [ticket.forward(data.test.x) for data in drawn]
    errors = [squared_error(one, data.test.y, None) for one, data in zip(outputs, drawn, strict=True)]
    best = [least_squares_error(one, data.test.y) for one, data in zip(outputs, drawn, strict=True)]
    assert np.mean(errors) == pytest.approx(plain, abs=0.1e-4)
    assert np.mean(best) == pytest.approx(rescaled, abs=0.1e-4)


@pytest.mark.parametrize(
    "options", [{"samples": 19}, {"noise": -0.1}, {"noise": 1.1}, {"validation": 1}, {"validation": -0.1}]
)
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="at least 20 samples"):
        draw_data("circle", SeedKey(0), **options)


def test_training_keeps_an_example_whatever_the_share() -> None:
    data = draw_data("relu", SeedKey(0), samples=20, validation=0.999)
    assert (len(data.train), len(data.validation), len(data.test)) == (1, 17, 2)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(SpecError, match="did you mean 'helix'"):
        draw_data("helx", SeedKey(0))
