"""The search methods over activation functions; each is one file, and one line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evosparse.activations.methods.base import ActivationSearch, Method
from evosparse.activations.methods.coevolution import Coevolution
from evosparse.activations.methods.cooperative import Cooperative
from evosparse.activations.methods.random_search import Random
from evosparse.activations.methods.single import Single
from evosparse.activations.methods.standard import Standard
from evosparse.activations.methods.triple import OneForTriple

AnyMethod = Annotated[
    Standard | Random | Single | OneForTriple | Coevolution | Cooperative, Field(discriminator="method")
]

__all__ = [
    "ActivationSearch", "AnyMethod", "Coevolution", "Cooperative", "Method", "OneForTriple", "Random", "Single", "Standard",
]  # fmt: skip
