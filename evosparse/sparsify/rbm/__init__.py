"""Restricted Boltzmann machines whose connectivity is learnt by its gradient (NCG), beside random and dense ones.

    machine = RBM(784, RBMSpec(connectivity="ncg"), classes=10, key=SeedKey(0))
    machine.fit(binarise(x, SeedKey(1)), labels, epochs=8).classify(x_test)
    machine.save("machine.safetensors")
"""

from evosparse.sparsify.rbm.connectivity import CONNECTIVITIES, NCG, Connections, Connectivity, Dense, Random, connectivity
from evosparse.sparsify.rbm.data import bars_and_stripes, binarise, least_nll_of_bars_and_stripes
from evosparse.sparsify.rbm.divergence import Gradient, contrastive_divergence
from evosparse.sparsify.rbm.likelihood import (
    AnnealingEstimate, AnnealingSpec, annealed_log_partition, average_nll, log_partition,
)  # fmt: skip
from evosparse.sparsify.rbm.machine import RBM
from evosparse.sparsify.rbm.parameters import Parameters
from evosparse.sparsify.rbm.pictures import save_grid
from evosparse.sparsify.rbm.spec import RBMSpec

__all__ = [
    "CONNECTIVITIES", "NCG", "RBM", "AnnealingEstimate", "AnnealingSpec", "Connections", "Connectivity", "Dense", "Gradient",
    "Parameters", "RBMSpec", "Random", "annealed_log_partition", "average_nll", "bars_and_stripes", "binarise", "connectivity",
    "contrastive_divergence", "least_nll_of_bars_and_stripes", "log_partition", "save_grid",
]  # fmt: skip
