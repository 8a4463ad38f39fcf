"""The search methods over masks, one file each; a new one is a new file and a word in this union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evosparse.masks.methods.base import MaskSearch, Method
from evosparse.masks.methods.combined import Combined
from evosparse.masks.methods.dissipating import Dissipating
from evosparse.masks.methods.genetic import Genetic, Mutation
from evosparse.masks.methods.kstarts import KStarts
from evosparse.masks.methods.nsga2 import NSGA2

AnyMethod = Annotated[KStarts | Dissipating | Combined | Genetic | NSGA2, Field(discriminator="method")]

__all__ = ["AnyMethod", "Combined", "Dissipating", "Genetic", "KStarts", "MaskSearch", "Method", "Mutation", "NSGA2"]
