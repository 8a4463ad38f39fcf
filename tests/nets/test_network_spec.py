"""The network, training and initialisation sections: what they accept, and how they refuse the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from evosparse.errors import PluginError, SpecError
from evosparse.nets import InitialisationSpec, NetworkSpec, ScheduleSpec, TrainingSpec, build

FACTORIES = """
import torch
from torch import nn

def good(input_shape, classes, width=4):
    return nn.Sequential(nn.Linear(input_shape[0], width), nn.ReLU(), nn.Linear(width, classes))

def no_arguments():
    return nn.Linear(2, 2)

def no_module(input_shape, classes):
    return 5

def bare(input_shape, classes):
    return nn.Linear(input_shape[0], classes)

def wrong_classes(input_shape, classes):
    return nn.Sequential(nn.Linear(input_shape[0], classes + 1))

def wrong_input(input_shape, classes):
    return nn.Sequential(nn.Linear(input_shape[0] + 1, classes))

def nothing_to_mask(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.LayerNorm(input_shape[0]))

def lazy(input_shape, classes):
    return nn.Sequential(nn.LazyLinear(classes))

def double(input_shape, classes):
    return good(input_shape, classes).double()

class TwoOutputs(nn.Module):
    def __init__(self, input_shape, classes):
        super().__init__()
        self.last = nn.Linear(input_shape[0], classes)

    def forward(self, x):
        return self.last(x), x

constant = 3
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    # The name of the file becomes the name of a module, so it must differ from test to test.
    path = tmp_path / f"factories_{abs(hash(tmp_path))}.py"
    path.write_text(FACTORIES)
    return path


def test_bare_names_are_networks() -> None:
    assert NetworkSpec.model_validate("lenet300") == NetworkSpec(name="lenet300")
    lenet = build(NetworkSpec.model_validate("lenet300"), (1, 28, 28), 10)
    assert [(layer.name, layer.shape) for layer in lenet.layers] == [
        ("hidden1", (300, 784)),
        ("hidden2", (100, 300)),
        ("output", (10, 100)),
    ]
    mlp = build(NetworkSpec.model_validate("mlp"), (64,), 10)
    assert [layer.shape for layer in mlp.layers] == [(64, 64), (32, 64), (10, 32)]
    sizes = NetworkSpec.model_validate({"name": "mlp", "hidden": [5], "activation": "tanh"})
    assert [layer.shape for layer in build(sizes, (4,), 3).layers] == [(5, 4), (3, 5)]
    assert [layer.shape for layer in build(NetworkSpec(name="mlp", hidden=()), (4,), 3).layers] == [(3, 4)]


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        (NetworkSpec, "lenet", "'lenet5' or 'cnn'"),
        (NetworkSpec, {}, "expected either a name"),
        (NetworkSpec, {"name": "mlp", "module": "a:b"}, "expected either a name"),
        (NetworkSpec, {"name": "lenet300", "hidden": [3]}, "hidden is for name: mlp alone"),
        (NetworkSpec, {"name": "mlp", "hidden": [0]}, "greater than or equal to 1"),
        (NetworkSpec, {"name": "mlp", "parameters": {"a": 1}}, "parameters are those of a module's factory"),
        (NetworkSpec, {"name": "mlp", "activation": "relo"}, "'relu'"),
        (NetworkSpec, {"module": "a:b", "activation": "relu"}, "a module chooses its own activations"),
        (NetworkSpec, {"name": "mlp", "hiden": [3]}, "hiden"),
        (TrainingSpec, {"optimizer": "adma"}, "'sgd', 'adam', 'adamw' or 'rmsprop'"),
        (TrainingSpec, {"learning_rate": 0}, "greater than 0"),
        (TrainingSpec, {"learning_rate": float("nan")}, "finite"),
        (TrainingSpec, {"momentum": 0.9}, "momentum and nesterov are of optimizer: sgd"),
        (TrainingSpec, {"optimizer": "sgd", "nesterov": True}, "nesterov needs a momentum"),
        (TrainingSpec, {"optimizer": "sgd", "momentum": 1.0}, "less than 1"),
        (TrainingSpec, {"batch": 0}, "greater than or equal to 1"),
        (TrainingSpec, {"dropout": 1.0}, "less than 1"),
        (TrainingSpec, {"weight_decay": -1}, "greater than or equal to 0"),
        (TrainingSpec, {"schedule": "cosin"}, "'cosine'"),
        (TrainingSpec, {"kernel": "sparse"}, "'auto', 'dense', 'packed' or 'csr'"),
        (TrainingSpec, {"precision": "float16"}, "'float32' or 'bfloat16'"),
        (TrainingSpec, {"precision": "bfloat16", "kernel": "packed"}, "of the dense kernel alone; got kernel packed"),
        (TrainingSpec, {"precision": "bfloat16", "kernel": "csr"}, "of the dense kernel alone; got kernel csr"),
        (ScheduleSpec, {"name": "step", "every": 3}, "with name: step"),
        (ScheduleSpec, {"name": "cosine", "factor": 0.5}, "only there"),
        (InitialisationSpec, {"weights": "he"}, "'he_normal'"),
    ],
)
def test_sections_refuse_what_they_cannot_mean(section: type, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        section.model_validate(value)


def test_the_learning_rate_is_that_of_the_optimizer_unless_given() -> None:
    assert TrainingSpec().learning_rate == 1.2e-3
    assert TrainingSpec(optimizer="sgd").learning_rate == 0.1
    assert TrainingSpec(optimizer="sgd", learning_rate=0.5).learning_rate == 0.5
    resolved = TrainingSpec(optimizer="sgd", schedule="cosine").model_dump(mode="json")
    assert TrainingSpec.model_validate(resolved).model_dump(mode="json") == resolved


def test_a_users_factory_is_found_beside_the_campaign_file(plugin: Path) -> None:
    spec = NetworkSpec(module=f"{plugin.name}:good", parameters={"width": 7})
    network = build(spec, (5,), 3, plugin.parent)
    assert [layer.shape for layer in network.layers] == [(7, 5), (3, 7)]
    assert network.unmasked == {"0.bias": (7,), "2.bias": (3,)}
    assert network.module()(torch.zeros(2, 5)).shape == (2, 3)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("goood", "did you mean 'good'"),
        ("no_arguments", "it is called factory"),
        ("no_module", "returns a torch.nn.Module, got int"),
        ("bare", "must stand in an nn.Sequential"),
        ("wrong_classes", r"\(batch, classes\) = \(2, 3\).*got \(2, 4\); end the module"),
        ("wrong_input", r"fails on a batch of shape \(2, 5\)"),
        ("nothing_to_mask", "at least one trained linear or convolutional layer"),
        ("lazy", "is lazy"),
        ("double", r"call .float\(\)"),
        ("TwoOutputs", "got tuple"),
        ("constant", "expected a callable"),
    ],
)
def test_a_users_factory_that_cannot_be_used_is_refused(plugin: Path, factory: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        build(NetworkSpec(module=f"{plugin.name}:{factory}"), (5,), 3, plugin.parent)


def test_an_unknown_parameter_of_a_factory_is_refused(plugin: Path) -> None:
    with pytest.raises(PluginError, match="unexpected keyword argument 'widht'"):
        build(NetworkSpec(module=f"{plugin.name}:good", parameters={"widht": 7}), (5,), 3, plugin.parent)


@pytest.mark.parametrize("shape", [(64,), (8, 8), (1, 15, 28)])
def test_lenet5_refuses_what_is_no_image_or_too_small(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match="at least 16x16 pixels.*use an mlp"):
        build(NetworkSpec(name="lenet5"), shape, 10)
