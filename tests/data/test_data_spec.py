"""The data section of a campaign file accepts what it documents and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from evosparse.data import DataSpec
from evosparse.section import Section


class Campaign(Section):
    data: DataSpec


def test_a_bare_string_is_the_name() -> None:
    assert Campaign.model_validate({"data": "digits"}).data == DataSpec(name="digits")


def test_numbers_of_examples_stay_whole_and_fractions_stay_fractions() -> None:
    spec = DataSpec.model_validate({"name": "mnist", "validation": 5000, "test": 0.25})
    assert (spec.validation, spec.test) == (5000, 0.25)
    assert isinstance(spec.validation, int)
    assert DataSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("validation", 0),
        ("validation", 1),
        ("validation", 1.5),
        ("validation", -0.2),
        ("validation", True),
        ("validation", float("nan")),
        ("validation", float("inf")),
        ("test", "much"),
        ("limit", 0),
        ("limit", 2.5),
        ("scale", "log"),
        ("missing", "drop"),
        ("split_seed", -1),
        ("split_seed", 2**32),
        ("name", ""),
        ("target", 3),
        ("splitseed", 1),
    ],
)
def test_other_values_and_unknown_keys_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        DataSpec.model_validate({"name": "digits", key: value})
    assert {error["loc"][0] for error in raised.value.errors()} == {key}
