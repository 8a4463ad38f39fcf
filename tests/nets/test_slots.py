"""Places for activation functions: where networks have them, who fills them, and that nothing else notices them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from nets_reference import examples, make, random_connections
from torch import nn
from torch.nn import functional

from evosparse.errors import PluginError, SpecError
from evosparse.nets import (
    InitialisationSpec,
    Network,
    NetworkSpec,
    Population,
    TrainingSpec,
    build,
    inspect_module,
    multilayer_perceptron,
)
from evosparse.nets.modules import lenet5
from evosparse.nets.slots import ROLES, Slot, perceptron_roles

FACTORY = """
import torch
from torch import nn
from evosparse.nets import Slot

class Branches(nn.Module):
    def __init__(self, input_shape, classes, last="output"):
        super().__init__()
        self.first = nn.Linear(input_shape[0], 7)
        self.near = Slot("input", nn.Tanh())
        self.middle = nn.Sequential(nn.Linear(7, 5), Slot("hidden"))
        self.far = Slot(last)
        self.last = nn.Linear(5, classes)

    def forward(self, x):
        return self.last(self.far(self.middle(self.near(self.first(x)))))
"""


class Marks:
    """Activations that add another number in each place and network, and tell what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, tuple[int, ...], slice, int | None]] = []

    def apply(self, place: int, x: torch.Tensor, networks: slice, step: int | None) -> torch.Tensor:
        assert x.is_contiguous()
        self.asked.append((place, tuple(x.shape), networks, step))
        numbers = torch.arange(networks.start, networks.stop).view(-1, *[1] * (x.ndim - 1))
        return x * (1 + place) + numbers

    def differentiate(
        self, place: int, x: torch.Tensor, networks: slice, step: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.apply(place, x, networks, step), torch.full_like(x, 1 + place)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    # The name of the file becomes the name of a module, so it must differ from test to test.
    path = tmp_path / f"branches_{abs(hash(tmp_path))}.py"
    path.write_text(FACTORY)
    return path


def parameters(network: Network) -> int:
    return sum(layer.size for layer in network.layers) + sum(int(np.prod(shape)) for shape in network.unmasked.values())


@pytest.mark.parametrize(("name", "count"), [("fcn", 31_786), ("cnn", 1_629_826)])
def test_the_published_networks_have_the_published_parameters(name: str, count: int) -> None:
    network = build(NetworkSpec(name=name), (1, 28, 28), 10)
    assert parameters(network) == count
    assert sum(value.numel() for value in network.module().parameters()) == count


def test_the_published_networks_have_slots_where_the_paper_has_functions() -> None:
    fcn, cnn, lenet = (build(NetworkSpec(name=name), (1, 28, 28), 10) for name in ("fcn", "cnn", "lenet5"))
    assert [layer.shape for layer in fcn.layers] == [(32, 784), *[(32, 32)] * 6, (10, 32)]
    assert fcn.slots == ("input", "hidden", "hidden", "hidden", "hidden", "hidden", "output")
    assert cnn.slots == lenet.slots == ("input", "hidden", "output")
    parts = [type(part) for part in cnn.module()]
    convolution, dense = [nn.Conv2d, Slot, nn.MaxPool2d], [nn.Flatten, nn.Dropout, nn.Linear, Slot, nn.Linear]
    assert parts == [nn.Flatten, nn.Unflatten, *convolution * 2, *dense]


@pytest.mark.parametrize("hidden", range(9))
def test_each_hidden_layer_of_a_perceptron_has_a_slot(hidden: int) -> None:
    network = multilayer_perceptron((5,), 3, (4,) * hidden)
    expected = ["hidden"] * hidden
    expected[-1:] = ["output"] * min(hidden, 1)
    expected[:1] = ["input"] * min(hidden, 1)
    assert network.slots == perceptron_roles(hidden) == tuple(expected)


def test_a_users_module_has_slots_of_its_own(plugin: Path) -> None:
    network = build(NetworkSpec(module=f"{plugin.name}:Branches"), (4,), 3, plugin.parent)
    assert network.slots == ("input", "hidden", "output")
    assert list(network.module().state_dict()) == [
        f"{layer}.{part}" for layer in ("first", "middle.0", "last") for part in ("weight", "bias")
    ]


def test_a_slot_of_an_unknown_role_is_refused(plugin: Path) -> None:
    with pytest.raises(ValueError, match="expected the role of a slot, one of input, hidden, output, got 'middle'"):
        Slot("middle")
    with pytest.raises(PluginError, match="role of a slot.*'behind'"):
        build(NetworkSpec(module=f"{plugin.name}:Branches", parameters={"last": "behind"}), (4,), 3, plugin.parent)


@pytest.mark.parametrize("role", ROLES)
def test_a_slot_without_a_function_is_a_relu_or_what_it_is_given(role: str) -> None:
    x = torch.linspace(-2, 2, 9)
    assert torch.equal(Slot(role)(x), x.relu())
    assert torch.equal(Slot(role, nn.Tanh())(x), x.tanh())
    for slot in (Slot(role), copy.deepcopy(Slot(role, nn.Tanh()))):
        assert not list(slot.parameters()) and not slot.state_dict() and list(slot.modules()) == [slot]


def test_what_a_slot_does_by_itself_knows_training_from_evaluation() -> None:
    module, x = nn.Sequential(Slot("input", nn.RReLU())), -torch.ones(100)
    assert len(module.train()(x).unique()) > 90
    assert torch.equal(module.eval()(x), nn.RReLU().eval()(x))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_slots_change_nothing_for_masks(activation: str) -> None:
    def bare() -> nn.Sequential:
        module = lenet5((16, 16), 5, activation)
        for name, part in list(module.named_children()):
            if isinstance(part, Slot):
                setattr(module, name, part.function)
        return module

    networks = [build(NetworkSpec(name="lenet5", activation=activation), (16, 16), 5)]
    networks += [inspect_module(bare, (16, 16), 5, "bare")]
    assert networks[0].layers == networks[1].layers and networks[0].positions == networks[1].positions
    assert list(networks[0].module().state_dict()) == list(networks[1].module().state_dict())
    assert [type(step) for step in networks[0].plan] == [type(step) for step in networks[1].plan]
    x, y = examples(10, (16, 16), 5)
    for kernel in ("dense", "packed"):
        states = []
        for network in networks:
            connections = [random_connections(network, 0.3, 1)]
            population = make(network, connections, training=TrainingSpec(batch=5), kernel=kernel)
            population.train(x, y, 2)
            states.append(population.state(0))
        for name, value in states[0].items():
            np.testing.assert_array_equal(value, states[1][name])


@pytest.mark.parametrize("kernel", ["packed", "csr"])
def test_kernels_that_cannot_have_functions_of_each_network_refuse_them(kernel: str) -> None:
    network = multilayer_perceptron((5,), 3, (4,))
    with pytest.raises(SpecError, match=f"training.kernel: {kernel} gives all networks the same activation; use dense"):
        make(network, [[None, None]], kernel=kernel, activations=Marks())


def test_auto_refuses_functions_where_it_would_choose_the_packed_kernel() -> None:
    network = multilayer_perceptron((64,), 3, (64,))
    with pytest.raises(SpecError, match="packed gives all networks the same activation"):
        make(network, [random_connections(network, 0.1, 0)], activations=Marks())
    assert make(network, [[None, None]], activations=Marks()).kernel == "dense"


def test_a_perceptron_gives_each_slot_the_numbers_of_all_networks() -> None:
    network, marks = multilayer_perceptron((5,), 3, (4, 40)), Marks()
    x, y = examples(6, (5,), 3)
    population = make(network, [[None] * 3] * 2, training=TrainingSpec(batch=4), kernel="dense", activations=marks)
    population.train(x, y, 1)
    shapes = [(2, batch, width) for batch in (4, 2) for width in (32, 64)]
    assert marks.asked == [(n % 2, shape, slice(0, 2), n // 2) for n, shape in enumerate(shapes)]
    marks.asked.clear()
    expect_marked(population, x, [(0,), (1,), ()])
    assert [asked[-1] for asked in marks.asked] == [None, None]


def expect_marked(population: Population, x: np.ndarray, places: Sequence[Sequence[int]]) -> None:
    """Compare logits with what `Marks` make of a chain of linear layers, in float64, given the slots behind each."""
    logits = population.logits(x)
    for number in range(len(population)):
        state, hidden = population.state(number), x.astype(np.float64)
        for layer, behind in zip(population.network.layers, places, strict=True):
            hidden = hidden @ state[layer.parameter].T + state[f"{layer.name}.bias"]
            for place in behind:
                hidden = hidden * (1 + place) + number
        np.testing.assert_allclose(logits[number], hidden, rtol=1e-4, atol=1e-4)


def test_a_module_gives_its_slots_the_numbers_of_one_network_after_the_other(plugin: Path) -> None:
    network, marks = build(NetworkSpec(module=f"{plugin.name}:Branches"), (4,), 3, plugin.parent), Marks()
    x, y = examples(6, (4,), 3)
    population = make(network, [[None] * 3] * 2, training=TrainingSpec(batch=6), activations=marks)
    population.train(x, y, 1)
    asked = []
    for number in range(2):
        asked += [(place, (1, 6, width), slice(number, number + 1), 0) for place, width in enumerate((7, 5, 5))]
    assert marks.asked == asked
    expect_marked(population, x, [(0,), (1, 2), ()])


def test_a_module_without_functions_of_its_own_uses_what_its_slots_do_by_themselves(plugin: Path) -> None:
    network = build(NetworkSpec(module=f"{plugin.name}:Branches"), (4,), 3, plugin.parent)
    x, _ = examples(6, (4,), 3)
    population = make(network, [[None] * 3])
    state = {name: torch.from_numpy(value) for name, value in population.state(0).items()}
    linear = partial(_linear, state)
    expected = linear("last", linear("middle.0", linear("first", torch.from_numpy(x)).tanh()).relu().relu())
    np.testing.assert_allclose(population.logits(x)[0], expected, rtol=1e-5, atol=1e-6)


def _linear(state: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


@pytest.mark.parametrize("name", ["fcn", "cnn"])
@pytest.mark.parametrize("mask_aware", [True, False])
def test_a_modules_own_values_are_drawn_as_they_ever_were(name: str, mask_aware: bool) -> None:
    network = build(NetworkSpec(name=name), (10, 10), 3)
    spec = InitialisationSpec(weights="module", mask_aware=mask_aware)
    masks = random_connections(network, 0.4, 0)
    population = make(network, [[None] * len(masks), masks, [None] * len(masks)], initialisation=spec, kernel="dense")
    for number in range(3):
        expected = {key: value.numpy() for key, value in network.module(10 + number).state_dict().items()}
        if number == 1:
            for layer, existing in zip(network.layers, masks, strict=True):
                kept = np.zeros(layer.size, bool)
                kept[existing] = True
                rows = kept.reshape(layer.shape[0], -1)
                fan_in = np.maximum(rows.sum(axis=1), 1)
                factor = np.sqrt(layer.fan_in / fan_in)[:, None].astype(np.float32) if mask_aware else 1
                own = expected[layer.parameter].reshape(rows.shape)
                expected[layer.parameter] = (own * rows * factor).reshape(layer.shape)
        state = population.state(number)
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(state[key], value)
