"""A user's own primitives, network with slots and fitness plug in from a campaign file, together and from anywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from console import Evosparse
from safetensors.numpy import load_file

from evosparse.activations import Triple
from evosparse.engine.candidate import Candidate
from evosparse.engine.store import Store
from evosparse.plugins import resolve

EXAMPLES = Path(__file__).resolve().parents[2] / "experiments" / "plugins"
OWN = ("swish(", "gate(")
TINY = (
    "data={name: digits, limit: 300}", "search.n=3", "network.parameters.width=8", "fitness.parameters.epochs=1",
    "examination={epochs: 1, seeds: 1, baselines: [swish(x)]}",
)  # fmt: skip
TWO_OBJECTIVES = "from evosparse import fitness\n\n\n@fitness(maximize=['x', 'y'])\ndef f(triple):\n    return {}\n"
NO_SLOT = """from torch import nn


def make(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


@pytest.fixture
def examples(forgetful: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples outside the project, and not in the current folder."""
    (forgetful / "here").mkdir()
    monkeypatch.chdir(forgetful / "here")
    return Path(shutil.copytree(EXAMPLES, forgetful / "elsewhere", ignore=shutil.ignore_patterns("__pycache__")))


def words(*changes: str) -> list[str]:
    return [word for change in (*TINY, *changes) for word in ("--set", change)]


def run(examples: Path, evosparse: Evosparse, out: Path, workers: int = 0) -> dict[str, object]:
    said = evosparse("run", examples / "activations.yaml", *words(), "--workers", workers, "--out", out, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def candidates(folder: Path) -> list[Candidate]:
    with Store.open(folder) as store:
        return list(store.candidates(decode=Triple.from_bytes))


def test_everything_of_ones_own_runs_from_a_campaign_file(examples: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    found = run(examples, evosparse, tmp_path / "run")
    assert [arm["arm"] for arm in found["arms"]] == ["winner", "swish(x) everywhere"]
    assert all(row["same"] for row in json.loads(evosparse("verify", tmp_path / "run", "--json").out))
    seen = candidates(tmp_path / "run")
    formulas = " ".join(candidate.genome.describe() for candidate in seen)
    assert all(name in formulas for name in OWN)
    assert {candidate.genome.roles for candidate in seen} == {("input", "hidden", "output")}
    assert all(set(candidate.outcome.measures) == {"steady", "accuracy"} for candidate in seen if candidate.ok)


def test_a_worker_finds_the_users_files_and_measures_the_same(
    examples: Path, tmp_path: Path, evosparse: Evosparse
) -> None:
    for workers in (0, 1):
        run(examples, evosparse, tmp_path / f"run{workers}", workers)
    assert evosparse("digest", tmp_path / "run0").out == evosparse("digest", tmp_path / "run1").out


def test_an_exported_file_holds_the_users_primitives(examples: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    run(examples, evosparse, tmp_path / "run")
    with_own = [own for own in candidates(tmp_path / "run") if any(name in own.genome.describe() for name in OWN)]
    assert len(with_own) >= 2
    functions = {name: resolve(f"functions.py:{name}", examples) for name in ("swish", "gate")}
    x = torch.linspace(-4, 4, 33)
    for candidate in with_own:
        file = tmp_path / f"{candidate.uid}.py"
        assert evosparse("export", tmp_path / "run", candidate.uid, "-o", file).code == 0
        fresh: dict[str, object] = {"__name__": "fresh"}
        exec(compile(file.read_text(), str(file), "exec"), fresh)
        used = {name for name in functions if f"{name}(" in candidate.genome.describe()}
        assert used == functions.keys() & fresh.keys()
        for name in used:
            assert fresh[name] is not functions[name]
            arguments = (x, x.flip(0))[: 1 if name == "swish" else 2]
            assert torch.equal(fresh[name](*arguments), functions[name](*arguments))
        for role in candidate.genome.roles:
            y = fresh[f"{role.capitalize()}Activation"]().eval()(x)
            assert torch.equal(y, by_hand(str(candidate.genome.function(role)), x, functions))


def by_hand(formula: str, x: torch.Tensor, functions: dict[str, object]) -> torch.Tensor:
    """Evaluate a formula of the campaign's primitives as the Python text that it is."""
    published = {
        "max": torch.maximum, "min": torch.minimum, "tanh": torch.tanh, "relu": torch.relu,
        "elu": torch.nn.functional.elu,
    }  # fmt: skip
    return eval(formula, {"__builtins__": {}, "x": x, **published, **functions})


def test_the_exported_network_is_the_users_module(examples: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    run(examples, evosparse, tmp_path / "run")
    file = tmp_path / "winner.safetensors"
    assert evosparse("export", tmp_path / "run", "-o", file).code == 0
    module = resolve("residual.py:residual", examples)((1, 8, 8), 10, width=8, blocks=2)
    tensors = {name: torch.from_numpy(values) for name, values in load_file(file).items()}
    module.load_state_dict(tensors)
    assert len(tensors) == 2 * (1 + 2 * 2 + 2)


def test_the_example_passes_check_fitness(examples: Path, evosparse: Evosparse) -> None:
    said = evosparse("check-fitness", examples / "activations.yaml", *words(), "--workers", 0)
    assert said.code == 0, said.err
    assert "steady (max)" in said.out and said.out.endswith("ok\n")


def test_functions_that_cannot_be_measured_say_why(examples: Path, tmp_path: Path, evosparse: Evosparse) -> None:
    change = ("functions.primitives=[sub]", "examination.members=0", "examination.baselines=[]")
    said = evosparse(
        "run", examples / "activations.yaml", *words(*change), "--workers", 0, "--out", tmp_path / "run", "--quiet"
    )
    assert said.code == 0, said.err
    refused = [candidate for candidate in candidates(tmp_path / "run") if not candidate.ok]
    assert refused
    for candidate in refused:
        assert candidate.outcome.status == "invalid" and "is constant on points" in candidate.outcome.message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["functions.primitives=[max, 'functions.py:swoosh']"], ("has no 'swoosh'", "did you mean 'swish'?")),
        (["functions.primitives=[max, 'wrong.py:three']"], ("wrong.py:three", "one or two tensors", "(x, y, z)")),
        (["functions.primitives=[max, 'wrong.py:halved']"], ("wrong.py:halved", "the arguments' shape", "got (1, 32)")),
        (["functions.computation=compiled"], ("functions.computation", "primitives of your own", "tensors or auto")),
        (["network={module: 'no_slot.py:make'}"], ("expected places for activation functions", "evosparse.nets.Slot")),
        (["fitness={function: 'two_objectives.py:f'}"], ("expected one objective", "got x, y", "name one")),
        (["fitness.parameters.noisy=1"], ("steady:steady takes no parameter 'noisy'", "did you mean 'noise'?")),
        (["search.baseline=swoosh(x)"], ("unknown primitive 'swoosh'", "did you mean 'swish'?")),
    ],
    ids=["no primitive", "three arguments", "another shape", "compiled", "no slot", "two objectives", "no parameter",
         "no formula"],
)  # fmt: skip
def test_a_wrong_plug_in_gives_one_clear_error(
    changes: list[str], told: tuple[str, ...], examples: Path, tmp_path: Path, evosparse: Evosparse
) -> None:
    wrong = "def three(x, y, z):\n    return x + y + z\n\n\ndef halved(x):\n    return x[: len(x) // 2]\n"
    for name, source in (("wrong", wrong), ("no_slot", NO_SLOT), ("two_objectives", TWO_OBJECTIVES)):
        (examples / f"{name}.py").write_text(source)
    out = tmp_path / "run"
    said = evosparse("run", examples / "activations.yaml", *words(*changes), "--workers", 0, "--out", out)
    assert said.code == 2 and said.out == "" and "Traceback" not in said.err and not out.exists()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert all(part in said.err for part in told), said.err
