"""The mask genome: which connections of a network exist, held as sorted positions and never expanded.

Compared and hashed by content, stored as versioned bytes without pickle, and cheap at any layer size.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evosparse.engine.candidate import ByContent
from evosparse.errors import BadInput, StoreError, nearest

_MAGIC, _VERSION = b"EVMK", 1
_HEADER = struct.Struct("<4sBBI")  # magic, format version, whether the body is compressed, CRC-32 of flag and body
_LAYER = struct.Struct("<HBBQQ")  # bytes of the name, dimensions, coding, connections, bytes of the payload
_BLOCK = 2**13  # bytes of bits that are expanded at a time
_BITS = 0  # coding of a layer as packed bits; the other codings are the bytes per gap: 1, 2 or 4


class MaskMismatch(BadInput):
    """Masks, layers or counts that are used together do not fit each other."""


class MaskLayer(ByContent):
    """The existing connections of one layer, an immutable value held as positions or as bits, whichever is smaller.

    Args:
        name: name of the layer in its network.
        shape: (n_out, n_in) or (n_out, n_in, kernel height, kernel width) of its weights.
        indices: (connections,) positions of the existing weights in C order, strictly increasing.

    Attributes:
        name, shape: as given.
        count: number of existing connections.

    Raises:
        MaskMismatch: the indices are not strictly increasing positions of that shape.
    """

    def __init__(self, name: str, shape: tuple[int, ...], indices: NDArray[np.signedinteger]) -> None:
        shape = tuple(int(length) for length in shape)
        if len(shape) < 2 or min(shape) < 1:
            raise MaskMismatch(f"layer {name!r}: expected a shape (n_out, n_in, ...) of counts, got {shape}")
        size = math.prod(shape)
        indices = np.asarray(indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise MaskMismatch(
                f"layer {name!r}: expected a one-dimensional array of integer positions, "
                f"got {indices.dtype} of shape {indices.shape}; MaskLayer.from_bool takes boolean arrays"
            )
        if indices.size and not (indices[0] >= 0 and indices[-1] < size and (indices[1:] > indices[:-1]).all()):
            raise MaskMismatch(
                f"layer {name!r}: expected strictly increasing positions from 0 to {size - 1}; "
                "sort them and drop repeats (numpy.unique)"
            )
        dtype = np.dtype(index_dtype(size))
        held = _bits(indices, size) if size < 8 * dtype.itemsize * len(indices) else indices.astype(dtype)
        held.setflags(write=False)
        for attribute, value in (("name", name), ("shape", shape), ("count", len(indices)), ("_held", held)):
            object.__setattr__(self, attribute, value)
        if held.dtype == np.uint8:  # now, while the positions are at hand
            object.__setattr__(self, "key", _key(self, indices.astype(dtype, copy=False)))

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"a mask's layer is immutable: make a new one instead of setting {attribute!r}")

    def __reduce__(self) -> tuple[type[MaskLayer], tuple[str, tuple[int, ...], NDArray[np.signedinteger]]]:
        # Through the constructor, because numpy forgets that an array is read-only when it is pickled.
        return MaskLayer, (self.name, self.shape, self.indices)

    def __repr__(self) -> str:
        return f"<MaskLayer {self.name!r}: {self.count:,} of {self.shape}>"

    @classmethod
    def from_bool(cls, name: str, exists: ArrayLike) -> MaskLayer:
        """Take the connections from a boolean array of the layer's shape, True where a weight exists."""
        array = np.asarray(exists, dtype=bool)
        return cls(name, array.shape, np.flatnonzero(array))

    def to_bool(self) -> NDArray[np.bool_]:
        """Expand to a boolean array of the layer's shape, True where a weight exists."""
        exists = np.zeros(self.size, dtype=bool)
        exists[self.indices] = True
        return exists.reshape(self.shape)

    @property
    def indices(self) -> NDArray[np.signedinteger]:
        """Positions of the existing connections in C order, read-only.

        (count,) int32 where the layer has fewer than 2**31 weights and int64 elsewhere; made anew out of bits each time.
        """
        if self._held.dtype != np.uint8:
            return self._held
        indices = _positions_of(self._held, self.size, self.count)
        indices.setflags(write=False)
        return indices

    @property
    def nbytes(self) -> int:
        """Bytes of memory that hold the connections."""
        return self._held.nbytes

    @cached_property
    def size(self) -> int:
        """Number of connections of the dense layer."""
        return math.prod(self.shape)

    @cached_property
    def key(self) -> str:
        """Hexadecimal hash of name, shape and positions, the same in every process and on every machine."""
        return _key(self, self.indices)


