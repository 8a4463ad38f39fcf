"""A network's result is the same alone and beside others, bit for bit, by every registered method."""

from __future__ import annotations

import pytest
from sparsify_registry import EVERY_METHOD, OPTIMIZERS, bits, cohort, quick, sparsified

from evosparse.nets import multilayer_perceptron


@EVERY_METHOD
@pytest.mark.parametrize("kernel", ["dense", "packed"])
def test_a_network_is_the_same_alone_and_beside_others(name: str, kernel: str) -> None:
    beside = sparsified(quick(name), cohort((4, 0, 2), kernel=kernel, **OPTIMIZERS["momentum"]))
    for place, number in enumerate((4, 0, 2)):
        [alone] = sparsified(quick(name), cohort((number,), kernel=kernel, **OPTIMIZERS["momentum"]))
        assert bits(alone) == bits(beside[place])


@EVERY_METHOD
def test_neighbours_do_not_choose_the_kernel(name: str) -> None:
    """Near the density at which `auto` changes, where networks of one budget have other counts in their layers."""
    network = multilayer_perceptron((13,), 3, (64, 32))
    size = sum(layer.size for layer in network.layers)
    # The dense kernel's padded widths are 32, 64, 32, 32: at 40 % of their products auto changes to packed.
    threshold = 0.4 * (32 * 64 + 64 * 32 + 32 * 32) / size
    for sparsity in (1 - threshold + 0.002, 1 - threshold - 0.002):
        numbers = range(4)
        together = cohort(numbers, sparsity, network=network, epochs=1)
        results = sparsified(quick(name), together)
        for number in numbers:
            alone = cohort((number,), sparsity, network=network, epochs=1)
            assert bits(sparsified(quick(name), alone)[0]) == bits(results[number])
            assert alone.population.kernel == together.population.kernel


@EVERY_METHOD
def test_another_number_or_seed_is_another_network(name: str) -> None:
    first, second = sparsified(quick(name), cohort((0, 1)))
    [other] = sparsified(quick(name), cohort((0,), seed=1))
    assert bits(first) != bits(second) and bits(first) != bits(other)
