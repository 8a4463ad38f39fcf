"""Every command on finished campaigns over topologies; an exported network drives elsewhere as it did in its own."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from console import Evosparse

from evosparse import cli
from evosparse.engine.candidate import Candidate
from evosparse.engine.spec import read
from evosparse.engine.store import Store
from evosparse.topologies import DrivingSpec, Topology
from evosparse.topologies.tasks.driving.drivers import examine
from evosparse.topologies.tasks.driving.task import Driving

XOR = """
name: grown
kind: topologies
seed: 2
task: xor
search: {method: neat, population: 60, generations: 8, add_node: 0.2, threshold: 2.0, until_solved: false}
evaluation: {workers: 0}
examination: {seeds: 3}
"""
DRIVE = """
name: driven
kind: topologies
seed: 1
task: {name: driving, tracks: [oval, bean], test_tracks: [kidney], steps: 200, laps: 3, recurrent: true}
search: {method: neat, population: 40, generations: 4, add_node: 0.3, add_connection: 0.3}
evaluation: {workers: 0}
examination: {seeds: 2}
"""
RUNS = ("grown", "driven")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished campaigns, `grown` and `driven`."""
    folder = tmp_path_factory.mktemp("topologies")
    for name, text in zip(RUNS, (XOR, DRIVE), strict=True):
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
        return store.hall_of_fame(Topology.from_bytes)[0]


def candidates(folder: Path) -> list[Candidate]:
    with Store.open(folder) as store:
        return list(store.candidates(decode=Topology.from_bytes))


