"""Published methods of sparse training, beside evolution on the same data, budgets and tables.

The package can be called: ``evosparse.sparsify(network, data, "rigl", sparsity=0.98)``, see `api.sparsify`.
"""

import sys
from types import ModuleType

from evosparse.sparsify.api import SparseNetwork, sparsify
from evosparse.sparsify.base import METHODS, Sparsifier, method
from evosparse.sparsify.cohort import Cohort, Replicate, Sparsified
from evosparse.sparsify.dynamic import Dynamic
from evosparse.sparsify.methods import *  # noqa: F403
from evosparse.sparsify.methods import __all__ as _methods
from evosparse.sparsify.problem import SparsifyProblem as Problem
from evosparse.sparsify.problem import SparsifySpec
from evosparse.sparsify.pruning import Pruning

__all__ = [
    "METHODS", "Cohort", "Dynamic", "Problem", "Pruning", "Replicate", "SparseNetwork", "Sparsified", "Sparsifier", "SparsifySpec",
    "method", "sparsify", *_methods,
]  # fmt: skip


class _Callable(ModuleType):
    """The package as the function that it is named after."""

    __call__ = staticmethod(sparsify)


sys.modules[__name__].__class__ = _Callable
