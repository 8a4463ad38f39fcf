"""Data sets as train, validation and test: three types that cannot be taken for one another."""

from __future__ import annotations

from evosparse.data.prepare import load
from evosparse.data.sets import DataSet, Examples, SearchData, Test, Train, Validation, describe, merged
from evosparse.data.sources import FOLDER_VARIABLE
from evosparse.data.spec import DataSpec

__all__ = [
    "FOLDER_VARIABLE",
    "DataSet",
    "DataSpec",
    "Examples",
    "SearchData",
    "Test",
    "Train",
    "Validation",
    "describe",
    "load",
    "merged",
]
