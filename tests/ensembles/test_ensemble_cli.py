"""Every command on finished campaigns over ensembles; an exported classifier predicts elsewhere what it did here."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import skops.io
from console import Evosparse
from ensemble_bad_inputs import ENSEMBLES, RECORDED, recorded_votes
from sklearn.naive_bayes import GaussianNB

from evosparse import cli
from evosparse.data import DataSpec, load
from evosparse.engine.candidate import Candidate
from evosparse.engine.seeds import SeedKey
from evosparse.engine.store import Store
from evosparse.ensembles import LEARNERS, Ensemble, MemberSpec, VotingEnsemble, voting
from evosparse.ensembles.members import find_members

UMDA = """
name: chosen
kind: ensembles
seed: 3
data: wine
pool:
  members: [{learner: tree, settings: {max_depth: 1}}, knn, {learner: tree, bootstrap: true, features: 0.3, copies: 6}]
  judged_on: out_of_fold
  folds: 3
search: {method: umda, population: 20, generations: 6}
vote: weighted
evaluation: {workers: 0}
examination: {seeds: 2}
"""
BRED = UMDA.replace("name: chosen", "name: bred").replace(
    "search: {method: umda, population: 20, generations: 6}",
    "search: {method: ga, population: 12, stagnation: null}\nstop: {generations: 3}",
)
PLAIN = ["winner", "best single", "all classifiers", "greedy selection", "random subset", "stacking"]
FOREIGN = '''
class Foreign:
    """Leaves a trace wherever it is made."""

    def __init__(self):
        self.x = 1

    def __setstate__(self, state):
        open({trace!r}, "w").close()

    def __getstate__(self):
        return {{"x": 1}}


open({trace!r}, "w").close()
'''


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished campaigns: `chosen` by UMDA and `bred` by a genetic algorithm."""
    folder = tmp_path_factory.mktemp("ensembles")
    for name, text in (("chosen", UMDA), ("bred", BRED)):
        (folder / f"{name}.yaml").write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            words = ("evosparse", "run", folder / f"{name}.yaml", "--quiet", "--out", folder / name)
            patch.setattr(sys, "argv", [*map(str, words)])
            with pytest.raises(SystemExit) as stop:
                cli.main()
            assert not stop.value.code
    return folder


def winner(folder: Path) -> Candidate:
    with Store.open(folder) as store:
        return store.hall_of_fame(Ensemble.from_bytes)[0]


def accuracy_of(arm: str, folder: Path) -> float:
    with Store.open(folder) as store:
        (trial,) = [trial for trial in store.trials() if trial.arm == arm]
    return trial.outcome.measures["test_accuracy"]


