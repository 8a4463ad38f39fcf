"""Activities of units are those of the module, layer by layer."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from nets_reference import examples, make, random_connections
from torch import nn

from evosparse.errors import SpecError
from evosparse.nets import NetworkSpec, build, inspect_module, multilayer_perceptron
from evosparse.nets.activity import unit_activities
from evosparse.nets.modules import perceptron


@pytest.mark.parametrize("kind", ["relu", "all_relu", "module"])
def test_activities_are_those_between_the_parts_of_the_module(kind: str) -> None:
    if kind == "module":
        network = inspect_module(partial(perceptron, (13, 11, 7, 3), "tanh"), (13,), 3, "perceptron")
    else:
        network = multilayer_perceptron((13,), 3, (11, 7), kind)
    population = make(network, [random_connections(network, 0.4, 0)])
    x, y = examples(37, (13,), 3)
    population.train(x, y, 3)
    state = population.state(0)
    module = network.module().eval()
    module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    wanted, hidden = [torch.tensor(x)], torch.tensor(x)
    for name, part in module.named_children():
        hidden = part(hidden)
        if name.startswith("activation"):
            wanted.append(hidden)
    wanted.append(torch.softmax(hidden, dim=1))
    found = unit_activities(network, population.connections(0), state, x)
    assert [own.shape for own in found] == [(13, 37), (11, 37), (7, 37), (3, 37)]
    for own, its in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own.T, its.detach(), atol=1e-6)


def test_images_are_flattened() -> None:
    network = multilayer_perceptron((3, 4), 3, (5,))
    x = examples(9, (3, 4), 3)[0]
    assert np.array_equal(unit_activities(network, [None, None], make(network, [[None, None]]).state(0), x)[0], x.reshape(9, 12).T)


class Two(nn.Module):
    """Two layers side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) + self.other(x)


def test_other_networks_are_refused() -> None:
    for network in (build(NetworkSpec(name="lenet5"), (16, 16), 3), inspect_module(Two, (4,), 3, "Two")):
        every = [None] * len(network.layers)
        x = np.zeros((2, *network.input_shape), np.float32)
        with pytest.raises(SpecError, match="a chain of linear layers"):
            unit_activities(network, every, make(network, [every]).state(0), x)
