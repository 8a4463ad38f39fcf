"""The data of the three planted tasks: drawn from a key, split into train, validation and test, with noise on the targets.

Fischer and Burkholz, "Plant 'n' Seek", ICLR 2022, arXiv 2111.11153, and their code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.sparsify.planted.targets import SHAPES, Task, check_task, circle_scores, helix


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs with their targets.

    Args:
        x: (n, n_in) float32 array.
        y: (n,) int64 array of classes for Circle, (n, n_out) float32 array for the others.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class PlantedData:
    """The data of one task.

    Args:
        task: which.
        train: what weights are fitted to.
        validation: what candidates are compared on; None where none was asked for.
        test: what is looked at once, at the end.
        test_clean: the targets of the test part without noise.
    """

    task: Task
    train: Samples
    validation: Samples | None
    test: Samples
    test_clean: NDArray[np.int64] | NDArray[np.float32]


def draw_data(
    task: Task, key: SeedKey, samples: int = 10_000, noise: float = 0.01, validation: float = 0.1
) -> PlantedData:
    """Draw inputs uniformly from -1 to 1, and their noisy targets; 90 % of them train, the others test.

    The inputs do not depend on the noise, nor train and test on the validation share.

    Args:
        task: ``circle`` (classes), ``relu`` or ``helix`` (regression).
        key: source of randomness.
        samples: their number, at least 20.
        noise: Circle: probability that a label moves to the second most likely class; others: standard deviation of the
            Gaussian noise of each output.
        validation: share of the training part that becomes the validation part, from 0 to below 1. The source has none
            (0): it compares on the test part.

    Raises:
        SpecError: there is no such task, or a number is out of range.

    Deviation from the source: samples are not permuted before the split, for they are drawn independently.
    """
    check_task(task)
    if samples < 20 or noise < 0 or not 0 <= validation < 1 or (task == "circle" and noise > 1):
        raise SpecError(
            f"expected at least 20 samples, noise from 0 (Circle: to 1) and a validation share from 0 to below 1;"
            f" got {samples}, {noise} and {validation}"
        )
    x = key.child("inputs").rng().uniform(-1, 1, (samples, SHAPES[task][0])).astype(np.float32)
    clean, noisy = _targets(task, x.astype(np.float64), noise, key.child("noise").rng())
    train = round(0.9 * samples)
    fitted = max(1, train - round(validation * train))
    return PlantedData(
        task,
        Samples(x[:fitted], noisy[:fitted]),
        Samples(x[fitted:train], noisy[fitted:train]) if fitted < train else None,
        Samples(x[train:], noisy[train:]),
        clean[train:],
    )


def _targets(
    task: Task, x: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets without and with noise."""
    if task == "circle":
        order = np.argsort(circle_scores((x**2).sum(axis=1)), axis=1)
        return order[:, -1], np.where(rng.random(len(x)) < noise, order[:, -2], order[:, -1])
    clean = np.maximum(x, 0) if task == "relu" else helix(x[:, 0])
    return clean.astype(np.float32), (clean + rng.normal(0, noise, clean.shape)).astype(np.float32)
