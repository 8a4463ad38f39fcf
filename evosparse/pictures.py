"""What all pictures have in common: equal things give equal files, and who lacks matplotlib is told how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evosparse.errors import StoreError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def new_figure(size: tuple[float, float] | None = None, layout: str | None = None) -> Iterator[Figure]:
    """Give an empty figure; it is drawn and saved in the block.

    Args:
        size: width and height in inches.
        layout: matplotlib's, such as ``constrained``.

    Raises:
        StoreError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise StoreError("pictures need matplotlib: pip install 'evosparse[plots]'") from None
    # A user's settings must not change the picture, nor a random number the names of parts in an SVG.
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "svg.hashsalt": "evosparse"}):
        yield Figure(figsize=size, layout=layout)


def undated(path: Path) -> dict[str, None] | None:
    """Return the metadata for a picture file: without the date, which an SVG would hold."""
    return {"Date": None} if path.suffix == ".svg" else None
