"""Every command does what its help says, on small finished campaigns, and ends with the exit code that it promises."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from console import Evosparse
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from evosparse import cli, tables
from evosparse.data import DataSpec, load
from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate
from evosparse.engine.spec import read
from evosparse.engine.store import Store
from evosparse.masks import Mask
from evosparse.masks.kind import MaskKind
from evosparse.nets import NetworkSpec, build

COMMANDS = (
    "run", "resume", "check-fitness", "sparsify", "list", "hof", "show", "lineage", "digest", "compare", "verify", "export",
)  # fmt: skip
KSTARTS = """
name: small
kind: masks
network: {name: mlp, hidden: [16]}
search: {method: kstarts, k: 4, judged_by: accuracy, train_during: masked, epochs: 1}
evaluation: {workers: 0}
examination: {epochs: 2, seeds: 2}
"""
GENETIC = """
name: bred
kind: masks
stop: {generations: 2}
network: {name: mlp, hidden: [16]}
search: {method: genetic, population: 4, epochs: 1, elites: 1}
evaluation: {workers: 0}
examination: {epochs: 1, seeds: 1, baselines: [random]}
"""
PICKY = """
from evosparse import fitness


@fitness(maximize="value")
def picky(mask):
    number = int(mask.key, 16)
    if number % 2:
        raise ValueError("odd keys are refused")
    return float(number % 97)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three finished campaigns: `small`, `bred` and `picky`, in which some candidates failed."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "cli_picky.py").write_text(PICKY)
    (folder / "small.yaml").write_text(KSTARTS)
    (folder / "bred.yaml").write_text(GENETIC)
    picky = KSTARTS.replace("small", "picky").replace("k: 4", "k: 8").replace("seeds: 2", "members: 0, baselines: []")
    (folder / "picky.yaml").write_text(picky + "fitness: cli_picky.py:picky\n")
    for name in ("small", "bred", "picky"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["evosparse", "run", str(folder / f"{name}.yaml"), "--out", str(folder / name)])
            with pytest.raises(SystemExit) as stop:
                cli.main()
            assert not stop.value.code
    return folder


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy of these campaigns that a test may change."""
    for name in ("small", "bred", "picky"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def best_of(folder: Path) -> str:
    with Store.open(folder) as store:
        return store.hall_of_fame()[0].uid


def test_run_prints_the_winner_beside_its_baselines(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("run", made / "small.yaml", "--out", tmp_path / "again")
    assert said.code == 0
    for word in ("winner", "random", "dense", "dropout", "test_accuracy", "reconstruction", str(tmp_path / "again")):
        assert word in said.out
    assert "generation 0: 4 candidates" in said.err
    assert "at most" not in said.err and "done after 1 generations (search complete)" in said.err


def test_run_as_json_is_json_and_nothing_else(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("run", made / "small.yaml", "--json", "--quiet", "--out", tmp_path / "again")
    found = json.loads(said.out)
    assert said.err == "" and found["run"] == str(tmp_path / "again")
    assert [arm["arm"] for arm in found["arms"]] == ["winner", "random", "dense", "dropout"]
    assert all(len(arm["measures"]["test_accuracy"]["values"]) == 2 for arm in found["arms"])
    assert evosparse("digest", tmp_path / "again").out == evosparse("digest", made / "small").out


def test_run_names_its_folder_after_the_campaign_and_counts_on(
    made: Path, tmp_path: Path, evosparse: Evosparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--quiet", "--set", "examination.members=0", "--set", "examination.baselines=[]", "--set", "search.k=1")
    for _ in range(2):
        assert evosparse("run", made / "small.yaml", *options).code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["small", "small-2"]


def test_resume_of_a_finished_campaign_changes_nothing(own: Path, evosparse: Evosparse) -> None:
    before = (own / "small" / "campaign.sqlite").read_bytes()
    said = evosparse("resume", own / "small")
    assert said.code == 0 and "winner" in said.out
    assert (own / "small" / "campaign.sqlite").read_bytes() == before


def test_resume_for_more_generations_is_the_longer_campaign(made: Path, own: Path, evosparse: Evosparse) -> None:
    assert evosparse("resume", own / "bred", "--generations", 3, "--quiet").code == 0
    longer = own / "longer"
    assert evosparse("run", made / "bred.yaml", "--set", "stop.generations=3", "--out", longer, "--quiet").code == 0
    resumed, whole, before = (evosparse("digest", run).out for run in (own / "bred", longer, made / "bred"))
    assert resumed == whole != before


def test_resume_may_change_when_to_stop_by_an_override(own: Path, evosparse: Evosparse) -> None:
    assert evosparse("resume", own / "bred", "--set", "stop.generations=3", "--quiet").code == 0
    assert len(json.loads(evosparse("lineage", own / "bred", "2.0", "--json").out)) >= 1


def test_list_tells_of_every_campaign_and_of_damaged_ones(own: Path, evosparse: Evosparse) -> None:
    (own / "broken").mkdir()
    (own / "broken" / "campaign.sqlite").write_text("not a database, but long enough to be taken for one" * 20)
    rows = {Path(row["run"]).name: row for row in json.loads(evosparse("list", own, "--json").out)}
    assert set(rows) == {"small", "bred", "picky", "broken"}
    assert rows["small"]["evaluations"] == 4 and rows["small"]["status"].startswith("finished")
    assert "test_accuracy" in rows["small"]["winner"] and "accuracy" in rows["bred"]["best"]
    assert "no database" in rows["broken"]["status"]
    assert "finished (generations)" in evosparse("list", own).out


def test_list_of_a_folder_without_campaigns_says_so(tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("list", tmp_path)
    assert (said.code, said.out) == (0, "") and "no campaign" in said.err
    assert json.loads(evosparse("list", tmp_path, "--json").out) == []


def test_hof_shows_the_best_first(made: Path, evosparse: Evosparse) -> None:
    rows = json.loads(evosparse("hof", made / "small", "--json").out)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
    top = evosparse("hof", made / "small", "--top", 1).out
    assert rows[0]["uid"] in top and rows[1]["genome"] in top and f" {rows[1]['uid']} " not in top


def test_show_tells_the_sparsity_of_each_layer(made: Path, evosparse: Evosparse) -> None:
    said = evosparse("show", made / "small", "0.1")
    assert said.code == 0 and "status: ok" in said.out and "hidden1" in said.out and "message" not in said.out
    found = json.loads(evosparse("show", made / "small", "0.1", "--json").out)
    details = found["details"]
    assert found["uid"] == "0.1" and sum(layer["weights"] for layer in details["layers"]) == details["weights"]


def test_show_without_a_uid_shows_the_best(made: Path, evosparse: Evosparse) -> None:
    assert json.loads(evosparse("show", made / "bred", "--json").out)["uid"] == best_of(made / "bred")


def test_show_tells_why_a_candidate_failed(made: Path, evosparse: Evosparse) -> None:
    with Store.open(made / "picky") as store:
        failed = [candidate for candidate in store.candidates() if not candidate.ok]
    assert failed
    said = evosparse("show", made / "picky", failed[0].uid)
    assert said.code == 0
    assert "status: failed" in said.out and "odd keys are refused" in said.out and "cli_picky.py" in said.out


def test_lineage_leads_to_the_first_generation(made: Path, evosparse: Evosparse) -> None:
    with Store.open(made / "bred") as store:
        child = next(candidate for candidate in store.candidates(1) if candidate.parents)
    rows = {row["uid"]: row for row in json.loads(evosparse("lineage", made / "bred", child.uid, "--json").out)}
    assert next(iter(rows)) == child.uid
    assert all(parent in rows for row in rows.values() for parent in row["parents"])
    assert all(uid in evosparse("lineage", made / "bred", child.uid).out for uid in rows)


def test_lineage_shows_several_populations_one_after_the_other(own: Path, evosparse: Evosparse) -> None:
    with Store.open(own / "bred") as store:
        child = next(candidate for candidate in store.candidates(1) if candidate.parents)
    alone = evosparse("lineage", own / "bred", child.uid)
    assert "population" not in alone.out
    with closing(sqlite3.connect(own / "bred" / "campaign.sqlite")) as connection, connection:
        connection.execute("UPDATE candidate SET population = 'prey' WHERE generation = 0")
    rows = json.loads(evosparse("lineage", own / "bred", child.uid, "--json").out)
    assert [row["population"] for row in rows] == ["population"] + ["prey"] * (len(rows) - 1) and len(rows) > 1
    said = evosparse("lineage", own / "bred", child.uid)
    assert "population" in said.out and "prey" in said.out


populations = st.lists(st.sampled_from(["predators", "prey", "weeds"]), max_size=12)


@given(populations)
def test_a_family_is_grouped_by_population_and_keeps_its_order_within(names: list[str]) -> None:
    family = [Candidate(None, population=name, uid=str(place)) for place, name in enumerate(names)]
    rows = tables.by_population(family)
    assert [name for name, _ in groupby(member.population for member in rows)] == list(dict.fromkeys(names))
    for name in set(names):
        group, before = ([one.uid for one in members if one.population == name] for members in (rows, family))
        assert group == before


def test_verify_finds_equal_results(made: Path, evosparse: Evosparse) -> None:
    said = evosparse("verify", made / "small", "--json")
    assert said.code == 0 and [row["same"] for row in json.loads(said.out)] == [True] * 4
    assert evosparse("verify", made / "bred", best_of(made / "bred")).code == 0


def test_verify_ends_with_1_when_a_measure_was_tampered_with(own: Path, evosparse: Evosparse) -> None:
    uid = best_of(own / "small")
    with closing(sqlite3.connect(own / "small" / "campaign.sqlite")) as connection, connection:
        ((text,),) = connection.execute("SELECT measures FROM candidate WHERE uid = ?", (uid,))
        better = json.dumps(json.loads(text) | {"accuracy": 0.999})
        connection.execute("UPDATE candidate SET measures = ? WHERE uid = ?", (better, uid))
    said = evosparse("verify", own / "small", "--json")
    assert said.code == 1 and "1 of 4 results differ" in said.err
    assert [row["uid"] for row in json.loads(said.out) if not row["same"]] == [uid]


def test_export_holds_the_trained_network_of_the_examination(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    file = tmp_path / "winner.safetensors"
    assert evosparse("export", made / "small", "best", "-o", file).code == 0
    with Store.open(made / "small") as store:
        winner = store.hall_of_fame(Mask.from_bytes)[0]
        (trial,) = [trial for trial in store.trials() if (trial.arm, trial.replicate) == ("winner", 0)]
        document = store.header.document

    tensors = load_file(file)
    for layer in winner.genome.layers:
        mask = tensors.pop(f"{layer.name}.mask")
        assert mask.dtype == np.uint8 and np.array_equal(mask.astype(bool), layer.to_bool())
        assert not tensors[f"{layer.name}.weight"][mask == 0].any() and tensors[f"{layer.name}.weight"].any()

    data = load(DataSpec(name="digits"))
    x = data.test.x.reshape(len(data.test.x), -1)
    hidden = np.maximum(x @ tensors["hidden1.weight"].T + tensors["hidden1.bias"], 0)
    logits = hidden @ tensors["output.weight"].T + tensors["output.bias"]
    assert np.mean(logits.argmax(axis=1) == data.test.y) == trial.outcome.measures["test_accuracy"]
    module = build(NetworkSpec(name="mlp", hidden=(16,)), data.test.x.shape[1:], 10).module()
    assert set(module.state_dict()) == set(tensors)

    with safe_open(file, "numpy") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["campaign"]) == json.loads(json.dumps(document))
    assert (metadata["uid"], metadata["genome"]) == (winner.uid, winner.genome.key)
    assert json.loads(metadata["measures"]) == dict(winner.outcome.measures) and metadata["evosparse"]


def test_export_goes_beside_the_database_by_default(own: Path, evosparse: Evosparse) -> None:
    before = evosparse("digest", own / "small").out
    for _ in range(2):  # a later export replaces an earlier one
        found = json.loads(evosparse("export", own / "small", "0.2", "--json").out)
        assert found["file"] == str(own / "small" / "0.2.safetensors") and Path(found["file"]).exists()
    assert found["tensors"]["output.mask"] == [10, 16]
    assert evosparse("digest", own / "small").out == before


def test_export_knows_the_files_of_a_kind(own: Path, evosparse: Evosparse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaskKind, "suffixes", (".tensors", ".safetensors"))
    assert evosparse("export", own / "small", "0.1").code == 0
    assert evosparse("export", own / "small", "0.1", "-o", own / "other.safetensors").code == 0
    assert (own / "small" / "0.1.tensors").exists() and (own / "other.safetensors").exists()
    said = evosparse("export", own / "small", "0.1", "-o", own / "other.csv")
    assert said.code == 2 and "ends in .tensors or .safetensors, got 'other.csv'" in said.err
    assert not (own / "other.csv").exists()


METHODS = [
    "{method: kstarts, k: 2}", "{method: kstarts, k: 2, scope: global}", "{method: dissipating}",
    "{method: combined, k: 2}", "{method: combined, k: 2, order: dissipating_first}",
]  # fmt: skip


@pytest.mark.parametrize("search", METHODS)
def test_a_method_that_ends_by_itself_knows_when(search: str, made: Path, tmp_path: Path) -> None:
    overrides = [f"search={search}", "stop.generations=10", "examination.members=0", "examination.baselines=[]"]
    with Campaign.from_spec(read(made / "small.yaml", overrides), tmp_path / "run") as campaign:
        campaign.run()
        assert campaign.store.reason == "search complete"
        assert campaign.generation == campaign.problem.search.generations


def test_digest_is_a_sha_256(made: Path, evosparse: Evosparse) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}\n", evosparse("digest", made / "small").out)


def test_reading_leaves_a_run_directory_as_it_was(made: Path, evosparse: Evosparse) -> None:
    before = [(path.name, path.read_bytes()) for path in sorted((made / "small").iterdir())]
    for command in ("hof", "show", "lineage", "verify", "digest"):
        assert evosparse(command, made / "small").code == 0
    assert evosparse("list", made).code == 0
    assert [(path.name, path.read_bytes()) for path in sorted((made / "small").iterdir())] == before


def test_check_fitness_finds_the_default_fitness_in_order(made: Path, evosparse: Evosparse) -> None:
    said = evosparse("check-fitness", made / "small.yaml", "--workers", 0)
    assert said.code == 0 and said.out.endswith("ok\n") and "repeatable" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, evosparse: Evosparse) -> None:
    said = evosparse(command, "--help")
    assert said.code == 0 and f"Example: evosparse {command}" in said.out


def test_help_names_every_command_in_a_line(evosparse: Evosparse) -> None:
    said = evosparse("--help")
    listed = said.out.partition("Commands:")[2].strip().splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS) and not any(line.endswith("...") for line in listed)


def test_an_interrupt_ends_with_130_and_the_campaign_can_be_resumed(
    made: Path, tmp_path: Path, evosparse: Evosparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Campaign._generation

    def interrupted(campaign: Campaign, *rest: object) -> bool:
        if campaign.generation == 1:
            raise KeyboardInterrupt
        return whole(campaign, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Campaign, "_generation", interrupted)
        said = evosparse("run", made / "bred.yaml", "--out", tmp_path / "run")
    assert said.code == 130 and f"evosparse resume {tmp_path / 'run'}" in said.err and "Traceback" not in said.err
    assert "not finished" in evosparse("list", tmp_path).out
    assert evosparse("resume", tmp_path / "run").code == 0
    assert evosparse("digest", tmp_path / "run").out == evosparse("digest", made / "bred").out


def test_a_campaign_in_which_everything_fails_ends_with_1(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    (tmp_path / "cli_hopeless.py").write_text(PICKY.replace("picky", "hopeless").replace("number % 2", "True"))
    (tmp_path / "file.yaml").write_text(KSTARTS + "fitness: cli_hopeless.py:hopeless\n")
    said = evosparse("run", tmp_path / "file.yaml", "--out", tmp_path / "run", "--quiet")
    assert said.code == 1 and "error: " in said.err and "show" in said.err and "Traceback" not in said.err


def test_python_dash_m_is_the_same_program(made: Path) -> None:
    words = [sys.executable, "-m", "evosparse", "digest", str(made / "small")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    with Store.open(made / "small") as store:
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, store.digest(), "")
