"""What private training is made of: per-sample gradients, carriers, supports, noise, sampling, accounting.

None of it knows a method; `methods.lsg` puts it together.
"""

from evosparse.sparsify.private.accountant import accountant_is_there, epsilon_of, noise_multiplier_for
from evosparse.sparsify.private.carriers import Carriers, carriers
from evosparse.sparsify.private.gradients import Parts, PerSampleGradients, expect_separable
from evosparse.sparsify.private.mechanism import clipped_sum, noisy_mean
from evosparse.sparsify.private.outer import Outer, PerSample, Whole
from evosparse.sparsify.private.sampling import Sampling
from evosparse.sparsify.private.support import Support, previous_support, random_support

__all__ = [
    "Carriers", "Outer", "Parts", "PerSample", "PerSampleGradients", "Sampling", "Support", "Whole",
    "accountant_is_there", "carriers", "clipped_sum", "epsilon_of", "expect_separable", "noise_multiplier_for",
    "noisy_mean", "previous_support", "random_support",
]  # fmt: skip
