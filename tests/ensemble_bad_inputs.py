"""What a user can get wrong in a campaign over classifier ensembles: members, methods, files of votes, plug-ins.

A file beside `bad_inputs`, which has the other kinds and says what a case is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from bad_inputs import Case, file

ENSEMBLES = """
name: votes
kind: ensembles
data: wine
pool: {members: [tree, naive_bayes, knn], cache: false}
search: {method: umda, population: 8, generations: 2}
evaluation: {workers: 0}
examination: {seeds: 1, baselines: [best_single]}
"""
RECORDED = """
name: recorded
kind: ensembles
pool: {predictions: votes.npz}
search: {method: umda, population: 8, generations: 2}
evaluation: {workers: 0}
"""
LEARNER = "from sklearn.tree import DecisionTreeClassifier\n\n\ndef make(depth=3):\n    return {}\n"


def recorded_votes(members: int = 4, probabilities: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a file of votes of members that are mostly right, on three classes."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("val", 30), ("test", 20)):
        y = rng.integers(3, size=count)
        shares = rng.random((count, members, 3), dtype=np.float32)
        shares[np.arange(count), :, y] += np.linspace(0.2, 0.6, members, dtype=np.float32)
        arrays |= {f"{part}_y": y, f"{part}_pred": shares.argmax(axis=2)}
        if probabilities:
            arrays[f"{part}_proba"] = shares / shares.sum(axis=2, keepdims=True)
    return arrays


def votes(name: str, text: str, *told: str) -> Case:
    """An override that is wrong, on a campaign file that is right."""
    return Case(name, ("run", "votes.yaml", "--set", text), told, file("votes.yaml", ENSEMBLES))


def recorded(name: str, change: Callable[[dict[str, np.ndarray]], object], *told: str, text: str = "seed=0") -> Case:
    """A file of votes that is wrong, or wrongly used."""

    def prepare() -> None:
        arrays = recorded_votes()
        change(arrays)
        Path("recorded.yaml").write_text(RECORDED)
        np.savez("votes.npz", **arrays)

    return Case(name, ("run", "recorded.yaml", "--set", text), told, prepare)


def learner(name: str, stem: str, source: str, *told: str, more: str = "") -> Case:
    """A learner of a user's own that is wrong."""
    words = ("run", "votes.yaml", "--set", f"pool.members=[tree, {{learner: '{stem}.py:make'{more}}}]")

    def prepare() -> None:
        Path("votes.yaml").write_text(ENSEMBLES)
        Path(f"{stem}.py").write_text(source)

    return Case(name, words, told, prepare)


def unchanged(arrays: dict[str, np.ndarray]) -> None:
    """The file of votes is right."""


