"""CIF-E: the product of pools, initialisations, fitness functions and evolutionary algorithms, by name.

A reconstruction: of arXiv 2208.10996 only the abstract could be read, which tells of 24 approaches and not which they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from evosparse.errors import SpecError, nearest

CLASSIFIERS: Mapping[str, Mapping[str, Any]] = {"hetero": {"members": "hetero"}, "bagged": {"members": "bagged"}}
INITIALISATIONS: Mapping[str, Mapping[str, Any]] = {"random": {"by": "random"}, "seeded": {"by": "accuracy"}}
FITNESS: Mapping[str, Mapping[str, Any]] = {
    "acc": {"aim": "accuracy"},
    "div": {"aim": "near_best_diversity"},
    "acc_div": {"aim": "accuracy_diversity"},
}
ALGORITHMS: Mapping[str, Mapping[str, Any]] = {"umda": {"method": "umda"}, "ga": {"method": "ga"}}
_FACTORS = {"pool": CLASSIFIERS, "initialisation": INITIALISATIONS, "fitness": FITNESS, "search": ALGORITHMS}

APPROACHES: tuple[str, ...] = tuple("-".join(levels) for levels in product(*_FACTORS.values()))


def approach_sections(name: str) -> dict[str, dict[str, Any]]:
    """Return the sections of a campaign file that an approach stands for.

    Args:
        name: ``C-I-F-E``, such as ``hetero-seeded-acc_div-umda``.

    Raises:
        SpecError: there is no such approach.
    """
    if name not in APPROACHES:
        raise SpecError(f"approach: expected one of {len(APPROACHES)} names C-I-F-E, got {name!r}: {nearest(name, APPROACHES)}")
    levels = zip(_FACTORS.items(), name.split("-"), strict=True)
    return {section: dict(choices[level]) for (section, choices), level in levels} | {"vote": {"rule": "majority"}}
