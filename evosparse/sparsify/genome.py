"""What a campaign over published methods evaluates: a recipe, which is a method, a sparsity and the number of a replicate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from evosparse.engine.candidate import ByContent
from evosparse.errors import BadInput, StoreError
from evosparse.plugins import reference_to
from evosparse.sparsify.base import Sparsifier, as_method
from evosparse.sparsify.cohort import Replicate

_VERSION = 1


@dataclass(frozen=True, eq=False)
class Recipe(ByContent):
    """How one network is made sparse: the genome of this room, an immutable value.

    Args:
        method: with its parameters.
        sparsity: share of the weights that shall not exist.
        replicate: number of the repetition; equal numbers share seeds in all methods.
    """

    method: Sparsifier
    sparsity: float
    replicate: int

    @property
    def arm(self) -> str:
        """The name of all replicates together."""
        return self.method.label if self.method.dense else f"{self.method.label} {self.sparsity:g}"

    @cached_property
    def key(self) -> str:
        """Content hash."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Return the method, the sparsity and the replicate in one line."""
        share = "" if self.method.dense else f" at {100 * self.sparsity:g} % sparsity"
        return f"{self.method.label}{share}, seed {self.replicate}"

    def of_seed(self, seed: int) -> Replicate:
        """Return which network of a cohort this is, in a campaign with that seed."""
        return Replicate(self.replicate, self.sparsity, seed)

    def to_bytes(self) -> bytes:
        """Encode as a line of JSON."""
        # The class, not the name in the registry: a worker must find a user's own method too.
        parameters = self.method.model_dump(mode="json") | {"method": reference_to(type(self.method))}
        return json.dumps([_VERSION, parameters, self.sparsity, self.replicate], sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Recipe:
        """Decode what `to_bytes` returned.

        Raises:
            StoreError: it is no recipe, or its method is not there.
        """
        try:
            version, parameters, sparsity, replicate = json.loads(data)
            if version != _VERSION:
                raise ValueError(f"of format {version}")
            return cls(as_method(parameters), float(sparsity), int(replicate))
        except (ValueError, TypeError, BadInput) as error:
            raise StoreError(f"expected the recipe of a method, got {data[:60]!r} ({error})") from None