POOLS = [
    votes("an unknown learner", "pool.members=[treee]", "pool.members", "'treee'", "did you mean 'tree'?"),
    votes("an unknown setting", "pool.members=[{learner: tree, settings: {max_dept: 3}}]", "tree has no setting",
          "'max_dept'", "did you mean 'max_depth'?"),
    votes("an unknown key of a member", "pool.members=[{learner: tree, copy: 3}]", "copy: unknown key", "'copies'"),
    votes("an unknown set of members", "pool.members=heterro", "pool.members", "did you mean 'hetero'?"),
    votes("no member", "pool.members=[]", "pool.members", "at least one member"),
    votes("a member twice", "pool.members=[tree, knn, tree]", "two members are called 'tree'", "another name"),
    votes("no copy", "pool.members=[{learner: tree, copies: 0}]", "copies", ">= 1", "got 0"),
    votes("more features than there are", "pool.members=[{learner: tree, features: 1.5}]", "features", "<= 1", "1.5"),
    votes("a fitted tree of nobody", "pool.members=[{learner: tree, fitted: true}]", "fitted", "a function of your own"),
    votes("judged on the test examples", "pool.judged_on=test", "pool.judged_on", "out_of_fold", "'test'"),
    votes("one fold", "pool.folds=1", "pool.folds", ">= 2", "got 1"),
    learner("no such learner", "learner_name", "made = 1\n", "has no 'make'", "did you mean 'made'?"),
    learner("a learner that is a number", "learner_number", "make = 3\n", "pool.members", "a function that returns"),
    learner("a learner that makes a number", "learner_three", LEARNER.format("3"), "scikit-learn classifier", "got int"),
    learner("a learner that makes a type", "learner_type", LEARNER.format("DecisionTreeClassifier"), "got ABCMeta"),
    learner("a learner that learns numbers", "learner_regressor",
            LEARNER.replace("Classifier", "Regressor").format("DecisionTreeRegressor()"), "got DecisionTreeRegressor"),
    learner("a learner that fails", "learner_fails", LEARNER.format("1 / 0"), "cannot be made", "ZeroDivisionError"),
    learner("a setting that a learner does not take", "learner_setting", LEARNER.format("DecisionTreeClassifier()"),
            "cannot be made", "'dept'", more=", settings: {dept: 2}"),
]  # fmt: skip
SEARCHES = [
    votes("an unknown approach", "approach=hetero-seeded-acc-umdaa", "approach", "24 names",
          "did you mean 'hetero-seeded-acc-umda'?"),
    votes("a numbered approach", "approach=3", "approach", "got 3"),
    votes("an unknown method over ensembles", "search.method=umdaa", "search.method", "did you mean 'umda'?"),
    votes("one objective of two", "search={method: nsga2}", "nsga2 needs at least two objectives", "accuracy_size"),
    votes("two objectives of one", "fitness=accuracy_size", "expected one objective", "umda", "use nsga2"),
    votes("a loss of votes", "fitness=log_loss", "fitness.aim: log_loss needs vote.rule: soft", "weighted"),
    votes("an unknown aim", "fitness=accurracy", "fitness", "did you mean 'accuracy'?"),
    votes("an unknown diversity", "fitness={aim: accuracy_diversity, diversity: qq}", "fitness.diversity", "'qq'"),
    votes("more weight than there is", "fitness={aim: accuracy_diversity, weight: 2}", "fitness.weight", "<= 1"),
    votes("parameters of no fitness", "fitness.parameters={share: 1}", "fitness", "none is named"),
    votes("bounds the wrong way round", "search.bounds=[0.9, 0.1]", "search.bounds", "low < high"),
    votes("bounds beyond 1", "search={method: pbil, bounds: [0.1, 1.5]}", "search.bounds", "high <= 1"),
    votes("all are the best", "search.truncation=1.0", "search.truncation", "< 1"),
    votes("nobody but elites", "search={method: ga, population: 4, elites: 4}", "elites (4)", "fewer", "population (4)"),
    votes("crowds of three", "search={method: nsga2, population: 6}", "search.population", "multiple of 4"),
    votes("a beginning nowhere", "initialisation=greedily", "initialisation", "did you mean 'greedy'?"),
    votes("low above high", "initialisation={by: accuracy, low: 0.8}", "initialisation", "low (0.8)", "high (0.75)"),
    votes("an unknown rule", "vote=majorty", "vote", "did you mean 'majority'?"),
    votes("ties of weights", "vote={rule: weighted, ties: accuracy_weighted}", "vote", "ties", "remove it"),
    votes("an unknown way to use a pool", "examination.baselines=[alll]", "examination.baselines[0]", "'all'"),
    votes("no random subset", "examination.seeds=0", "examination.seeds", ">= 1"),
]  # fmt: skip
FILES = [
    recorded("data beside votes", unchanged, "data", "pool.predictions", "remove one", text="data=wine"),
    recorded("no file of votes", unchanged, "no file nowhere.npz", "mend the path", text="pool.predictions=nowhere.npz"),
    recorded("a name of votes without a folder", unchanged, "EVOSPARSE_DATA", text="pool.predictions=somewhere"),
    recorded("a file of votes that is text", unchanged, "recorded.yaml", "not a readable .npz",
             text="pool.predictions=recorded.yaml"),
    recorded("votes without classes", lambda arrays: arrays.pop("test_y"), "the key test_y", "prefix"),
    recorded("an unknown prefix", unchanged, "the key run_val_pred", "got val_y",
             text="pool.predictions={file: votes.npz, prefix: run_}"),
    recorded("a member beyond the pool", unchanged, "from 0 to 3", "got 4",
             text="pool.predictions={file: votes.npz, members: [1, 4]}"),
    recorded("members the wrong way round", unchanged, "pool.predictions.members", "the first and the last",
             text="pool.predictions={file: votes.npz, members: [2, 1]}"),
    recorded("votes that are no numbers", lambda arrays: arrays.update(val_pred=arrays["val_pred"] / 2), "val_pred",
             "whole numbers", "float64"),
    recorded("votes of one", lambda arrays: arrays.update(val_pred=arrays["val_pred"][:, 0]), "val_pred", "members"),
    recorded("no vote", lambda arrays: arrays.update(val_pred=arrays["val_pred"][:, :0]), "val_pred", "(30, 0)"),
    recorded("votes for class -1", lambda arrays: arrays.update(val_pred=arrays["val_pred"] - 1), "val_pred", "-1 to"),
    recorded("votes for too many classes", lambda arrays: arrays.update(val_y=arrays["val_y"] + 10**9), "val_y", "32767"),
    recorded("classes in columns", lambda arrays: arrays.update(val_y=arrays["val_y"][:, None]), "val_y", "(30, 1)"),
    recorded("other members in the test", lambda arrays: arrays.update(test_pred=arrays["test_pred"][:, :3]),
             "test_pred", "(20, 4)", "(20, 3)"),
    recorded("more examples than classes", lambda arrays: arrays.update(val_y=arrays["val_y"][1:]), "val_pred", "(29, 4)"),
    recorded("too few names", lambda arrays: arrays.update(names=np.array(["a", "b"])), "names", "(4,)", "(2,)"),
    recorded("a name twice", lambda arrays: arrays.update(names=np.array([*"aabc"])), "names", "one twice"),
    recorded("too few class names", lambda arrays: arrays.update(class_names=np.array([*"ab"])), "3 classes", "has 2"),
    recorded("probabilities of one part", lambda arrays: arrays.update(val_proba=np.ones((30, 4, 3)) / 3), "test_proba",
             "(20, 4, 3)", "nothing"),
    recorded("probabilities of a vote", lambda arrays: arrays.update(val_proba=np.ones(30)), "val_proba", "(30,)"),
    recorded("infinite probabilities", lambda arrays: arrays.update(
        val_proba=np.full((30, 4, 3), np.inf), test_proba=np.ones((20, 4, 3))), "val_proba", "finite numbers"),
    recorded("soft votes without probabilities", unchanged, "vote.rule: soft", "only votes", text="vote=soft"),
]  # fmt: skip
ENSEMBLE_CASES = [*POOLS, *SEARCHES, *FILES]
