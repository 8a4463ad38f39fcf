"""Static sparse training: a random mask, kept for good."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evosparse.sparsify.base import method
from evosparse.sparsify.dynamic import Dynamic


@method
class Static(Dynamic):
    """Nothing is exchanged; see `Dynamic`."""

    method: Literal["static"] = "static"
    fraction: float = Field(0.0, ge=0, le=0)
