"""The `data` section of a campaign file: which data set, and how it is split and scaled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from evosparse.section import Section, bare_string


def _share(value: int | float) -> int | float:
    """A fraction below one stays a float; from two on it is a number of examples."""
    if 0 < value < 1:
        return value
    if value >= 2 and value == int(value):
        return int(value)
    raise ValueError(f"expected a fraction between 0 and 1, or a whole number of examples from 2 on, got {value}")


Share = Annotated[int | float, AfterValidator(_share)]


class DataSpec(Section):
    """Which data set a campaign uses; a bare string is its name.

    Attributes:
        name: a path to an .npz or .csv file, a bare name, or ``openml:NAME``, ``openml:NAME@VERSION``, ``openml:ID``.
        validation: fraction of the training part that becomes the validation set, or its number of examples.
        test: the same for the test set; used only where the source has no official test part.
        limit: at most that many training examples, drawn stratified before the validation split; of those left out, as
            many as the validation set has are kept as spare examples.
        resize: pixels a side that images are brought to by bilinear interpolation, before they are scaled.
        scale: ``unit`` to [0, 1], ``standard`` to mean 0 and deviation 1, by the training examples alone; images as
            a whole, tables feature by feature.
        missing: refuse missing numbers, or put the mean of the training examples in their place.
        target: the column that holds the class (.csv and OpenML; otherwise the last, or OpenML's own).
        split_seed: the splits depend on this and on the data, on nothing else.
    """

    name: str = Field(min_length=1)
    validation: Share = 0.2
    test: Share = 0.2
    limit: int | None = Field(default=None, ge=4)
    resize: int | None = Field(default=None, ge=2, le=1024)
    scale: Literal["unit", "standard", "none"] = "unit"
    missing: Literal["error", "mean"] = "error"
    target: str | None = None
    split_seed: int = Field(default=0, ge=0, lt=2**32)

    _bare = bare_string("name")
