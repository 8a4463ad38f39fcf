"""A user's own learners and fitness plug in from a campaign file; a learner that misbehaves costs itself alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from console import Evosparse
from ensemble_bad_inputs import ENSEMBLES

from evosparse.engine.candidate import Candidate
from evosparse.engine.store import Store
from evosparse.ensembles import Ensemble, load
from evosparse.ensembles.voting import BadExport

EXAMPLES = Path(__file__).resolve().parents[2] / "experiments" / "plugins"
TINY = (
    "data={name: digits, scale: none, limit: 300}", "pool.folds=2",
    "search.population=12", "search.generations=3", "examination={seeds: 1, baselines: [all]}",
)  # fmt: skip
MISBEHAVING = '''
import os
import time

import numpy as np
from sklearn.datasets import load_wine
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

NAMES = np.array(["class_0", "class_1", "class_2"])


class Raising(GaussianNB):
    def fit(self, x, y):
        raise RuntimeError("no such luck")


class Unsure(GaussianNB):
    def predict_proba(self, x):
        return np.full((len(x), 3), np.nan)


class Sleeping(GaussianNB):
    def fit(self, x, y):
        time.sleep(600)


class Leaving(GaussianNB):
    def fit(self, x, y):
        os._exit(3)


def raising():
    return Raising()


def unsure():
    return Unsure()


def sleeping():
    return Sleeping()


def leaving():
    return Leaving()


def by_name():
    x, y = load_wine(return_X_y=True)
    return DecisionTreeClassifier(max_depth=2, random_state=0).fit(x.astype(np.float32), NAMES[y])
'''


@pytest.fixture
def examples(forgetful: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples outside the project, and not in the current folder."""
    (forgetful / "here").mkdir()
    monkeypatch.chdir(forgetful / "here")
    return Path(shutil.copytree(EXAMPLES, forgetful / "elsewhere", ignore=shutil.ignore_patterns("__pycache__")))


