"""States of visible units as one picture: a grid of small images, as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evosparse.errors import SpecError, StoreError

_GAP = 1
_GAP_BRIGHTNESS = 0.5


def save_grid(
    images: NDArray[np.number], shape: tuple[int, int], path: str | Path, columns: int | None = None, magnify: int = 2
) -> Path:
    """Write images side by side, row after row, to one grey PNG file.

    Args:
        images: (n, height * width) array from 0 (black) to 1 (white), states or probabilities of pixels.
        shape: (height, width) of an image.
        path: of the file, whose name ends in ``.png``.
        columns: images in a row; by default as many as make the grid square.
        magnify: pixels of the file a side of each pixel.

    Returns:
        The path.

    Raises:
        SpecError: the images do not fit the shape, are not from 0 to 1, or a number is out of range.
        StoreError: Pillow is not installed, or the file cannot be written.
    """
    images, path = np.asarray(images, np.float64), Path(path)
    height, width = shape
    if images.ndim != 2 or not len(images) or images.shape[1] != height * width:
        raise SpecError(f"expected (n, {height} * {width}) images, at least one, got shape {images.shape}")
    if not (images.min() >= 0 and images.max() <= 1):
        raise SpecError(f"expected brightness from 0 to 1, got {images.min()} to {images.max()}")
    if path.suffix != ".png" or magnify < 1 or (columns is not None and columns < 1):
        raise SpecError(
            f"expected a path that ends in .png, and at least one column and magnification, got {path.name}, {columns} and"
            f" {magnify}"
        )
    try:
        from PIL import Image
    except ImportError:
        raise StoreError("pictures of samples need Pillow: pip install 'evosparse[plots]'") from None
    grid = arrange(images.reshape(-1, height, width), columns or int(np.ceil(np.sqrt(len(images)))))
    pixels = np.round(255 * np.kron(grid, np.ones((magnify, magnify)))).astype(np.uint8)
    try:
        Image.fromarray(pixels).save(path, "PNG")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def arrange(images: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Put (n, height, width) images into one picture, with grey lines around each."""
    count, height, width = images.shape
    rows = -(-count // columns)
    grid = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP), _GAP_BRIGHTNESS)
    for number, image in enumerate(images):
        top, left = (number // columns) * (height + _GAP) + _GAP, (number % columns) * (width + _GAP) + _GAP
        grid[top : top + height, left : left + width] = image
    return grid
