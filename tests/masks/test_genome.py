"""The mask genome: content identity, storage and its refusal of damaged bytes."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosparse.errors import BadInput, StoreError
from evosparse.masks.genome import Mask, MaskLayer, MaskMismatch
from evosparse.masks.operators import random_mask

LENET = (((300, 784), 4704), ((100, 300), 600), ((10, 100), 20))


def lenet_mask(seed: int = 0) -> Mask:
    layers = [MaskLayer(f"layer{i}", shape, np.empty(0, dtype=int)) for i, (shape, _) in enumerate(LENET)]
    return random_mask(layers, [count for _, count in LENET], np.random.default_rng(seed))


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    """Masks of one to three small layers, matrices or kernels, from empty to dense."""
    layers = []
    for position in range(draw(st.integers(1, 3))):
        shape = tuple(draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)))
        size = int(np.prod(shape))
        kind = draw(st.sampled_from(["empty", "dense", "any"]))
        chosen = {"empty": [], "dense": range(size)}.get(kind)
        if chosen is None:
            chosen = draw(st.sets(st.integers(0, size - 1)))
        layers.append(MaskLayer(f"läyer {position}", shape, np.array(sorted(chosen), dtype=np.int64)))
    return Mask(tuple(layers))


@given(masks())
def test_bytes_and_booleans_give_the_same_mask_back(mask: Mask) -> None:
    for again in (
        Mask.from_bytes(mask.to_bytes()),
        Mask.from_bool({layer.name: mask.dense(layer.name) for layer in mask.layers}),
        pickle.loads(pickle.dumps(mask)),
    ):
        assert again == mask and again.key == mask.key and hash(again) == hash(mask)
        for ours, theirs in zip(again.layers, mask.layers, strict=True):
            assert (ours.name, ours.shape) == (theirs.name, theirs.shape)
            assert ours.indices.tolist() == theirs.indices.tolist() and ours.indices.dtype == theirs.indices.dtype
            assert not ours.indices.flags.writeable


@given(masks())
def test_counts_are_those_of_the_dense_arrays(mask: Mask) -> None:
    dense = [mask.dense(layer.name) for layer in mask.layers]
    assert [array.shape for array in dense] == [layer.shape for layer in mask.layers]
    assert mask.counts == tuple(int(array.sum()) for array in dense)
    assert mask.count == sum(mask.counts) and mask.size == sum(array.size for array in dense)
    assert mask.density == mask.count / mask.size and mask.sparsity == 1 - mask.density
    for indices, array in zip(mask.connections, dense, strict=True):
        assert indices.tolist() == np.flatnonzero(array).tolist()


@given(masks(), masks())
def test_masks_are_equal_exactly_when_their_contents_are(first: Mask, second: Mask) -> None:
    def content(mask: Mask) -> list[tuple[str, tuple[int, ...], list[int]]]:
        return [(layer.name, layer.shape, layer.indices.tolist()) for layer in mask.layers]

    assert (first == second) == (content(first) == content(second)) == (first.key == second.key)


def test_names_shapes_and_order_of_layers_are_part_of_the_identity() -> None:
    base = MaskLayer("a", (2, 3), np.array([1]))
    other = MaskLayer("b", (2, 3), np.array([1]))
    variants = [
        Mask((base, other)),
        Mask((other, base)),
        Mask((base,)),
        Mask((other,)),
        Mask((MaskLayer("a", (3, 2), np.array([1])),)),
        Mask((MaskLayer("a", (2, 3, 1, 1), np.array([1])),)),
        Mask((MaskLayer("a", (2, 3), np.array([2])),)),
    ]
    assert len({mask.key for mask in variants}) == len(set(variants)) == len(variants)
    assert variants[0] != "mask"


def test_the_key_is_pinned_because_campaigns_on_disk_depend_on_it() -> None:
    mask = Mask((MaskLayer("hidden", (2, 3), np.array([0, 4])), MaskLayer("output", (1, 2), np.array([1]))))
    assert mask.key == "cbe0a37ddabf23e6dab980d4a31c30d0"


def test_the_input_array_is_copied_and_ours_is_read_only() -> None:
    given_indices = np.array([0, 2], dtype=np.int32)
    layer = MaskLayer("a", (2, 2), given_indices)
    given_indices[0] = 1
    assert layer.indices.tolist() == [0, 2]
    with pytest.raises(ValueError, match="read-only"):
        layer.indices[0] = 1


def test_copies_are_the_mask_itself() -> None:
    mask = lenet_mask()
    assert copy.copy(mask) is mask and copy.deepcopy([mask])[0] is mask


@pytest.mark.parametrize(
    ("shape", "indices"),
    [
        ((2, 2), [1, 0]),
        ((2, 2), [1, 1]),
        ((2, 2), [-1, 0]),
        ((2, 2), [4]),
        ((2, 2), [0.0]),
        ((2, 2), [[0, 1]]),
        ((2, 2), [True, False]),
        ((4,), [0]),
        ((0, 2), []),
    ],
)
def test_positions_that_make_no_layer_are_refused(shape: tuple[int, ...], indices: list[object]) -> None:
    with pytest.raises(MaskMismatch, match="layer 'fc'"):
        MaskLayer("fc", shape, np.array(indices))


def test_a_mask_needs_layers_with_distinct_names() -> None:
    layer = MaskLayer("fc", (2, 2), np.array([0]))
    for layers in ((), (layer, layer)):
        with pytest.raises(MaskMismatch, match="distinct layer names"):
            Mask(layers)
    with pytest.raises(BadInput, match="did you mean 'fc'"):
        Mask((layer,)).dense("fv")


def test_describe_tells_counts_and_sparsity() -> None:
    assert lenet_mask().describe() == "5,324 of 266,200 weights (98.00 % sparse): 4,704 / 600 / 20"


def test_lenet_at_98_percent_takes_at_most_7_kilobytes() -> None:
    assert len(lenet_mask().to_bytes()) <= 7000


@pytest.mark.parametrize("density", [0.0, 0.001, 0.02, 0.2, 0.5, 0.9, 1.0])
def test_bytes_stay_near_the_entropy_at_every_density(density: float) -> None:
    layer = MaskLayer("fc", (300, 784), np.empty(0, dtype=int))
    mask = random_mask([layer], [round(density * layer.size)], np.random.default_rng(0))
    entropy = 0.0 if density in (0, 1) else -density * np.log2(density) - (1 - density) * np.log2(1 - density)
    data = mask.to_bytes()
    assert len(data) < 1.2 * layer.size * entropy / 8 + 200
    assert Mask.from_bytes(data) == mask


@pytest.mark.parametrize("indices", [[], [2**32 + 7], [0, 254, 255, 256, 511, 2**16, 2**31, 2**33], [2**40 - 1]])
def test_layers_too_large_to_expand_are_stored_without_expanding(indices: list[int]) -> None:
    mask = Mask((MaskLayer("huge", (2**20, 2**20), np.array(indices, dtype=np.int64)),))
    tracemalloc.start()
    try:
        assert Mask.from_bytes(mask.to_bytes()).layers[0].indices.tolist() == indices
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("gap", [253, 254, 255, 256, 509, 510, 511, 65534, 65535, 65536, 131071])
@pytest.mark.parametrize("size", [10**6, 10**8, 2 * 10**9, 10**10])
def test_gaps_at_the_limits_of_the_digits_are_kept(gap: int, size: int) -> None:
    rows = 1000
    indices = np.array([0, gap, 2 * gap + 1, size - 1])
    fillers = np.arange(3 * gap, size - 1, max(size // 5000, 200))  # makes the mean gap choose each digit width
    mask = Mask((MaskLayer("fc", (rows, size // rows), np.union1d(indices, fillers)),))
    assert Mask.from_bytes(mask.to_bytes()) == mask


def test_truncated_damaged_foreign_and_newer_bytes_are_refused() -> None:
    data = lenet_mask().to_bytes()
    for length in (0, 3, 4, 9, 10, 11, len(data) // 2, len(data) - 1):
        with pytest.raises(StoreError):
            Mask.from_bytes(data[:length])
    for position in (*range(12), *range(12, len(data), 97)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(StoreError):
            Mask.from_bytes(bytes(damaged))
    with pytest.raises(StoreError):
        Mask.from_bytes(data + b"\0")
    with pytest.raises(StoreError, match="format 2, .* update evosparse"):
        Mask.from_bytes(data[:4] + b"\2" + data[5:])
    with pytest.raises(StoreError, match="expected the bytes of a mask"):
        Mask.from_bytes(b"SQLite format 3\0")


@given(st.data())
def test_a_forged_body_with_a_right_checksum_gives_a_clear_error_or_a_valid_mask(data: st.DataObject) -> None:
    mask = data.draw(masks())
    stored = mask.to_bytes()
    body = bytearray(zlib.decompress(stored[10:]) if stored[5] else stored[10:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    forged = stored[:5] + b"\0" + zlib.crc32(body).to_bytes(4, "little") + bytes(body)
    try:
        decoded = Mask.from_bytes(forged)
    except StoreError as error:
        assert "contradicts itself" in str(error)
    else:
        assert Mask.from_bytes(decoded.to_bytes()) == decoded


def test_keys_masks_and_the_order_of_a_set_do_not_depend_on_the_hash_seed(capsys: pytest.CaptureFixture[str]) -> None:
    """KS1: equal under two PYTHONHASHSEED values, that of this process and another."""
    program = (
        "import numpy as np\n"
        "from evosparse.masks.genome import MaskLayer\n"
        "from evosparse.masks.operators import crossover, random_mask, swap_mutation\n"
        "rng = np.random.default_rng(1)\n"
        "layers = [MaskLayer(name, (20, 30), np.empty(0, dtype=int)) for name in ('hidden', 'output')]\n"
        "masks = [random_mask(layers, (60, 300), rng) for _ in range(20)]\n"
        "masks += [swap_mutation(crossover(*masks[i : i + 2], rng), 0.1, rng) for i in range(10)]\n"
        "print([mask.key for mask in masks], [mask.key for mask in set(masks)], hash(masks[0]))\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    exec(program, {})
    assert capsys.readouterr().out == elsewhere and len(elsewhere) > 1000


@given(masks())
def test_a_layer_is_held_as_positions_or_as_bits_whichever_is_smaller(mask: Mask) -> None:
    for layer in mask.layers:
        assert layer.nbytes == min(4 * layer.count, (layer.size + 7) // 8) or layer.size == 32 * layer.count
        assert layer.count == len(layer.indices)


@pytest.mark.parametrize("count", [2_000_000, 30_000_000])
def test_bits_are_never_expanded_as_a_whole(count: int) -> None:
    size = 2 * 8000 * 2000  # many blocks of bits, and a last one that is not full
    indices = np.linspace(0, size - 1, count).astype(np.int32)
    tracemalloc.start()
    layer = MaskLayer("layer", (16_000, 2_000), indices)
    again = layer.indices
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (again == indices).all() and layer.nbytes == size // 8
    assert peak < indices.nbytes + layer.nbytes + 2**24