def words(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def run(examples: Path, evosparse: Evosparse, out: Path, workers: int = 0) -> dict[str, object]:
    said = evosparse("run", examples / "ensembles.yaml", *words(*TINY), "--workers", workers, "--out", out, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def candidates(folder: Path) -> list[Candidate]:
    with Store.open(folder) as store:
        return list(store.candidates(decode=Ensemble.from_bytes))


def campaign(folder: Path, learners: str) -> Path:
    """A campaign file whose pool has a tree and learners of the user's own."""
    (folder / "misbehaving_learners.py").write_text(MISBEHAVING)
    file = folder / "campaign.yaml"
    changes = {
        "[tree, naive_bayes, knn]": f"[tree, {learners}]",
        "data: wine": "data: {name: wine, scale: none}",
        "baselines: [best_single]": "baselines: [all]",
    }
    text = ENSEMBLES
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return file


def test_learners_and_a_fitness_of_ones_own_run_on_a_worker_as_here(
    examples: Path, tmp_path: Path, evosparse: Evosparse
) -> None:
    for workers in (0, 1):
        found = run(examples, evosparse, tmp_path / f"run{workers}", workers)
        assert [arm["arm"] for arm in found["arms"]] == ["winner", "all classifiers"]
    assert evosparse("digest", tmp_path / "run0").out == evosparse("digest", tmp_path / "run1").out
    assert all(row["same"] for row in json.loads(evosparse("verify", tmp_path / "run0", "--json").out))
    seen = candidates(tmp_path / "run1")
    names = {name for one in seen for name, _ in one.genome.members}
    assert {"nearest_median", "few_directions components=5", "few_directions components=20"} <= names
    refused = [one for one in seen if not one.ok]
    assert refused and all("expected 1 to 9 members" in one.outcome.message for one in refused)
    assert all(1 <= one.genome.size <= 9 and set(one.outcome.measures) == {"worst_class", "accuracy", "size"}
               for one in seen if one.ok)  # fmt: skip


def test_an_exported_classifier_of_ones_own_is_read_by_who_trusts_it(
    examples: Path, tmp_path: Path, evosparse: Evosparse
) -> None:
    run(examples, evosparse, tmp_path / "run")
    seen = candidates(tmp_path / "run")
    with_own = next(one for one in seen if one.ok and "nearest_median" in dict(one.genome.members))
    file = tmp_path / "own.skops"
    assert evosparse("export", tmp_path / "run", with_own.uid, "-o", file).code == 0
    with pytest.raises(BadExport, match="holds the type classifiers.NearestMedian"):
        load(file)
    assert load(file, trusted=["classifiers.NearestMedian"]).names == [name for name, _ in with_own.genome.members]


def test_the_example_passes_check_fitness(examples: Path, evosparse: Evosparse) -> None:
    said = evosparse("check-fitness", examples / "ensembles.yaml", *words(*TINY), "--workers", 0)
    assert said.code == 0, said.err
    assert "worst_class (max)" in said.out and said.out.endswith("ok\n")


def test_a_learner_that_misbehaves_on_a_worker_costs_itself_alone_and_is_told_of(
    forgetful: Path, evosparse: Evosparse
) -> None:
    bad = ("raising", "unsure", "sleeping", "leaving")
    own = ", ".join(f"{{learner: 'misbehaving_learners.py:{name}'}}" for name in bad)
    file = campaign(forgetful, f"{own}, {{learner: 'misbehaving_learners.py:by_name', fitted: true}}")
    policy = words("evaluation.timeout=4", "evaluation.retries=0")
    said = evosparse("run", file, *policy, "--workers", 2, "--out", forgetful / "run", "--json", "--quiet")
    assert said.code == 0, said.err
    arms = {arm["arm"]: arm for arm in json.loads(said.out)["arms"]}
    told = {
        "left out: raising": "left out: failed: RuntimeError: no such luck",
        "left out: unsure": "left out: failed: ValueError: predict_proba returned NaN or infinity",
        "left out: sleeping": "left out: timeout: did not return within 4 s",
        "left out: leaving": "left out: crashed: its process died",
    }
    assert list(arms) == ["winner", "all classifiers", *told] and arms["all classifiers"]["description"] == "vote of 2"
    for arm, reason in told.items():
        assert arms[arm]["description"].startswith(reason) and arms[arm]["failed"] == 1 and not arms[arm]["measures"]
    assert {name for one in candidates(forgetful / "run") for name, _ in one.genome.members} == {"tree", "by_name"}
    accuracies = {name: accuracy for one in candidates(forgetful / "run") for name, accuracy in one.genome.members}
    assert accuracies["by_name"] > 0.8  # its own names of the classes were understood

    assert evosparse("hof", forgetful / "run").code == evosparse("show", forgetful / "run").code == 0
    shown = evosparse("resume", forgetful / "run")
    assert "left out: leaving" in shown.out and "(1 failed)" in shown.out


def test_a_fitted_classifier_with_names_of_classes_goes_through_export(forgetful: Path, evosparse: Evosparse) -> None:
    file = campaign(forgetful, "{learner: 'misbehaving_learners.py:by_name', fitted: true}")
    said = evosparse("run", file, "--out", forgetful / "run", "--json", "--quiet")
    assert said.code == 0, said.err
    best = next(one for one in candidates(forgetful / "run") if one.genome.size == 2)
    assert evosparse("export", forgetful / "run", best.uid, "-o", forgetful / "both.skops").code == 0
    loaded = load(forgetful / "both.skops")
    x = np.array([[14.0, 2, 2, 15, 110, 3, 3, 0.3, 2, 5, 1, 3, 1100]], dtype=np.float32)
    assert loaded.predict(x).tolist() == ["class_0"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pool_in_which_all_fail_ends_with_1(workers: int, forgetful: Path, evosparse: Evosparse) -> None:
    file = campaign(forgetful, "{learner: 'misbehaving_learners.py:unsure'}")
    file.write_text(file.read_text().replace("[tree, ", "[{learner: 'misbehaving_learners.py:raising'}, "))
    said = evosparse("run", file, "--workers", workers, "--out", forgetful / "run", "--quiet")
    assert said.code == 1 and said.out == "" and "Traceback" not in said.err
    told = "error: none of the 2 members of the pool could be fitted; raising: failed: RuntimeError: no such luck"
    assert told in said.err
