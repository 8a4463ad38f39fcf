"""The topology genome: node genes, and connection genes with innovation numbers, in arrays.

Nodes are numbered: inputs, then the bias if there is one, then outputs, then hidden nodes by innovation.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from evosparse.engine.candidate import ByContent
from evosparse.errors import StoreError
from evosparse.topologies.functions import NAMES

_MAGIC = b"EVTO\x01"  # with the version of the format
BIAS = "bias"


@dataclass(frozen=True)
class Interface:
    """What all networks of a search have in common: where they meet their task, and how they are read.

    Args:
        inputs: name of each input.
        outputs: name of each output.
        bias: whether there is a node that is always 1.
        recurrent: whether connections may form loops; all nodes are then updated at once, from the values before.
        sweeps: updates of a recurrent network for each input.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bias: bool = True
    recurrent: bool = False
    sweeps: int = 1

    def __post_init__(self) -> None:
        if not self.inputs or not self.outputs:
            raise ValueError(f"expected at least one input and one output, got {self.inputs} and {self.outputs}")
        if self.sweeps < 1:
            raise ValueError(f"expected at least one update for each input, got sweeps {self.sweeps}")

    @property
    def sources(self) -> int:
        """Number of nodes that only give: inputs and bias."""
        return len(self.inputs) + self.bias

    @property
    def fixed(self) -> int:
        """Number of nodes that every network has; hidden nodes are numbered from here."""
        return self.sources + len(self.outputs)

    @property
    def output_nodes(self) -> range:
        """The numbers of the output nodes."""
        return range(self.sources, self.fixed)

    def name(self, node: int) -> str:
        """Return what a node is called."""
        if node >= self.fixed:
            return f"h{node}"
        return (*self.inputs, *((BIAS,) if self.bias else ()), *self.outputs)[node]


@dataclass(frozen=True, eq=False)
class Topology(ByContent):
    """A network's graph and weights, an immutable value.

    Args:
        interface: inputs, outputs and how the network is read.
        hidden: (hidden,) number of each hidden node, ascending.
        functions: (outputs + hidden,) code of each node's function, outputs first.
        innovation: (connections,) innovation numbers, ascending.
        source, target: (connections,) nodes that a connection goes from and to.
        weight: (connections,) weights.
        enabled: (connections,) whether a connection is expressed.
    """

    interface: Interface
    hidden: NDArray[np.int64]
    functions: NDArray[np.int64]
    innovation: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    enabled: NDArray[np.bool_]
    _names: tuple[str, ...] = field(
        default=("hidden", "functions", "innovation", "source", "target", "weight", "enabled"), init=False, repr=False
    )

    def __post_init__(self) -> None:
        for name in self._names:
            getattr(self, name).setflags(write=False)

    @property
    def size(self) -> int:
        """Number of connections that are expressed."""
        return int(self.enabled.sum())

    @cached_property
    def key(self) -> str:
        """Content hash of all genes."""
        return self._hash(np.ones(len(self.weight), dtype=bool), self.innovation, self.enabled)

    @cached_property
    def phenotype(self) -> str:
        """Hash of what is expressed: disabled connections and innovation numbers make no difference."""
        # In the order of the genes, because sums are made in it.
        return self._hash(self.enabled)

    def _hash(self, which: NDArray[np.bool_], *more: np.ndarray) -> str:
        digest = blake2b(repr(self.interface).encode(), digest_size=16)
        parts = (self.hidden, self.functions, self.source[which], self.target[which], self.weight[which], *more)
        for part in parts:
            digest.update(len(part).to_bytes(4, "little") + part.tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """Return the numbers of hidden nodes and connections."""
        silent = len(self.weight) - self.size
        return f"{len(self.hidden)} hidden, {self.size} connections" + (f" (and {silent} disabled)" if silent else "")

    def function_of(self, node: int) -> str:
        """Return the name of a hidden or output node's function."""
        face = self.interface
        place = node - face.sources if node < face.fixed else len(face.outputs) + int(np.searchsorted(self.hidden, node))
        return NAMES[self.functions[place]]

    def to_bytes(self) -> bytes:
        """Encode all genes: a line of JSON, then the arrays, compressed."""
        face = self.interface
        head = json.dumps([
            face.inputs, face.outputs, face.bias, face.recurrent, face.sweeps,
            [NAMES[code] for code in self.functions], len(self.hidden), len(self.weight),
        ])  # fmt: skip
        arrays = (self.hidden, self.innovation, self.source, self.target)
        body = b"".join(array.astype("<i8").tobytes() for array in arrays)
        body += self.weight.astype("<f8").tobytes() + self.enabled.astype("u1").tobytes()
        return _MAGIC + zlib.compress(head.encode() + b"\n" + body, 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Topology:
        """Decode what `to_bytes` returned.

        Raises:
            StoreError: it is no such encoding.
        """
        if not data.startswith(_MAGIC):
            raise StoreError(f"expected a topology of format {_MAGIC!r}, got {data[:5]!r}: it is another version's or damaged")
        try:
            head, _, body = zlib.decompress(data[len(_MAGIC) :]).partition(b"\n")
            inputs, outputs, bias, recurrent, sweeps, functions, hidden, count = json.loads(head)
            sizes = [8 * hidden, 8 * count, 8 * count, 8 * count, 8 * count, count]
            if len(body) != sum(sizes):
                raise ValueError(f"{len(body)} bytes of genes, where {sum(sizes)} belong")
            ends = np.cumsum([0, *sizes])
            parts = [body[first:last] for first, last in zip(ends[:-1], ends[1:], strict=True)]
            integers = [np.frombuffer(part, "<i8").astype(np.int64) for part in parts[:4]]
            topology = cls(
                Interface(tuple(inputs), tuple(outputs), bool(bias), bool(recurrent), int(sweeps)),
                integers[0],
                np.array([NAMES.index(name) for name in functions], dtype=np.int64),
                *integers[1:],
                np.frombuffer(parts[4], "<f8").astype(np.float64),
                np.frombuffer(parts[5], "u1").astype(bool),
            )
            topology.check()
        except (zlib.error, ValueError, TypeError, OverflowError) as error:
            raise StoreError(f"expected a topology, got bytes that cannot be read: {error}") from None
        return topology

    def check(self) -> None:
        """Refuse genes that make no network (ValueError): they must be in order, unique, and between nodes that exist."""
        face = self.interface
        nodes = np.concatenate([np.arange(face.fixed), self.hidden])
        lengths = {len(self.innovation), len(self.source), len(self.target), len(self.weight), len(self.enabled)}
        if len(lengths) > 1 or len(self.functions) != len(face.outputs) + len(self.hidden):
            raise ValueError("arrays of genes have different lengths")
        if (self.functions < 0).any() or (self.functions >= len(NAMES)).any():
            raise ValueError("a node has a function that does not exist")
        if (np.diff(self.innovation) <= 0).any() or (np.diff(self.hidden) <= 0).any() or (self.hidden < face.fixed).any():
            raise ValueError("innovation numbers and hidden nodes must ascend")
        if not np.isin(self.source, nodes).all() or not np.isin(self.target, nodes[face.sources :]).all():
            raise ValueError("a connection goes from or to a node that does not exist")
        pairs = set(zip(self.source.tolist(), self.target.tolist(), strict=True))
        if len(pairs) < len(self.source):
            raise ValueError("two connections join the same nodes")
        if not np.isfinite(self.weight).all():
            raise ValueError("a weight is not finite")
