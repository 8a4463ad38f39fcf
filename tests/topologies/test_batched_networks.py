"""Batches of torch tensors compute what compiled networks do, whatever stands beside a network, in bounded memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from topology_strategies import batches, random_topology
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from evosparse.topologies.batched import ARRAYS, TorchNetworks
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.phenotype import Networks

EITHER = pytest.mark.parametrize("recurrent", [False, True], ids=["feed-forward", "recurrent"])
# Functions of which torch and compiled code make the same bits, so that sums can be compared to the last one.
EXACT = ("identity", "relu", "abs", "step", "hardshrink", "hardtanh", "softshrink")
CELLS = st.sampled_from((None, 1, 30, 300))


def seen(draw: st.DrawFn, *shape: int) -> torch.Tensor:
    """Draw what networks are shown."""
    return torch.from_numpy(draw(arrays(np.float64, shape, elements=st.floats(-2, 2, allow_subnormal=False))))


def many(recurrent: bool, count: int = 60) -> list[Topology]:
    """Return networks of different sizes, the same ones always."""
    rng = np.random.default_rng(0)
    face = Interface(("a", "b", "c"), ("y", "z"), True, recurrent, 2)
    return [random_topology(face, rng, rng.integers(12), rng.uniform(0.2, 1), 0.9) for _ in range(count)]


@EITHER
@settings(deadline=None, max_examples=40)
@given(data=st.data(), cells=CELLS)
def test_a_batch_of_tensors_computes_what_compiled_networks_do(
    recurrent: bool, data: st.DataObject, cells: int | None
) -> None:
    batch = data.draw(batches(recurrent))
    compiled, tensors = Networks.of(batch), TorchNetworks(batch, "cpu", cells=cells)
    for inputs in seen(data.draw, 4, len(batch), len(batch[0].interface.inputs)):
        expected = compiled.activate(inputs.numpy())
        np.testing.assert_allclose(tensors.activate(inputs).numpy(), expected, rtol=1e-12, atol=1e-12)
    cases = seen(data.draw, 7, len(batch[0].interface.inputs))
    expected = compiled.answer(cases.numpy())
    np.testing.assert_allclose(tensors.answer(cases).numpy(), expected, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_sums_are_made_in_the_order_of_the_genes(data: st.DataObject) -> None:
    batch = data.draw(batches(functions=EXACT))
    compiled, tensors = Networks.of(batch), TorchNetworks(batch, "cpu")
    for inputs in seen(data.draw, 3, len(batch), len(batch[0].interface.inputs)):
        assert (tensors.activate(inputs).numpy() == compiled.activate(inputs.numpy())).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), cells=CELLS)
def test_a_network_computes_the_same_bits_alone_as_in_a_batch(
    dtype: torch.dtype, data: st.DataObject, cells: int | None
) -> None:
    batch = data.draw(batches())
    steps = seen(data.draw, 3, len(batch), len(batch[0].interface.inputs))
    together = TorchNetworks(batch, "cpu", dtype, cells)
    alone = [TorchNetworks([topology], "cpu", dtype) for topology in batch]
    answers = together.answer(steps[:, 0])
    assert answers.dtype == dtype
    assert torch.equal(answers, torch.cat([own.answer(steps[:, 0]) for own in alone]))
    for inputs in steps:
        rows = [own.activate(row) for own, row in zip(alone, inputs, strict=True)]
        assert torch.equal(together.activate(inputs), torch.cat(rows))


@EITHER
@pytest.mark.parametrize("cases", [1, 5, 255, 1000])
def test_a_case_is_answered_the_same_among_any_others(recurrent: bool, cases: int) -> None:
    networks = TorchNetworks(many(recurrent), "cpu")
    shown = torch.from_numpy(np.random.default_rng(1).uniform(-2, 2, (1000, 3)))
    assert torch.equal(networks.answer(shown[:cases]), networks.answer(shown)[:, :cases])


@EITHER
def test_an_answer_is_that_of_a_network_that_has_seen_nothing_and_leaves_memory_alone(recurrent: bool) -> None:
    batch = many(recurrent)
    networks, other = TorchNetworks(batch, "cpu"), TorchNetworks(batch, "cpu")
    first, second = torch.tensor([1.0, -0.5, 0.25]), torch.tensor([0.5, 0.5, 2.0])
    assert torch.equal(networks.activate(first), other.answer(first[None])[:, 0])
    networks.answer(second[None])
    other.activate(first)
    assert torch.equal(networks.activate(second), other.activate(second))


@EITHER
def test_networks_forget_when_they_are_reset(recurrent: bool) -> None:
    networks = TorchNetworks(many(recurrent), "cpu")
    inputs = torch.tensor([1.0, -0.5, 0.25])
    first, second = networks.activate(inputs), networks.activate(inputs)
    assert torch.equal(first, second) is not recurrent
    networks.reset()
    assert torch.equal(networks.activate(inputs), first)


def test_compiled_networks_and_genomes_make_the_same_batch() -> None:
    batch, cases = many(False), torch.ones((2, 3))
    made = TorchNetworks(Networks.of(batch), "cpu")
    assert len(made) == len(batch)
    assert torch.equal(made.answer(cases), TorchNetworks(batch, "cpu").answer(cases))


class Living(TorchDispatchMode):
    """Knows the most numbers that tensors made inside have had room for at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._users: dict[int, int] = {}
        self._room: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Callable, types: object, args: Sequence = (), kwargs: Mapping | None = None
    ) -> object:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            storage = tensor.untyped_storage()
            where = storage.data_ptr()
            self._users[where] = self._users.get(where, 0) + 1
            self._room[where] = storage.nbytes() // 8
            weakref.finalize(tensor, self._leave, where)
        self.most = max(self.most, sum(self._room.values()))
        return made

    def _leave(self, where: int) -> None:
        self._users[where] -= 1
        if not self._users[where]:
            del self._users[where], self._room[where]


