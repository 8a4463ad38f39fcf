"""Every command on a finished campaign over activation functions: formulas are shown, exported, and evaluated again."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_inputs import ACTIVATIONS
from console import Evosparse
from safetensors import safe_open
from safetensors.numpy import load_file

from evosparse import cli
from evosparse.activations import Triple, Workbench
from evosparse.activations.problem import ActivationProblem
from evosparse.data import DataSpec, load
from evosparse.engine.candidate import Candidate
from evosparse.engine.spec import read
from evosparse.engine.store import Store
from evosparse.nets import NetworkSpec, Slot, build

ROLES = ("input", "hidden", "output")
POPULATIONS = ("baseline", *ROLES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a campaign file and its finished run, in which the baseline was beaten."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "functions.yaml").write_text(ACTIVATIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["evosparse", "run", str(folder / "functions.yaml"), "--out", str(folder / "run")])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
    return folder


@pytest.fixture(scope="module")
def candidates(made: Path) -> list[Candidate]:
    with Store.open(made / "run") as store:
        return list(store.candidates(decode=Triple.from_bytes))


@pytest.fixture(scope="module")
def winner(made: Path) -> Candidate:
    with Store.open(made / "run") as store:
        best = store.hall_of_fame(Triple.from_bytes)[0]
    assert best.population != "baseline"  # or the tests below would only see ReLU
    return best


@pytest.fixture(scope="module")
def bench(made: Path) -> Workbench:
    return ActivationProblem.from_spec(read(made / "functions.yaml").problem).bench


def formulas(triple: Triple) -> dict[str, str]:
    return {role: str(genes.expression) for role, genes in zip(triple.roles, triple.genes, strict=True)}


def test_run_stands_the_winner_beside_the_standard_functions(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("run", made / "functions.yaml", "--json", "--quiet", "--out", tmp_path / "again")
    found = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert [arm["arm"] for arm in found["arms"]] == ["winner", "relu(x) everywhere"]
    assert all(len(arm["measures"]["test_accuracy"]["values"]) == 2 for arm in found["arms"])
    assert found["notes"] == ["search: coevolution, cgp; 15 evaluations (equal budget), and the baseline"]
    assert evosparse("digest", tmp_path / "again").out == evosparse("digest", made / "run").out


def test_a_run_that_stopped_early_goes_on_to_the_same_digest(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    out = tmp_path / "stopped"
    early = ("--set", "stop.generations=3", "--quiet", "--out", out)
    assert evosparse("run", made / "functions.yaml", *early).code == 0
    assert evosparse("resume", out, "--generations", 50, "--quiet").code == 0
    whole = tmp_path / "whole"
    long = ("--set", "stop.generations=50", "--quiet", "--out", whole)
    assert evosparse("run", made / "functions.yaml", *long).code == 0
    assert evosparse("digest", out).out == evosparse("digest", whole).out


def test_resume_of_a_finished_run_changes_nothing(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    shutil.copytree(made / "run", tmp_path / "run")
    before = (tmp_path / "run" / "campaign.sqlite").read_bytes()
    said = evosparse("resume", tmp_path / "run")
    assert said.code == 0 and "winner" in said.out and "relu(x) everywhere" in said.out
    assert (tmp_path / "run" / "campaign.sqlite").read_bytes() == before


def test_list_names_the_kind_and_what_was_spent(made: Path, candidates: list[Candidate], evosparse: Evosparse) -> None:
    (row,) = json.loads(evosparse("list", made, "--json").out)
    assert (row["kind"], row["status"], row["generations"]) == ("activations", "finished (search complete)", 7)
    assert len(candidates) == 16 and row["evaluations"] == sum(not one.outcome.cached for one in candidates)
    said = evosparse("list", made)
    assert said.code == 0 and "activations" in said.out


def test_hof_shows_the_functions_best_first(made: Path, winner: Candidate, evosparse: Evosparse) -> None:
    rows = json.loads(evosparse("hof", made / "run", "--json").out)
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
    assert rows[0]["uid"] == winner.uid and rows[0]["genome"] == winner.genome.describe()
    said = evosparse("hof", made / "run", "--top", 1)
    assert said.code == 0 and winner.uid in said.out and "genome" in said.out


def test_show_tells_the_formula_of_each_place(made: Path, candidates: list[Candidate], evosparse: Evosparse) -> None:
    for candidate in candidates:
        found = json.loads(evosparse("show", made / "run", candidate.uid, "--json").out)
        details = found["details"]
        assert found["status"] == candidate.outcome.status
        assert details["judged"] == ROLES[candidate.genome.active]
        assert details["phenotype"] == candidate.genome.phenotype
        functions = details["functions"]
        assert {role: facts["formula"] for role, facts in functions.items()} == formulas(candidate.genome)
        shown = {role: facts.get("canonical", facts["formula"]) for role, facts in functions.items()}
        assert shown == {role: str(candidate.genome.function(role)) for role in ROLES}
    said = evosparse("show", made / "run", candidates[0].uid)
    assert said.code == 0 and "relu(x)" in said.out and "judged: input" in said.out


def test_lineage_shows_population_by_population(made: Path, candidates: list[Candidate], evosparse: Evosparse) -> None:
    child = candidates[-1]
    rows = json.loads(evosparse("lineage", made / "run", child.uid, "--json").out)
    genomes = {candidate.uid: candidate.genome for candidate in candidates}
    assert all(row["genome"] == genomes[row["uid"]].describe() for row in rows)
    groups = [name for name, _ in groupby(row["population"] for row in rows)]
    assert len(groups) == len(set(groups)) and groups[0] == child.population == "output"
    assert set(groups) <= set(POPULATIONS) and len(groups) >= 2
    uids = {row["uid"] for row in rows}
    assert all(parent in uids for row in rows for parent in row["parents"])
    own = [row for row in rows if row["population"] == "output"]
    assert [row["uid"] for row in own] == [child.uid, "5.0"]  # the first of its population has no parent there
    said = evosparse("lineage", made / "run", child.uid)
    assert said.code == 0 and "population" in said.out and all(name in said.out for name in groups)


def test_lineage_of_the_baseline_is_itself(made: Path, evosparse: Evosparse) -> None:
    (row,) = json.loads(evosparse("lineage", made / "run", "0.0", "--json").out)
    assert (row["population"], row["genome"], row["parents"]) == ("baseline", "relu(x) everywhere", [])


def test_verify_finds_equal_results(made: Path, candidates: list[Candidate], evosparse: Evosparse) -> None:
    rows = json.loads(evosparse("verify", made / "run", "--json").out)
    assert rows and all(row["same"] for row in rows)
    for candidate in candidates[::5]:
        assert evosparse("verify", made / "run", candidate.uid).code == 0


def test_digest_is_a_sha_256(made: Path, evosparse: Evosparse) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}\n", evosparse("digest", made / "run").out)


def test_export_as_source_computes_the_functions(
    made: Path, winner: Candidate, bench: Workbench, tmp_path: Path, evosparse: Evosparse
) -> None:
    file = tmp_path / "winner.py"
    found = json.loads(evosparse("export", made / "run", "-o", file, "--json").out)
    assert found["classes"] == ["InputActivation", "HiddenActivation", "OutputActivation"]
    assert found["functions"] == formulas(winner.genome)
    assert not re.search(r"^\s*(import|from) evosparse", file.read_text(), re.MULTILINE)
    spec = importlib.util.spec_from_file_location("exported_winner", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x = torch.linspace(-5, 5, 101)
    for role, name in zip(ROLES, found["classes"], strict=True):
        expected = bench.primitives.evaluate(winner.genome.function(role), x)
        assert torch.equal(getattr(module, name)().eval()(x), expected)


def test_export_as_source_is_the_default_and_goes_beside_the_database(
    made: Path, tmp_path: Path, winner: Candidate, evosparse: Evosparse
) -> None:
    shutil.copytree(made / "run", tmp_path / "run")
    assert evosparse("export", tmp_path / "run").code == 0
    assert "class OutputActivation(nn.Module)" in (tmp_path / "run" / f"{winner.uid}.py").read_text()
    assert evosparse("digest", tmp_path / "run").out == evosparse("digest", made / "run").out


def test_export_as_json_holds_formulas_measures_and_the_campaign(
    made: Path, candidates: list[Candidate], tmp_path: Path, evosparse: Evosparse
) -> None:
    candidate = next(one for one in candidates if one.ok and one.population == "output")
    file = tmp_path / "one.json"
    assert evosparse("export", made / "run", candidate.uid, "-o", file).code == 0
    document = json.loads(file.read_text())
    assert document["functions"] == formulas(candidate.genome)
    assert document["measures"] == dict(candidate.outcome.measures)
    assert document["uid"] == candidate.uid and document["campaign"]["name"] == "functions"


def test_export_as_tensors_is_the_network_of_the_examination(
    made: Path, winner: Candidate, bench: Workbench, tmp_path: Path, evosparse: Evosparse
) -> None:
    file = tmp_path / "winner.safetensors"
    assert evosparse("export", made / "run", "-o", file).code == 0
    with Store.open(made / "run") as store:
        (trial,) = [trial for trial in store.trials() if (trial.arm, trial.replicate) == ("winner", 0)]
    with safe_open(file, "numpy") as opened:
        assert json.loads(opened.metadata()["functions"]) == formulas(winner.genome)

    data = load(DataSpec(name="wine"))
    network = build(NetworkSpec(name="mlp", hidden=(8, 8, 8)), data.test.x.shape[1:], 3).module()
    network.load_state_dict({name: torch.from_numpy(values) for name, values in load_file(file).items()})
    places = [position for position, part in enumerate(network) if isinstance(part, (torch.nn.ReLU, Slot))]
    for position, role in zip(places, ROLES, strict=True):
        network[position] = Function(bench, winner.genome, role)
    right = network.eval()(torch.from_numpy(data.test.x)).argmax(dim=1).numpy() == data.test.y
    assert np.mean(right) == trial.outcome.measures["test_accuracy"]


class Function(torch.nn.Module):
    """One function of a triple, in a network."""

    def __init__(self, bench: Workbench, triple: Triple, role: str) -> None:
        super().__init__()
        self.bench, self.function = bench, triple.function(role)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bench.primitives.evaluate(self.function, x)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_export_as_a_picture(suffix: str, made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    file = tmp_path / f"winner{suffix}"
    said = evosparse("export", made / "run", "-o", file)
    if importlib.util.find_spec("matplotlib") is None:
        assert said.code == 2 and "pip install 'evosparse[plots]'" in said.err and not file.exists()
    else:
        assert said.code == 0, said.err
        assert file.read_bytes()[:4] in (b"\x89PNG", b"<?xm")


def test_an_export_without_matplotlib_says_what_to_install(
    made: Path, tmp_path: Path, evosparse: Evosparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = evosparse("export", made / "run", "-o", tmp_path / "winner.png")
    assert said.code == 2 and "pip install 'evosparse[plots]'" in said.err and "Traceback" not in said.err
    assert not list(tmp_path.iterdir())


def test_an_export_in_another_form_names_those_there_are(made: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse("export", made / "run", "-o", tmp_path / "winner.onnx")
    assert said.code == 2 and all(suffix in said.err for suffix in (".py", ".json", ".safetensors", ".png", ".svg"))


def test_reading_leaves_a_run_directory_as_it_was(made: Path, evosparse: Evosparse) -> None:
    before = [(path.name, path.read_bytes()) for path in sorted((made / "run").iterdir())]
    for command in ("hof", "show", "lineage", "verify", "digest"):
        assert evosparse(command, made / "run").code == 0
    assert [(path.name, path.read_bytes()) for path in sorted((made / "run").iterdir())] == before