def fresh(file: Path) -> ModuleType:
    """The module of an exported file, which knows nothing of this one."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_run_stands_the_winner_beside_networks_that_were_not_evolved(
    made: Path, tmp_path: Path, evosparse: Evosparse
) -> None:
    said = evosparse("run", made / "driven.yaml", "--json", "--quiet", "--out", tmp_path / "again")
    found = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert found["notes"][0] == "search: neat, task: driving" and "reconstruction" in found["notes"][1]
    arms = {arm["arm"]: arm for arm in found["arms"]}
    assert list(arms) == ["winner", "first generation"] and not any(arm["failed"] for arm in arms.values())
    assert arms["winner"]["description"] == winner(made / "driven").genome.describe()
    counts = {arm: len(values["measures"]["fitness"]["values"]) for arm, values in arms.items()}
    assert counts == {"winner": 1, "first generation": 2}
    assert evosparse("digest", tmp_path / "again").out == evosparse("digest", made / "driven").out


def test_resume_for_more_generations_is_the_longer_campaign(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    short = ("run", made / "driven.yaml", "--set", "stop.generations=2", "--out", tmp_path / "run", "--quiet")
    assert evosparse(*short).code == 0
    assert evosparse("resume", tmp_path / "run", "--generations", 4, "--quiet").code == 0
    assert evosparse("digest", tmp_path / "run").out == evosparse("digest", made / "driven").out


def test_list_names_the_kind_and_how_it_ended(made: Path, evosparse: Evosparse) -> None:
    rows = {Path(row["run"]).name: row for row in json.loads(evosparse("list", made, "--json").out)}
    assert rows["grown"]["kind"] == "topologies" and rows["grown"]["status"] == "finished (search complete)"
    assert (rows["grown"]["generations"], rows["driven"]["generations"]) == (8, 4)


def test_hof_shows_the_networks_best_first(made: Path, evosparse: Evosparse) -> None:
    for run in RUNS:
        rows = json.loads(evosparse("hof", made / run, "--json").out)
        assert [row["fitness"] for row in rows] == sorted((row["fitness"] for row in rows), reverse=True)
        best = winner(made / run)
        assert rows[0]["uid"] == best.uid and rows[0]["genome"] == best.genome.describe()
        assert rows[0].keys() >= best.outcome.measures.keys()
    assert best.genome.describe() in evosparse("hof", made / run, "--top", 1).out


def test_show_writes_the_network_line_by_line(made: Path, evosparse: Evosparse) -> None:
    largest = max(candidates(made / "driven"), key=lambda one: len(one.genome.hidden))
    details = json.loads(evosparse("show", made / "driven", largest.uid, "--json").out)["details"]
    assert (details["hidden"], details["connections"]) == (len(largest.genome.hidden), largest.genome.size)
    assert details["recurrent"] is True and details["disabled"] == len(largest.genome.weight) - largest.genome.size
    said = evosparse("show", made / "driven", largest.uid)
    assert said.code == 0
    lines = said.out.splitlines()
    start = lines.index("  network:") + 1
    text = details["network"].splitlines()
    assert [line.removeprefix("    ") for line in lines[start : start + len(text)]] == text
    assert "  connections: " + str(largest.genome.size) in lines and max(map(len, lines[start:])) <= 100
    assert all(any(line.startswith(f"      {name} ") for line in lines) for name in ("left", "straight", "right"))


def test_lineage_leads_to_the_first_generation_through_species(made: Path, evosparse: Evosparse) -> None:
    homes = {one.uid: one.population for one in candidates(made / "grown")}
    assert len(set(homes.values())) > 1
    grown = [one for one in candidates(made / "grown") if homes[one.uid] != "species 0" and one.generation == 7]
    rows = {row["uid"]: row for row in json.loads(evosparse("lineage", made / "grown", grown[0].uid, "--json").out)}
    assert next(iter(rows)) == grown[0].uid and any(uid.startswith("0.") for uid in rows)
    assert all(parent in rows for row in rows.values() for parent in row["parents"])
    assert all(row["population"] == homes[uid] for uid, row in rows.items())
    said = evosparse("lineage", made / "grown", grown[0].uid)
    assert all(name in said.out for name in ("population", "species 0", homes[grown[0].uid]))


@pytest.mark.parametrize("run", RUNS)
def test_verify_finds_equal_results(run: str, made: Path, evosparse: Evosparse) -> None:
    rows = json.loads(evosparse("verify", made / run, "--json").out)
    assert len(rows) == 10 and all(row["same"] for row in rows)


def test_reading_leaves_a_run_directory_as_it_was(made: Path, evosparse: Evosparse) -> None:
    before = [(path.name, path.read_bytes()) for path in sorted((made / "grown").iterdir())]
    for command in ("hof", "show", "lineage", "verify", "digest"):
        assert evosparse(command, made / "grown").code == 0
    assert [(path.name, path.read_bytes()) for path in sorted((made / "grown").iterdir())] == before


def test_export_as_json_has_all_genes(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    shutil.copytree(made / "grown", tmp_path / "run")
    best = winner(made / "grown")
    said = evosparse("export", tmp_path / "run", "--json")
    file = tmp_path / "run" / f"{best.uid}.json"
    assert json.loads(said.out) == {
        "file": str(file), "hidden": len(best.genome.hidden), "connections": best.genome.size,
    }  # fmt: skip
    document = json.loads(file.read_text())
    assert [gene["innovation"] for gene in document["connections"]] == best.genome.innovation.tolist()
    assert [gene["weight"] for gene in document["connections"]] == best.genome.weight.tolist()
    assert (document["inputs"], document["outputs"]) == (["a", "b"], ["xor"])
    assert document["measures"] == dict(best.outcome.measures) and document["campaign"]["name"] == "grown"
    assert document["uid"] == best.uid and document["genome"] == best.genome.key


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_export_as_a_picture(suffix: str, made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    file = tmp_path / f"winner{suffix}"
    said = evosparse("export", made / "driven", "-o", file)
    if importlib.util.find_spec("matplotlib") is None:
        assert said.code == 2 and "pip install 'evosparse[plots]'" in said.err and not file.exists()
    else:
        assert said.code == 0, said.err
        assert file.read_bytes()[:4] in (b"\x89PNG", b"<?xm")


def test_an_export_in_another_form_names_those_there_are(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("export", made / "grown", "-o", tmp_path / "winner.onnx")
    assert said.code == 2 and all(suffix in said.err for suffix in (".json", ".py", ".png", ".svg"))


def measured(task: Driving, module: ModuleType) -> dict[str, float]:
    """What an exported network is worth if it drives cars with nothing but its own source."""
    networks = [module.Network() for _ in task.tracks]  # one for each car, because they remember

    def drive(observations: np.ndarray) -> np.ndarray:
        told = [network.activate(seen) for network, seen in zip(networks, observations.tolist(), strict=True)]
        return np.argmax(told, axis=1)

    drives = examine(drive, task.tracks, task.car, task.steps, task.laps)
    lengths = [len(drive.trajectory) - 1 for drive in drives]
    return {
        "fitness": sum(drive.laps for drive in drives) / len(drives),
        "crashes": sum(drive.crashed for drive in drives),
        "environment_steps": sum(lengths),
    }


def test_an_exported_network_drives_the_car_to_the_stored_score(
    made: Path, tmp_path: Path, evosparse: Evosparse
) -> None:
    tasks = DrivingSpec.model_validate(read(made / "driven.yaml").problem.task.model_dump()).tasks()
    largest = sorted(candidates(made / "driven"), key=lambda one: (-len(one.genome.hidden), one.uid))[:3]
    assert all(len(candidate.genome.hidden) for candidate in largest)
    for candidate in (winner(made / "driven"), *largest):
        file = tmp_path / f"network_{candidate.uid.replace('.', '_')}.py"
        assert evosparse("export", made / "driven", candidate.uid, "-o", file).code == 0
        found = measured(tasks.search, fresh(file))
        assert found == pytest.approx({name: candidate.outcome.measures[name] for name in found}, rel=1e-9)
    with Store.open(made / "driven") as store:
        (trial,) = [trial for trial in store.trials() if trial.arm == "winner"]
    best = tmp_path / f"network_{winner(made / 'driven').uid.replace('.', '_')}.py"
    found = measured(tasks.examination, fresh(best))
    assert found == pytest.approx({name: trial.outcome.measures[name] for name in found}, rel=1e-9)