def test_run_stands_the_winner_beside_every_other_way(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("run", made / "chosen.yaml", "--json", "--quiet", "--out", tmp_path / "again")
    found = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    arms = {arm["arm"]: arm for arm in found["arms"]}
    assert list(arms)[:6] == PLAIN and list(arms)[-1] == "oracle (bound)"
    assert len(arms["random subset"]["measures"]["test_accuracy"]["values"]) == 2
    assert arms["all classifiers"]["description"] == "vote of 8" and not any(arm["failed"] for arm in arms.values())
    assert found["notes"] == ["search: umda, from random; vote: weighted; judged on out-of-fold"]
    assert evosparse("digest", tmp_path / "again").out == evosparse("digest", made / "chosen").out


def test_dynamic_selection_stands_in_the_table_where_deslib_is_installed(made: Path, evosparse: Evosparse) -> None:
    pytest.importorskip("deslib")
    arms = {arm["arm"]: arm for arm in json.loads(evosparse("resume", made / "chosen", "--json").out)["arms"]}
    for name in ("knora_e", "knora_u", "des_p", "meta_des", "ola"):
        assert arms[name]["measures"]["test_accuracy"]["mean"] > 0.6 and not arms[name]["failed"]


def test_without_deslib_the_table_has_the_rest(
    made: Path, tmp_path: Path, evosparse: Evosparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evosparse.ensembles.dynamic.find_spec", lambda name: None)
    said = evosparse("run", made / "chosen.yaml", "--json", "--quiet", "--out", tmp_path / "run")
    assert [arm["arm"] for arm in json.loads(said.out)["arms"]] == [*PLAIN, "oracle (bound)"]


def test_resume_of_a_finished_run_changes_nothing(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    shutil.copytree(made / "chosen", tmp_path / "run")
    before = (tmp_path / "run" / "campaign.sqlite").read_bytes()
    said = evosparse("resume", tmp_path / "run")
    assert said.code == 0 and "winner" in said.out and "greedy selection" in said.out
    assert (tmp_path / "run" / "campaign.sqlite").read_bytes() == before


def test_resume_for_more_generations_is_the_longer_campaign(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    shutil.copytree(made / "bred", tmp_path / "run")
    assert evosparse("resume", tmp_path / "run", "--generations", 5, "--quiet").code == 0
    whole = ("run", made / "bred.yaml", "--set", "stop.generations=5", "--out", tmp_path / "whole", "--quiet")
    assert evosparse(*whole).code == 0
    resumed, longer, before = (
        evosparse("digest", run).out for run in (tmp_path / "run", tmp_path / "whole", made / "bred")
    )
    assert resumed == longer != before


def test_list_names_the_kind_and_how_it_ended(made: Path, evosparse: Evosparse) -> None:
    rows = {Path(row["run"]).name: row for row in json.loads(evosparse("list", made, "--json").out)}
    assert rows["chosen"]["kind"] == "ensembles" and rows["chosen"]["status"] == "finished (search complete)"
    assert rows["bred"]["generations"] == 3 and rows["bred"]["status"] == "finished (generations)"


def test_hof_shows_who_votes_best_first(made: Path, evosparse: Evosparse) -> None:
    rows = json.loads(evosparse("hof", made / "chosen", "--json").out)
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
    best = winner(made / "chosen")
    assert rows[0]["uid"] == best.uid and rows[0]["genome"] == best.genome.describe()
    assert rows[0]["genome"].startswith(f"{best.genome.size} of 8: ")


def test_show_tells_the_names_and_accuracies_best_first(made: Path, evosparse: Evosparse) -> None:
    best = winner(made / "chosen").genome
    details = json.loads(evosparse("show", made / "chosen", "--json").out)["details"]
    assert (details["size"], details["of"]) == (best.size, 8)
    assert {one["name"]: one["accuracy"] for one in details["members"]} == dict(best.members)
    assert all(one["accuracy"] >= other["accuracy"] for one, other in pairwise(details["members"]))
    said = evosparse("show", made / "chosen")
    assert said.code == 0 and all(name in said.out for name, _ in best.members)


def test_lineage_leads_to_the_first_generation(made: Path, evosparse: Evosparse) -> None:
    with Store.open(made / "bred") as store:
        child = next(candidate for candidate in store.candidates(2) if candidate.parents)
    rows = {row["uid"]: row for row in json.loads(evosparse("lineage", made / "bred", child.uid, "--json").out)}
    assert next(iter(rows)) == child.uid and any(uid.startswith("0.") for uid in rows)
    assert all(parent in rows for row in rows.values() for parent in row["parents"])


def test_verify_finds_equal_results(made: Path, evosparse: Evosparse) -> None:
    for run in ("chosen", "bred"):
        rows = json.loads(evosparse("verify", made / run, "--json").out)
        assert len(rows) == 10 and all(row["same"] for row in rows)


def test_digest_is_a_sha_256(made: Path, evosparse: Evosparse) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}\n", evosparse("digest", made / "chosen").out)


def test_reading_leaves_a_run_directory_as_it_was(made: Path, evosparse: Evosparse) -> None:
    before = [(path.name, path.read_bytes()) for path in sorted((made / "bred").iterdir())]
    for command in ("hof", "show", "lineage", "verify", "digest"):
        assert evosparse(command, made / "bred").code == 0
    assert [(path.name, path.read_bytes()) for path in sorted((made / "bred").iterdir())] == before


def test_export_as_json_names_the_members_with_their_weights(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    file = tmp_path / "winner.json"
    assert evosparse("export", made / "chosen", "-o", file).code == 0
    document, best = json.loads(file.read_text()), winner(made / "chosen")
    assert {one["name"]: one["accuracy"] for one in document["members"]} == dict(best.genome.members)
    order = sorted(document["members"], key=lambda one: one["accuracy"])
    assert all(0 < one["weight"] <= other["weight"] for one, other in pairwise(order)) and order[-1]["weight"] != 1
    assert document["vote"]["rule"] == "weighted" and document["classes"] == ["class_0", "class_1", "class_2"]
    assert document["measures"] == dict(best.outcome.measures) and document["campaign"]["name"] == "chosen"
    assert document["uid"] == best.uid and document["genome"] == best.genome.key


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("run", ["chosen", "bred"])
def test_export_as_a_picture(run: str, suffix: str, made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    file = tmp_path / f"winner{suffix}"
    said = evosparse("export", made / run, "-o", file)
    if importlib.util.find_spec("matplotlib") is None:
        assert said.code == 2 and "pip install 'evosparse[plots]'" in said.err and not file.exists()
    else:
        assert said.code == 0, said.err
        assert file.read_bytes()[:4] in (b"\x89PNG", b"<?xm")


def test_an_export_in_another_form_names_those_there_are(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("export", made / "chosen", "-o", tmp_path / "winner.onnx")
    assert said.code == 2 and all(suffix in said.err for suffix in (".json", ".skops", ".png", ".svg"))


@pytest.fixture(scope="module")
def exported(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("exported") / "winner.skops"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["evosparse", "export", str(made / "chosen"), "-o", str(file)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
    return file


def test_an_exported_classifier_predicts_in_a_fresh_process_what_the_winner_did(
    made: Path, exported: Path, tmp_path: Path
) -> None:
    test = load(DataSpec(name="wine")).test
    np.savez(tmp_path / "test.npz", x=test.x)
    program = (
        "import json, sys, numpy; from evosparse.ensembles import load; "
        "ensemble, x = load(sys.argv[1]), numpy.load(sys.argv[2])['x']; "
        "print(json.dumps([ensemble.predict(x).tolist(), ensemble.predict_proba(x).tolist(), ensemble.facts]))"
    )
    words = [sys.executable, "-c", program, str(exported), str(tmp_path / "test.npz")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    predicted, shares, facts = json.loads(done.stdout)
    right = np.array(predicted) == np.array(["class_0", "class_1", "class_2"])[test.y]
    assert right.mean() == accuracy_of("winner", made / "chosen") and 0.5 < right.mean()
    here = voting.load(exported)
    assert here.predict(test.x).tolist() == predicted and here.predict_proba(test.x).tolist() == shares
    assert facts["uid"] == winner(made / "chosen").uid and json.loads(facts["campaign"])["name"] == "chosen"


def test_a_file_with_a_foreign_type_is_refused_and_nothing_of_it_runs(
    exported: Path, forgetful: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = forgetful / "trace"
    (forgetful / "foreign_type.py").write_text(FOREIGN.format(trace=str(trace)))
    monkeypatch.syspath_prepend(str(forgetful))
    foreign = importlib.import_module("foreign_type").Foreign()
    ensemble = voting.load(exported)
    ensemble.facts = {"harmless": foreign}
    voting.save(ensemble, forgetful / "bad.skops")
    del sys.modules["foreign_type"]
    trace.unlink()
    with pytest.raises(voting.BadExport, match="bad.skops: holds the type foreign_type.Foreign"):
        voting.load(forgetful / "bad.skops")
    assert not trace.exists() and "foreign_type" not in sys.modules
    assert voting.load(forgetful / "bad.skops", trusted=["foreign_type.Foreign"]).names == ensemble.names
    assert trace.exists()  # it would have been noticed


def test_a_function_of_a_known_package_is_refused_too(exported: Path, tmp_path: Path) -> None:
    ensemble = voting.load(exported)
    ensemble.facts = {"harmful": np.testing.rundocs}
    voting.save(ensemble, tmp_path / "bad.skops")
    with pytest.raises(voting.BadExport, match="rundocs"):
        voting.load(tmp_path / "bad.skops")


def test_a_file_that_is_no_exported_ensemble_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.skops").write_text("no zip file")
    for file in ("text.skops", "nowhere.skops"):
        with pytest.raises(voting.BadExport, match=f"{file}: not a readable .skops file"):
            voting.load(tmp_path / file)
    skops.io.dump(GaussianNB(), tmp_path / "bayes.skops")
    with pytest.raises(voting.BadExport, match="expected an exported ensemble, got GaussianNB"):
        voting.load(tmp_path / "bayes.skops")


@pytest.mark.parametrize("learner", sorted(LEARNERS))
def test_every_learner_can_be_exported_and_read(learner: str, tmp_path: Path) -> None:
    test = load(DataSpec(name="iris")).test
    (member,) = find_members([MemberSpec(learner=learner)])
    fitted = member.fit(test.x, test.y, SeedKey(0), ("a", "b", "c"))
    ensemble = VotingEnsemble([fitted], [learner], ["a", "b", "c"], "soft")
    voting.save(ensemble, tmp_path / "one.skops")
    again = voting.load(tmp_path / "one.skops")
    assert np.array_equal(again.predict_proba(test.x), ensemble.predict_proba(test.x))


@pytest.mark.parametrize("approach", ["hetero-seeded-acc-umda", "bagged-random-div-ga"])
def test_an_approach_runs_and_may_be_changed_in_part(approach: str, tmp_path: Path, evosparse: Evosparse) -> None:
    file = tmp_path / "approach.yaml"
    file.write_text(f"name: a\nkind: ensembles\ndata: iris\napproach: {approach}\nexamination: {{baselines: [all]}}\n")
    changes = ("search.generations=3", "search.population=10", "pool.members=[tree, knn, naive_bayes, lda]")
    options = [word for change in changes for word in ("--set", change)]
    said = evosparse("run", file, *options, "--workers", 0, "--out", tmp_path / "run", "--json", "--quiet")
    assert said.code == 0, said.err
    assert any(approach in note and "reconstruction" in note for note in json.loads(said.out)["notes"])
    with Store.open(tmp_path / "run") as store:
        document = store.header.document
        assert 1 <= len(store.generations()) <= 3
    assert document["search"]["method"] == approach.rpartition("-")[2] and document["search"]["population"] == 10
    assert document["initialisation"]["by"] == ("accuracy" if "seeded" in approach else "random")
    assert document["fitness"]["aim"] == ("near_best_diversity" if "-div-" in approach else "accuracy")
    assert all(row["same"] for row in json.loads(evosparse("verify", tmp_path / "run", "--json").out))


def test_an_approach_may_be_named_on_the_command_line(tmp_path: Path, evosparse: Evosparse) -> None:
    file = tmp_path / "plain.yaml"
    file.write_text(ENSEMBLES.replace("search: {method: umda, population: 8, generations: 2}\n", ""))
    options = ("--set", "approach=hetero-random-acc_div-ga", "--set", "search.generations=2", "--quiet")
    assert evosparse("run", file, *options, "--out", tmp_path / "run").code == 0
    with Store.open(tmp_path / "run") as store:
        document = store.header.document
    assert document["search"]["method"] == "ga" and document["fitness"]["aim"] == "accuracy_diversity"
    assert [one["learner"] for one in document["pool"]["members"]] == ["tree", "naive_bayes", "knn"]


@pytest.mark.parametrize("probabilities", [False, True])
def test_a_pool_may_be_a_file_of_votes(probabilities: bool, tmp_path: Path, evosparse: Evosparse) -> None:
    arrays = {f"fold_{name}": values for name, values in recorded_votes(12, probabilities).items()}
    np.savez(tmp_path / "votes.npz", names=np.array([f"net {number}" for number in range(12)]), **arrays)
    (tmp_path / "recorded.yaml").write_text(RECORDED)
    changes = ["--set", "pool.predictions={file: votes.npz, prefix: fold_, members: [2, 9]}"]
    if probabilities:
        changes += ["--set", "vote=soft", "--set", "fitness=log_loss"]
    out = tmp_path / "run"
    said = evosparse("run", tmp_path / "recorded.yaml", *changes, "--out", out, "--json", "--quiet")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [arm["arm"] for arm in found["arms"]] == [*PLAIN, "oracle (bound)"]
    assert "votes from a file" in found["notes"][0]
    names = {name for name, _ in winner(out).genome.members}
    assert names and names <= {f"net {number}" for number in range(2, 10)}
    assert all(row["same"] for row in json.loads(evosparse("verify", out, "--json").out))
    assert evosparse("export", out, "-o", tmp_path / "winner.json").code == 0
    said = evosparse("export", out, "-o", tmp_path / "winner.skops")
    assert said.code == 2 and said.err.count("\n") == 1 and "export to .json" in said.err
    assert not (tmp_path / "winner.skops").exists()


def test_a_run_on_a_file_of_votes_goes_on_only_with_the_same_votes(tmp_path: Path, evosparse: Evosparse) -> None:
    np.savez(tmp_path / "votes.npz", **recorded_votes())
    (tmp_path / "recorded.yaml").write_text(RECORDED + "stop: {generations: 1}\n")
    assert evosparse("run", tmp_path / "recorded.yaml", "--out", tmp_path / "run", "--quiet").code == 0
    np.savez(tmp_path / "votes.npz", **recorded_votes(seed=1))
    said = evosparse("resume", tmp_path / "run", "--generations", 2, "--quiet")
    assert said.code == 2 and "expected the data that the campaign began with" in said.err
