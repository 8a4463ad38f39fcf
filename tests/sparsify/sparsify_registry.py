"""What the tests of the whole registry share: a small network, small data, a cohort in the hands of any method, and a spy.

Nothing here names a method: whatever is registered is tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from evosparse.data import SearchData, Train, Validation
from evosparse.nets import Connections, InitialisationSpec, Network, Population, TrainingSpec, multilayer_perceptron
from evosparse.nets.kernel import padded
from evosparse.nets.stack import PackedStack
from evosparse.sparsify import METHODS, Cohort, Dynamic, Replicate, Sparsified, Sparsifier

EVERY_METHOD = pytest.mark.parametrize("name", METHODS)
# Those that exchange connections as their family does; others say for themselves what an update of their masks is.
EXCHANGING = [
    name
    for name, kind in METHODS.items()
    if issubclass(kind, Dynamic) and kind.update is Dynamic.update and kind().fraction
]
OPTIMIZERS = {
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {
        "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01,
    },
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.01},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.001, "momentum": 0.5, "weight_decay": 0.01},
}  # fmt: skip
SPARSITY = 0.8
EPOCHS = 3
NETWORK = multilayer_perceptron((13,), 3, (11, 7))
SIZE = sum(layer.size for layer in NETWORK.layers)


def examples(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy prototypes of three classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=count)
    prototypes = np.random.default_rng(9).random((3, 13))
    return (prototypes[y] + 0.5 * rng.standard_normal((count, 13))).astype(np.float32), y


# Of odd sizes: the last minibatch of an epoch is smaller than the others.
DATA = SearchData(Train(*examples(53, 1)), Validation(*examples(23, 2)), 3, (13,))


def quick(name: str, **parameters: object) -> Sparsifier:
    """Return a method of the registry; one that exchanges connections every so many steps does so within a short training."""
    kind = METHODS[name]
    if issubclass(kind, Dynamic) and kind().every is not None:
        parameters = {"every": 2, **parameters}
    return kind(**parameters)


def cohort(
    numbers: Sequence[int] = (0, 1, 2),
    sparsity: float = SPARSITY,
    kernel: str = "auto",
    data: object = DATA,
    network: Network = NETWORK,
    epochs: int = EPOCHS,
    kind: type[Cohort] = Cohort,
    seed: int = 0,
    **training: object,
) -> Cohort:
    """Return networks that no method has had in its hands yet."""
    return kind(
        network,
        data.train,
        data.validation,
        [Replicate(number, sparsity, seed) for number in numbers],
        TrainingSpec(**{"batch": 16, "kernel": kernel} | training),
        InitialisationSpec(mask_aware=False),
        epochs,
        "cpu",
    )


def sparsified(method: Sparsifier, made: Cohort) -> list[Sparsified]:
    """Let a method train a cohort."""
    method.sparsify(made)
    return made.results()


def bits(result: Sparsified) -> list[object]:
    """Return everything that a network came to."""
    arrays = [*result.connections, *result.state.values(), *result.selected.values()]
    return [*(np.ascontiguousarray(array).tobytes() for array in arrays), dict(result.measures)]


def off_mask(population: Population) -> Iterator[torch.Tensor]:
    """Yield all that values and an optimizer's moments hold where no weight exists, padding included.

    Raises:
        AssertionError: a packed layer has room for more than its weights and what rounds them up.
    """
    for index, stack in enumerate(population._layers):
        masks = [mask_of(population.network, population.connections(number), index) for number in range(len(population))]
        moments = [
            value for value in population._optimizer.state[stack.values].values() if value.shape == stack.values.shape
        ]
        if isinstance(stack, PackedStack):
            spans = [stack._pattern.span(number) for number in range(len(population))]
            held = [span.stop - span.start for span in spans]
            assert held == [int(mask.sum()) for mask in masks]
            outside = torch.ones(stack.values.shape, dtype=torch.bool)
            for span in spans:
                outside[span] = False
            assert int(outside.sum()) == sum(padded(own) - own for own in held)
        else:
            outside = torch.ones(stack.values.shape, dtype=torch.bool)
            stack.window(outside)[torch.from_numpy(np.stack(masks))] = False
        for tensor in (stack.values.detach(), *moments):
            # As integers, so that NaN and negative zero count as something.
            yield tensor[outside].view(torch.int32)


def mask_of(network: Network, connections: Connections, index: int) -> np.ndarray:
    """Return a layer's mask in its shape."""
    layer, own = network.layers[index], connections[index]
    mask = np.zeros(layer.size, bool)
    mask[slice(None) if own is None else own] = True
    return mask.reshape(layer.shape)


@dataclass
class Exchange:
    """What stood in one layer of one network before and after its connections were exchanged.

    Args:
        key: number of the exchange, of the network and of the layer.
        size: weights of the dense layer.
        before, after: flat indices of existing weights.
        fresh: those that were said to begin anew.
        declared: their values, as said.
        values, values_after: of the weights before and after.
        moments, moments_after: the optimizer's tensors of them.
    """

    key: tuple[int, int, int]
    size: int
    before: np.ndarray
    after: np.ndarray
    fresh: np.ndarray
    declared: np.ndarray
    values: np.ndarray
    values_after: np.ndarray
    moments: list[np.ndarray]
    moments_after: list[np.ndarray]


@dataclass
class Spy:
    """What a population was seen to do.

    Attributes:
        looks: how often it was looked at for values where no weight exists.
        rewired: how often connections were exchanged.
        exchanges: one for each network and layer of each exchange.
    """

    looks: int = 0
    rewired: int = 0
    exchanges: list[Exchange] = field(default_factory=list)


@contextmanager
def spied() -> Iterator[Spy]:
    """Look at every population before and after each epoch and each evaluation, and at every exchange of connections."""
    spy = Spy()
    train, evaluate, rewire = Population._train_epoch, Population.evaluate, Population.rewire

    def look(population: Population) -> None:
        spy.looks += 1
        for values in off_mask(population):
            assert not values.any()

    def watched_train(population: Population, *arguments: object) -> None:
        look(population)
        train(population, *arguments)
        look(population)

    def watched_evaluate(population: Population, *arguments: object) -> object:
        look(population)
        result = evaluate(population, *arguments)
        look(population)
        return result

    def watched_rewire(population: Population, connections: object, grown: object) -> None:
        before = _held(population)
        rewire(population, connections, grown)
        look(population)
        for key, (indices, values, moments) in _held(population).items():
            number, layer = key
            fresh, declared = grown[number][layer]
            old, old_values, old_moments = before[key]
            spy.exchanges.append(
                Exchange(
                    (spy.rewired, number, layer), population.network.layers[layer].size,
                    old, indices, fresh, declared, old_values, values, old_moments, moments,
                )  # fmt: skip
            )
        spy.rewired += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Population, "_train_epoch", watched_train)
        patch.setattr(Population, "evaluate", watched_evaluate)
        patch.setattr(Population, "rewire", watched_rewire)
        yield spy


def _held(population: Population) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
    held = {}
    for layer, stack in enumerate(population._layers):
        state = population._optimizer.state[stack.values]
        moments = [value for value in state.values() if value.shape == stack.values.shape]
        for number in range(len(population)):
            indices = np.asarray(population.connections(number)[layer])
            tensors = [stack.read(tensor, number) for tensor in (stack.values, *moments)]
            held[number, layer] = (indices, tensors[0], tensors[1:])
    return held
