"""Two kinds that are nothing but their sections, with every form that a section can take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from evosparse.errors import DataError
from evosparse.section import Section


class Order(StrEnum):
    UP = "up"
    DOWN = "down"


class Colours(Section):
    name: str
    share: int | float = 0.2
    folder: Path = Path("here")

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.name == "nowhere":
            raise DataError("no colours of the name 'nowhere'")
        return self


class Mutation(Section):
    rate: float = Field(0.1, gt=0, le=1)
    adaptive: bool = False


class Climb(Section):
    # A key with the name of the tag: pydantic's way to an error is then ('search', 'climb', 'climb').
    method: Literal["climb"] = "climb"
    climb: int = Field(ge=1)
    step: float = 0.5


class Breed(Section):
    method: Literal["breed"] = "breed"
    population: int = Field(32, ge=2)
    parents: int = 2
    mutation: Mutation = Mutation()
    mode: Literal["plain", "elitist"] | dict[str, Annotated[float, Field(ge=0)]] = "plain"

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.parents > self.population:
            raise ValueError(f"expected at most {self.population} parents, got {self.parents}; raise 'population'")
        return self


class Ring(Section):
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = (3,)


class Chain(Section):
    links: int
    order: Order = Order.UP


class Beads(Section):
    colours: Colours = Colours(name="red")
    shape: Ring | Chain = Ring()
    search: Annotated[Climb | Breed, Field(discriminator="method")]
    span: tuple[int, float] = (1, 2.0)
    parameters: dict[str, object] = {}
    label: Annotated[str, AfterValidator(str)] | None = None
    marks: list[Mutation] = []


class Nested(Section):
    inner: Colours

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"inner": {"name": value, "share": "x"}} if isinstance(value, str) else value


class BeadsKind:
    Spec = Beads


class StonesKind:
    class Spec(Section):
        weight: float = 1.0