@dataclass(frozen=True, eq=False, repr=False)
class Mask(ByContent):
    """Which connections of a network exist: the genome of this room, an immutable value.

    Args:
        layers: the layers in the order of the network, output layer last, with distinct names.

    Raises:
        MaskMismatch: there is no layer, or two share a name.
    """

    layers: tuple[MaskLayer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        names = [layer.name for layer in self.layers]
        if not names or len(set(names)) < len(names):
            raise MaskMismatch(f"a mask needs at least one layer and distinct layer names, got {names}")

    def __repr__(self) -> str:
        return f"<Mask {self.key[:12]}: {self.describe()}>"

    @classmethod
    def from_bool(cls, exists: Mapping[str, ArrayLike]) -> Mask:
        """Take the connections from boolean arrays by layer name, True where a weight exists."""
        return cls(tuple(MaskLayer.from_bool(name, array) for name, array in exists.items()))

    def layer(self, name: str) -> MaskLayer:
        """Return the layer of that name.

        Raises:
            MaskMismatch: there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise MaskMismatch(f"the mask has no layer {name!r}: {nearest(name, (layer.name for layer in self.layers))}")

    def dense(self, name: str) -> NDArray[np.bool_]:
        """Expand the layer of that name to a boolean array of its shape, True where a weight exists."""
        return self.layer(name).to_bool()

    @property
    def connections(self) -> tuple[NDArray[np.signedinteger], ...]:
        """Positions of the existing weights, one read-only array per layer."""
        return tuple(layer.indices for layer in self.layers)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of existing connections per layer."""
        return tuple(layer.count for layer in self.layers)

    @property
    def count(self) -> int:
        """Number of existing connections."""
        return sum(self.counts)

    @cached_property
    def size(self) -> int:
        """Number of connections of the dense network."""
        return sum(layer.size for layer in self.layers)

    @property
    def density(self) -> float:
        """Share of the connections that exist."""
        return self.count / self.size

    @property
    def sparsity(self) -> float:
        """Share of the connections that do not exist."""
        return 1.0 - self.density

    @cached_property
    def key(self) -> str:
        """Hexadecimal hash of all layers, the same in every process and however the mask was made."""
        # From the layers' keys: a layer that is shared with a parent is hashed once.
        return blake2b("".join(layer.key for layer in self.layers).encode(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Say in one line how many weights exist, in all and per layer."""
        per_layer = " / ".join(f"{count:,}" for count in self.counts)
        return f"{self.count:,} of {self.size:,} weights ({100 * self.sparsity:.2f} % sparse): {per_layer}"

    def to_bytes(self) -> bytes:
        """Encode for storage: each layer as gaps or as bits, whichever is smaller, then deflated if that is smaller.

        The bytes may differ between releases of zlib; compare masks by ``key``.
        """
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        # Kept, because a mask is encoded to be evaluated and again to be stored.
        parts = [struct.pack("<H", len(self.layers))]
        for layer in self.layers:
            name = layer.name.encode()
            coding, payload = _encode(layer)
            parts.append(_LAYER.pack(len(name), len(layer.shape), coding, layer.count, len(payload)))
            parts.append(struct.pack(f"<{len(layer.shape)}Q", *layer.shape))
            parts += [name, payload]
        body = b"".join(parts)
        deflater = zlib.compressobj(level=1, strategy=zlib.Z_RLE)  # gaps repeat in runs or not at all
        deflated = deflater.compress(body) + deflater.flush()
        compressed = len(deflated) < len(body)
        stored = deflated if compressed else body
        return _HEADER.pack(_MAGIC, _VERSION, compressed, zlib.crc32(stored, compressed)) + stored

    @classmethod
    def from_bytes(cls, data: bytes) -> Mask:
        """Decode what ``to_bytes`` returned.

        Raises:
            StoreError: the bytes are not a mask, are truncated or damaged, or come from a newer evosparse.
        """
        stored = memoryview(data)[_HEADER.size :]
        if len(data) < _HEADER.size or data[: len(_MAGIC)] != _MAGIC:
            raise StoreError(
                f"expected the bytes of a mask (at least {_HEADER.size}, beginning with {_MAGIC!r}), "
                f"got {len(data)} bytes beginning with {bytes(data[:4])!r}"
            )
        _, version, compressed, checksum = _HEADER.unpack_from(data)
        if version > _VERSION:
            raise StoreError(f"the mask has format {version}, this evosparse reads up to {_VERSION}: update evosparse")
        if version < 1 or zlib.crc32(stored, compressed) != checksum:
            raise StoreError(f"the mask of {len(data)} bytes is truncated or damaged: restore the file from a copy")
        try:
            return cls(tuple(_decode(zlib.decompress(stored) if compressed else bytes(stored))))
        except (struct.error, zlib.error, ValueError, OverflowError, MaskMismatch) as error:
            raise StoreError(f"the mask of {len(data)} bytes contradicts itself: {error}") from error


def index_dtype(size: int) -> type[np.signedinteger]:
    """Return the integer type of positions in a layer of that many weights."""
    return np.int32 if size < 2**31 else np.int64


def _key(layer: MaskLayer, indices: NDArray[np.signedinteger]) -> str:
    digest = blake2b(repr((layer.name, layer.shape)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(indices, indices.dtype.newbyteorder("<")))
    return digest.hexdigest()


def _bits(indices: NDArray[np.signedinteger], size: int) -> NDArray[np.uint8]:
    """Return positions as bits, the first weight in the highest bit of the first byte."""
    bits = []
    for start in range(0, size, 8 * _BLOCK):
        exists = np.zeros(min(8 * _BLOCK, size - start), dtype=bool)
        first, last = np.searchsorted(indices, np.array([start, start + len(exists)], indices.dtype))
        exists[indices[first:last] - start] = True
        bits.append(np.packbits(exists))
    return np.concatenate(bits)


def _positions_of(bits: NDArray[np.uint8], size: int, count: int) -> NDArray[np.signedinteger]:
    """Return the positions of bits, in memory of their own size: a block of bits is expanded at a time."""
    indices = np.empty(count, index_dtype(size))
    within = np.arange(8 * _BLOCK, dtype=indices.dtype)
    done = 0
    for start in range(0, len(bits), _BLOCK):
        exists = np.unpackbits(bits[start : start + _BLOCK]).view(bool)
        found = np.compress(exists, within[: len(exists)])
        indices[done : done + len(found)] = found + indices.dtype.type(8 * start)
        done += len(found)
    return indices


def _encode(layer: MaskLayer) -> tuple[int, bytes]:
    """Return coding and payload of one layer, in time proportional to its connections."""
    # Gaps are written in digits of `width` bytes: the largest digit means "add this and read on", so that a digit
    # below it ends a gap. The width suits the mean gap; longer gaps just take more digits.
    mean_gap = layer.size // max(layer.count, 1)
    width = 1 if mean_gap < 2**8 else 2 if mean_gap < 2**16 else 4
    if 8 * layer.count * width < layer.size:
        largest = 2 ** (8 * width) - 1
        indices = layer.indices
        gaps = indices.astype(np.int64)  # by hand: numpy.diff takes twice as long
        gaps[1:] -= indices[:-1] + 1
        repeats = gaps // largest
        digits = np.full(layer.count + int(repeats.sum()), largest, dtype=f"<u{width}")
        digits[np.cumsum(repeats + 1) - 1] = gaps - repeats * largest
        return width, digits.tobytes()
    # Reached only where there are so many connections that the layer holds them as bits.
    return _BITS, layer._held.tobytes()


def _decode(body: bytes) -> list[MaskLayer]:
    """Read the layers of an uncompressed body; ValueError, struct.error or MaskMismatch where it makes no sense."""
    (layer_count,) = struct.unpack_from("<H", body)
    offset = 2
    layers = []
    for _ in range(layer_count):
        name_length, dimensions, coding, count, payload_length = _LAYER.unpack_from(body, offset)
        offset += _LAYER.size
        shape = struct.unpack_from(f"<{dimensions}Q", body, offset)
        offset += 8 * dimensions
        name = body[offset : offset + name_length].decode()
        offset += name_length
        payload = body[offset : offset + payload_length]
        offset += payload_length
        layer = MaskLayer(name, shape, _positions(coding, payload, math.prod(shape)))
        if layer.count != count:
            raise ValueError(f"layer {name!r} holds {layer.count} connections and declares {count}")
        layers.append(layer)
    if offset != len(body):
        raise ValueError(f"the layers take {offset} bytes of {len(body)}")
    return layers


def _positions(coding: int, payload: bytes, size: int) -> NDArray[np.signedinteger]:
    """Return the positions that a payload stands for, not yet checked."""
    if coding == _BITS:
        if len(payload) != (size + 7) // 8:  # before numpy makes room for a size that cannot be true
            raise ValueError(f"{len(payload)} bytes of bits for {size} weights")
        return np.flatnonzero(np.unpackbits(np.frombuffer(payload, dtype=np.uint8), count=size).view(bool))
    if coding not in (1, 2, 4):
        raise ValueError(f"coding {coding}")
    digits = np.frombuffer(payload, dtype=f"<u{coding}")
    ends = np.flatnonzero(digits != 2 ** (8 * coding) - 1)
    return np.cumsum(digits, dtype=np.int64)[ends] + np.arange(len(ends))
