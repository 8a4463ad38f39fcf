"""The genome: one activation function for each role of a network's slots, judged together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Protocol

from evosparse.activations.cgp import Grid
from evosparse.activations.expression import Expression, parse
from evosparse.activations.primitives import Alphabet, PrimitiveSet
from evosparse.activations.tree import Tree
from evosparse.errors import SpecError
from evosparse.nets import Role

_VERSION = 1


class Genes(Protocol):
    """What an encoding evolves: the genes of one function.

    Attributes:
        encoding: name of the class in `ENCODINGS`.
        alphabet: primitives and constants by name.
        expression: the function that they stand for.
    """

    encoding: str
    alphabet: Alphabet
    expression: Expression

    def to_json(self) -> Mapping[str, object]:
        """Return JSON values that ``from_json`` of the same class reads, given the alphabet."""
        ...


@dataclass(frozen=True)
class Formula:
    """A function that is given, not evolved, such as the ReLU that others are compared with.

    Args:
        alphabet: arities of what is in the formula.
        formula: see `expression.parse`.
    """

    encoding = "formula"

    alphabet: Alphabet
    formula: str

    @cached_property
    def expression(self) -> Expression:
        """The function."""
        return parse(self.formula, dict(self.alphabet.arities))

    def to_json(self) -> Mapping[str, object]:
        """Return JSON values that `from_json` reads."""
        return {"formula": self.formula}

    @classmethod
    def from_json(cls, values: Mapping[str, object], alphabet: Alphabet) -> Formula:
        """Read what `to_json` returned."""
        return cls(alphabet, values["formula"])


ENCODINGS: Mapping[str, type] = {"cgp": Grid, "tree": Tree, "formula": Formula}


@dataclass(frozen=True)
class Triple:
    """One function for each role: three, or fewer where a network has fewer.

    Args:
        roles: of the network's slots: input, hidden, output.
        genes: of each role's function.
        active: number of the role whose genes are the individual that is judged here; the others' are collaborators.
    """

    roles: tuple[Role, ...]
    genes: tuple[Genes, ...]
    active: int = 0

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """The function of each role, in canonical form: what is evaluated."""
        return tuple(genes.expression.canonical for genes in self.genes)

    @property
    def individual(self) -> Genes:
        """The genes that are judged here."""
        return self.genes[self.active]

    def function(self, role: Role) -> Expression:
        """Return the canonical function of a role."""
        return self.expressions[self.roles.index(role)]

    @cached_property
    def key(self) -> str:
        """Content hash of all genes, the silent ones included."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    @cached_property
    def phenotype(self) -> str:
        """Hash of what decides an evaluation: the canonical functions, whatever genes they come from."""
        formulas = map(str, self.expressions)
        text = json.dumps([[role, formula] for role, formula in zip(self.roles, formulas, strict=True)])
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Return the formulas by role."""
        formulas = [str(genes.expression) for genes in self.genes]
        if len(set(formulas)) == 1:
            return f"{formulas[0]} everywhere"
        return " | ".join(f"{role} {formula}" for role, formula in zip(self.roles, formulas, strict=True))

    def with_function(self, place: int, genes: Genes) -> Triple:
        """Return the triple with other genes in one place, which becomes the active one."""
        return Triple(self.roles, (*self.genes[:place], genes, *self.genes[place + 1 :]), place)

    def to_bytes(self) -> bytes:
        """Encode as JSON, each distinct alphabet once."""
        alphabets = list(dict.fromkeys(genes.alphabet for genes in self.genes))
        functions = [
            {"encoding": genes.encoding, "alphabet": alphabets.index(genes.alphabet), **genes.to_json()}
            for genes in self.genes
        ]
        document = {
            "version": _VERSION,
            "roles": self.roles,
            "active": self.active,
            "alphabets": [{"arities": a.arities, "constants": a.constants} for a in alphabets],
            "functions": functions,
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Triple:
        """Decode what `to_bytes` returned.

        Raises:
            ValueError: it is of another version.
        """
        document = json.loads(data)
        if document["version"] != _VERSION:
            raise ValueError(f"expected activation functions of version {_VERSION}, got {document['version']}")
        alphabets = [
            Alphabet(tuple((name, arity) for name, arity in values["arities"]), tuple(values["constants"]))
            for values in document["alphabets"]
        ]
        genes = tuple(
            ENCODINGS[values["encoding"]].from_json(values, alphabets[values["alphabet"]])
            for values in document["functions"]
        )
        return cls(tuple(document["roles"]), genes, document["active"])


def everywhere(roles: Sequence[Role], genes: Genes) -> Triple:
    """Return the triple with one function in all places."""
    return Triple(tuple(roles), (genes,) * len(roles))


def given(formula: str, roles: Sequence[Role], primitives: PrimitiveSet, where: str) -> Triple:
    """Return the triple with the function of a formula in all places.

    Args:
        formula: of the primitives, or of published ones.
        roles: of the network's slots.
        primitives: of the search.
        where: the key of the campaign file that holds it, for errors.

    Raises:
        SpecError: it cannot be read.
    """
    alphabet = Alphabet(tuple(primitives.arities.items()), primitives.constants)
    triple = everywhere(roles, Formula(alphabet, formula))
    try:
        triple.expressions  # read now, so that a wrong one is refused before anything runs
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    return triple