def test_living_tensors_are_counted() -> None:
    with Living() as found:
        first = torch.zeros(10, dtype=torch.float64)
        second = first[2:] + 1
        del first
        torch.ones(5, dtype=torch.float64)
    assert found.most == 18 and len(second) == 8


@EITHER
@pytest.mark.parametrize("cells", [2_000, 20_000])
def test_an_answer_takes_no_more_memory_than_promised(recurrent: bool, cells: int) -> None:
    networks = TorchNetworks(many(recurrent), "cpu", cells=cells)
    cases = torch.zeros((600, 3), dtype=torch.float64)
    networks.answer(cases)  # makes what it then keeps
    with Living() as found:
        answers = networks.answer(cases)
    assert cells < found.most - answers.numel() <= ARRAYS * cells


@EITHER
def test_a_network_that_is_larger_than_the_limit_is_computed_alone_case_by_case(recurrent: bool) -> None:
    batch = many(recurrent, 12)
    largest = max(len(topology.hidden) for topology in batch) + batch[0].interface.fixed
    networks = TorchNetworks(batch, "cpu", cells=1)
    cases = torch.zeros((4, 3), dtype=torch.float64)
    networks.answer(cases)
    with Living() as found:
        answers = networks.answer(cases)
    assert found.most - answers.numel() <= ARRAYS * largest


def test_nothing_can_be_differentiated() -> None:
    networks = TorchNetworks(many(False), "cpu")
    inputs = torch.ones(3, requires_grad=True)
    assert not networks.activate(inputs).requires_grad
    assert not networks.answer(inputs[None]).requires_grad


@pytest.mark.parametrize("shape", [(3, 3), (2, 2), (2,), ()], ids=str)
def test_inputs_of_another_shape_are_refused(shape: Sequence[int]) -> None:
    with pytest.raises(ValueError, match=r"expected inputs of shape \(2, 3\)"):
        TorchNetworks(many(False, 2), "cpu").activate(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 2), (3,), (3, 3, 1)], ids=str)
def test_cases_of_another_shape_are_refused(shape: Sequence[int]) -> None:
    with pytest.raises(ValueError, match=r"expected cases of shape \(cases, 3\)"):
        TorchNetworks(many(False, 2), "cpu").answer(torch.zeros(shape))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@EITHER
def test_networks_compute_the_same_on_cuda(recurrent: bool) -> None:
    batch = many(recurrent)
    here, there = Networks.of(batch), TorchNetworks(batch, "cuda")
    cases = np.random.default_rng(1).uniform(-2, 2, (300, 3))
    answers = there.answer(torch.from_numpy(cases))
    assert answers.device.type == "cuda"
    np.testing.assert_allclose(answers.cpu().numpy(), here.answer(cases), rtol=1e-9, atol=1e-9)
    for inputs in cases[:5]:
        found = there.activate(torch.from_numpy(inputs)).cpu().numpy()
        np.testing.assert_allclose(found, here.activate(inputs), rtol=1e-9, atol=1e-9)
