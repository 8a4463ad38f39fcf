"""The published votes of 70 classifiers: majorities to the last hit, baselines and diversity to the printed digits.

Targets EN1 to EN3, on the predictions of Ferreira Jr. et al., "Creating Classifier Ensembles through Meta-heuristic
Algorithms for Aerial Scene Classification" (2020); they need classifier_predictions.npz in the folder that
EVOSPARSE_DATA names.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from evosparse.ensembles import Chamber, Diversity, PredictionsSpec, Votes, VoteSpec, greedy_selection
from evosparse.ensembles.diversity import PairCounts
from evosparse.ensembles.recorded import RecordedPool

FILE = Path(os.environ.get("EVOSPARSE_DATA", "")).expanduser() / "classifier_predictions.npz"
pytestmark = pytest.mark.skipif(
    "EVOSPARSE_DATA" not in os.environ or not FILE.is_file(),
    reason="EVOSPARSE_DATA names no folder with the published votes",
)
GROUPS = {"global": (0, 34), "cnn": (35, 69), "all": (0, 69)}
# Hits of the majority by fold, on the test examples and on the validation examples.
MAJORITY = {
    ("whu_rs19", "global"): ((160, 156, 147, 149, 146), (152, 150, 158, 155, 146)),
    ("whu_rs19", "cnn"): ((189, 196, 189, 187, 186), (187, 190, 195, 188, 187)),
    ("whu_rs19", "all"): ((186, 194, 189, 186, 184), (185, 186, 194, 188, 189)),
    ("rsscn7", "global"): ((459, 465, 447, 465, 453), (449, 453, 460, 440, 463)),
    ("rsscn7", "cnn"): ((505, 509, 496, 501, 494), (496, 508, 515, 500, 499)),
    ("rsscn7", "all"): ((500, 510, 494, 506, 503), (500, 510, 514, 505, 512)),
    ("ucmerced", "global"): ((335, 328, 332, 329, 332), (344, 333, 321, 330, 332)),
    ("ucmerced", "cnn"): ((396, 384, 388, 398, 397), (398, 396, 385, 383, 399)),
    ("ucmerced", "all"): ((398, 381, 380, 392, 394), (392, 399, 381, 385, 398)),
}
# Mean test accuracies in percent: the majority, the best single classifier on validation, greedy selection, the oracle.
BASELINES = {
    ("whu_rs19", "global"): ("75.4202", "66.77", "77.11", "98.6"),
    ("whu_rs19", "cnn"): ("94.2253", "97.61", "97.01", "99.9"),
    ("whu_rs19", "all"): ("93.4298", "97.61", "95.13", "100.0"),
    ("rsscn7", "global"): ("81.7500", "69.50", "81.71", "99.7"),
    ("rsscn7", "cnn"): ("89.4643", "90.96", "90.93", "99.8"),
    ("rsscn7", "all"): ("89.7500", "90.96", "91.64", "100.0"),
    ("ucmerced", "global"): ("78.8571", "65.14", "79.33", "98.7"),
    ("ucmerced", "cnn"): ("93.4762", "95.24", "94.62", "99.9"),
    ("ucmerced", "all"): ("92.6190", "95.24", "95.14", "100.0"),
}
DIVERSITY = {
    "whu_rs19": {"disagreement": 0.4082, "double_fault": 0.2046, "q": 0.3950, "correlation": 0.1814, "kappa": 0.1628},
    "rsscn7": {"disagreement": 0.3805, "double_fault": 0.1653, "q": 0.3900, "correlation": 0.1864, "kappa": 0.1757},
    "ucmerced": {"disagreement": 0.3872, "double_fault": 0.2005, "q": 0.4878, "correlation": 0.2218, "kappa": 0.1979},
}
PAIRS = {"whu_rs19": (137, 56, 2, 6), "rsscn7": (364, 153, 17, 26), "ucmerced": (274, 132, 4, 10)}
CELLS = pytest.mark.parametrize(("data", "group"), MAJORITY)


@cache
def parts(data: str, group: str, fold: int) -> tuple[Votes, Votes]:
    """Return the votes on the validation and on the test examples of a fold."""
    spec = PredictionsSpec(file=str(FILE), prefix=f"{data}_fold{fold}_", members=GROUPS[group])
    polls = RecordedPool(spec).polls(None)
    return polls.selection, polls.test


@CELLS
def test_en1_majorities_are_the_published_ones_to_the_last_hit(data: str, group: str) -> None:
    found = []
    for fold in range(1, 6):
        both = parts(data, group, fold)
        everybody = np.ones((1, both[0].members), dtype=bool)
        found.append([int(Chamber.of(votes, VoteSpec()).tally(everybody).hits.sum()) for votes in both])
    validation, test = zip(*found, strict=True)
    assert (test, validation) == MAJORITY[data, group]


@CELLS
def test_en2_baselines_are_the_measured_ones_to_the_printed_digits(data: str, group: str) -> None:
    rows = []
    for fold in range(1, 6):
        validation, test = parts(data, group, fold)
        taken = greedy_selection(validation)
        best = int(validation.accuracies.argmax())
        if group != "global":
            assert best == 48 - GROUPS[group][0]
        counts = np.zeros((len(test.y), test.classes))
        for member, times in enumerate(taken):
            counts[np.arange(len(test.y)), test.labels[:, member]] += times
        everybody = np.ones((1, test.members), dtype=bool)
        majority = Chamber.of(test, VoteSpec()).tally(everybody).accuracy[0]
        greedy = (counts.argmax(axis=1) == test.y).mean()
        rows.append([majority, test.accuracies[best], greedy, test.right.any(axis=1).mean()])
    found = 100 * np.mean(rows, axis=0)
    for value, printed in zip(found, BASELINES[data, group], strict=True):
        assert f"{value:.{len(printed.partition('.')[2])}f}" == printed


@pytest.mark.parametrize("data", DIVERSITY)
def test_en3_diversity_is_the_measured_one_on_the_first_fold(data: str) -> None:
    right = parts(data, "all", 1)[0].right
    everybody = np.ones((1, 70), dtype=bool)
    for name, expected in DIVERSITY[data].items():
        assert Diversity(name, right).of(everybody)[0] == pytest.approx(expected, abs=1e-4)
    counts = PairCounts.of(right)
    assert (
        tuple(int(part[13, 48]) for part in (counts.both, counts.second, counts.first, counts.neither)) == PAIRS[data]
    )
