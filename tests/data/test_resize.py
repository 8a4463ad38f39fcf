"""Images are brought to the size asked for exactly as torch does it, before anything is measured on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evosparse.data import DataSet, DataSpec, load
from evosparse.data.prepare import prepare
from evosparse.data.raw import RawData, checked_part
from evosparse.errors import DataError

TYPES = (np.uint8, np.int64, np.float16, np.float32, np.float64)


def images(shape: tuple[int, ...], dtype: type[np.generic] = np.uint8, seed: int = 0) -> RawData:
    """Forty random images of two classes, all of them in the training part; the first seven are the test part too."""
    x = np.random.default_rng(seed).integers(0, 256, (40, *shape)).astype(dtype)
    y = np.arange(40) % 2
    return RawData("toy", "toy.npz", checked_part(x, y, "x", "y"), checked_part(x[:7], y[:7], "x_test", "y_test"))


def spec(**settings: Any) -> DataSpec:
    return DataSpec(name="toy", **settings)


def by_torch(x: np.ndarray, side: int) -> np.ndarray:
    """Raw pixels with channels first, resized by torch in float64."""
    pixels = torch.from_numpy(np.array(x, dtype=np.float64))
    return torch.nn.functional.interpolate(
        pixels, (side, side), mode="bilinear", align_corners=False, antialias=False
    ).numpy()


def arrays(dataset: DataSet) -> list[np.ndarray]:
    return [dataset.search.train.x, dataset.search.validation.x, dataset.test.x]


@given(
    height=st.integers(1, 12),
    width=st.integers(4, 12),
    layout=st.sampled_from(["plain", "channels last", "channels first"]),
    dtype=st.sampled_from(TYPES),
    side=st.integers(2, 30),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_resized_images_are_those_of_torch(
    height: int, width: int, layout: str, dtype: type[np.generic], side: int, seed: int
) -> None:
    shapes = {"plain": (height, width), "channels last": (height, width, 3), "channels first": (5, height, width)}
    raw = images(shapes[layout], dtype, seed)
    dataset = prepare(raw, spec(scale="none", resize=side))
    x = raw.test.x
    first = {"plain": lambda: x[:, np.newaxis], "channels last": lambda: np.moveaxis(x, -1, 1)}.get(layout, lambda: x)()
    assert dataset.search.input_shape == (first.shape[1], side, side)
    np.testing.assert_allclose(dataset.test.x, by_torch(first, side), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", ["unit", "standard", "none"])
def test_square_images_of_that_size_are_left_alone_bit_for_bit(scale: str) -> None:
    raw = images((6, 6), np.float64)
    assert prepare(raw, spec(scale=scale, resize=6)).hash == prepare(raw, spec(scale=scale)).hash


@pytest.mark.parametrize("side", [3, 9])
def test_the_examples_of_each_part_stay_the_same(side: int) -> None:
    raw = images((6, 7))
    plain, resized = (prepare(raw, spec(scale="none", limit=24, resize=size)) for size in (None, side))
    for before, after in zip([*arrays(plain), plain.spare.x], [*arrays(resized), resized.spare.x], strict=True):
        np.testing.assert_allclose(after, by_torch(before, side), rtol=1e-6)


@pytest.mark.parametrize("side", [3, 9])
@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_scaling_is_measured_on_the_training_images_in_their_new_size(scale: str, side: int) -> None:
    raw = images((6, 7, 3))
    plain = prepare(raw, spec(scale="none", resize=side))
    train = plain.search.train.x.astype(np.float64)
    shift, span = (train.min(), np.ptp(train)) if scale == "unit" else (train.mean(), train.std())
    for before, after in zip(arrays(plain), arrays(prepare(raw, spec(scale=scale, resize=side))), strict=True):
        np.testing.assert_allclose(after, (before - shift) / span, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", [2, 50])
def test_no_block_is_larger_than_promised_in_either_size(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(images((10, 10)), spec(scale="none", resize=side))
    sizes = []
    interpolate = torch.nn.functional.interpolate

    def watched(pixels: torch.Tensor, **rest: Any) -> torch.Tensor:
        resized = interpolate(pixels, **rest)
        sizes.append(max(pixels.numel(), resized.numel()))
        return resized

    monkeypatch.setattr(torch.nn.functional, "interpolate", watched)
    monkeypatch.setattr("evosparse.data.prepare._BLOCK", 5500)
    assert prepare(images((10, 10)), spec(scale="none", resize=side)).hash == whole.hash
    assert 2500 <= max(sizes) <= 5500


def test_the_largest_pixels_stay_finite() -> None:
    x = np.full((40, 5, 5), np.finfo(np.float32).max)
    raw = RawData("toy", "toy.npz", checked_part(x, np.arange(40) % 2, "x", "y"))
    for values in arrays(prepare(raw, spec(scale="none", resize=7))):
        assert np.isfinite(values).all()


def test_tables_cannot_be_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVOSPARSE_DATA", raising=False)
    with pytest.raises(DataError, match=r"scikit-learn's wine: data.resize: expected images .*\(178, 13\); remove"):
        load(DataSpec(name="wine", resize=8))


@pytest.mark.parametrize("side", [0, 1, 1025, -8, 8.0, "8", True])
def test_sizes_that_are_no_number_of_pixels_are_refused(side: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        spec(resize=side)
    assert {error["loc"] for error in raised.value.errors()} == {("resize",)}
