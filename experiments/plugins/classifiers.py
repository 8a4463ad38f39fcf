"""Learners and a fitness of one's own for ensembles: a member that a pool does not have, and what an ensemble is judged by.

A learner is any function that returns a scikit-learn classifier; it is called with the ``settings`` of the campaign file, and
each ``random_state`` in it is set from the pool's seed. The fitness is called with an `Ensemble`; ``data`` is the `Bench`
with the votes on the examples that drive the search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from evosparse import Invalid, fitness
from evosparse.ensembles import Bench, Ensemble


class NearestMedian(ClassifierMixin, BaseEstimator):
    """Decides for the class whose median is nearest, by the sum of absolute differences."""

    def fit(self, x: NDArray, y: NDArray) -> NearestMedian:
        """Find the median of each class."""
        self.classes_ = np.unique(y)
        self.medians_ = np.stack([np.median(x[y == label], axis=0) for label in self.classes_])
        return self

    def predict(self, x: NDArray) -> NDArray:
        """Return the (n,) classes."""
        check_is_fitted(self)
        distances = np.abs(x[:, None] - self.medians_).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


def nearest_median() -> NearestMedian:
    """Make the classifier; one without probabilities gives all of them to the class that it votes for."""
    return NearestMedian()


def few_directions(components: int = 10) -> BaseEstimator:
    """Make a linear discriminant analysis of the first principal components.

    Args:
        components: how many.
    """
    return make_pipeline(PCA(components), LinearDiscriminantAnalysis())


@fitness(maximize="worst_class")
def worst_class(ensemble: Ensemble, data: Bench, most: int = 15) -> dict[str, float] | Invalid:
    """Share of the examples that are decided rightly, of the class that the ensemble knows least.

    Args:
        ensemble: which members vote.
        data: the votes of all members.
        most: members that an ensemble may have.
    """
    if not 0 < ensemble.size <= most:
        return Invalid(f"expected 1 to {most} members, got {ensemble.size}")
    tally = data.tally(ensemble.chosen[None])
    there = tally.examples_of_class > 0
    recalls = tally.hits[0, there] / tally.examples_of_class[there]
    return {"worst_class": float(recalls.min()), "accuracy": float(tally.accuracy[0]), "size": float(ensemble.size)}
