"""The search methods over ensembles; each is one file, and one line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evosparse.ensembles.methods.base import EnsembleSearch, Method
from evosparse.ensembles.methods.cga import CGA
from evosparse.ensembles.methods.genetic import Genetic
from evosparse.ensembles.methods.nsga2 import NSGA2
from evosparse.ensembles.methods.one_plus_lambda import OnePlusLambda
from evosparse.ensembles.methods.pbil import PBIL
from evosparse.ensembles.methods.random_search import Random
from evosparse.ensembles.methods.umda import UMDA

AnyMethod = Annotated[UMDA | PBIL | CGA | Genetic | OnePlusLambda | NSGA2 | Random, Field(discriminator="method")]

__all__ = [
    "CGA", "NSGA2", "PBIL", "UMDA", "AnyMethod", "EnsembleSearch", "Genetic", "Method", "OnePlusLambda", "Random",
]  # fmt: skip
