"""Every command and every program of the README runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
BLOCK = re.compile(r"<!-- (\w+) -->\n```(\w+)\n(.*?)```", re.S)
BLOCKS = {name: code for name, _, code in BLOCK.findall(README)}
# Runs one command after the other, each in a process of its own, which is forked because importing takes seconds.
PROGRAM = """
import json, os, shlex, sys
from evosparse.cli import main

for number, command in enumerate(json.loads(sys.argv[1])):
    child = os.fork()
    if not child:
        os.dup2(os.open(f"printed{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        sys.argv = shlex.split(command)
        main()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"failed: {command}")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(PROJECT / "experiments", folder / "experiments", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(command: str, place: Path) -> str:
    """Run a command in a shell, and return what it printed."""
    words = command.replace("evosparse ", f"{sys.executable} -m evosparse ", 1)
    return start(["sh", "-c", words], place)


def run_block(name: str, place: Path) -> list[str]:
    """Run the commands of a block, and return what each of them printed."""
    commands = BLOCKS[name].strip().splitlines()
    start([sys.executable, "-c", PROGRAM, json.dumps(commands)], place)
    return [(place / f"printed{number}").read_text() for number in range(len(commands))]


def start(words: Sequence[str], place: Path) -> str:
    # The project's own `evosparse`, whether installed or run from a checkout.
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_fenced_block_is_named_and_tested() -> None:
    assert README.count("```") == 2 * len(BLOCKS)
    programs = {"classifier", "python", "plugin", "task", "sparse"}
    commands = {"run", "tests", "tour", "sparsify", "activations", "ensembles", "topologies", "published"}
    assert set(BLOCKS) == commands | programs


def test_the_first_command_runs_the_default_campaign(place: Path) -> None:
    install, command = BLOCKS["run"].split(" && .venv/bin/evosparse ")
    assert install == "python3 -m venv .venv && .venv/bin/pip install --quiet ."
    printed = run(f"evosparse {command.strip()}", place)
    for arm in ("winner", "random", "dense", "dropout", "test_accuracy", "reconstruction"):
        assert arm in printed


def test_the_second_command_runs_these_tests() -> None:
    assert BLOCKS["tests"].strip().endswith("pip install --quiet '.[test]' && .venv/bin/python -m pytest")


def test_the_tour_runs(place: Path) -> None:
    printed = run_block("tour", place)
    assert re.fullmatch(r"[0-9a-f]{64}\n", printed[-1])
    assert (place / "runs" / "winner.safetensors").exists()


def test_the_commands_about_published_methods_run(place: Path) -> None:
    published, evolved, table, shown = run_block("sparsify", place)
    assert "rigl every=20 0.95" in published and "start snip" in evolved and "method:" in shown
    assert all(word in table for word in ("snip 0.95", "winner", "start snip", "p (signs)"))
    assert "dense" not in table and "note" not in table


def test_the_commands_about_activation_functions_run(place: Path) -> None:
    printed = run_block("activations", place)
    assert "relu(x) everywhere" in printed[0] and "input" in printed[1]
    scope: dict[str, type] = {}
    exec((place / "runs" / "winner.py").read_text(), scope)
    assert all(name in scope for name in ("InputActivation", "HiddenActivation", "OutputActivation"))


def test_the_commands_about_ensembles_run(place: Path) -> None:
    printed = run_block("ensembles", place)
    assert "best single" in printed[0] and "of 26" in printed[1] and "accuracy" in printed[2]
    assert (place / "runs" / "ensemble.json").exists() and (place / "runs" / "ensemble.skops").exists()


def test_the_classifier_runs(place: Path) -> None:
    program = place / "classifier.py"
    program.write_text(BLOCKS["classifier"])
    accuracy, members = run(f"{sys.executable} classifier.py", place).split(maxsplit=1)
    assert float(accuracy) > 0.9 and members.startswith("(")


def test_the_commands_about_topologies_run(place: Path) -> None:
    printed = run_block("topologies", place)
    assert "winner" in printed[0] and "hidden" in printed[1] and "ray -90" in printed[2] and "parents" in printed[3]
    scope: dict[str, type] = {"__name__": "driver"}
    exec((place / "runs" / "driver.py").read_text(), scope)
    assert len(scope["Network"]().activate([0.5] * 6)) == 4
    assert "solution" in printed[-1] or "winner" in printed[-1]


def test_the_task_of_ones_own_runs(place: Path) -> None:
    program = place / "task.py"
    program.write_text(BLOCKS["task"])
    assert "fitness" in run(f"{sys.executable} task.py", place)


def test_the_commands_about_published_sparsifiers_run(place: Path) -> None:
    printed = run_block("published", place)
    assert all(arm in printed[0] for arm in ("dense", "lottery", "snip", "rigl", "0.95", "test_accuracy"))
    assert "seed" in printed[1] and "method" in printed[2] and (place / "runs" / "sparse.safetensors").exists()
    asked = "from smaller import network; import torch; print(network()(torch.zeros(3, 8, 8)).shape)"
    assert "[3, 10]" in run(f'{sys.executable} -c "{asked}"', place / "runs")


def test_the_program_about_a_module_of_ones_own_runs(place: Path) -> None:
    program = place / "sparse.py"
    program.write_text(BLOCKS["sparse"])
    printed = run(f"{sys.executable} sparse.py", place)
    assert printed.count("Sequential(") == 2 and printed.count("'1'") == 2


def test_the_python_program_runs(place: Path) -> None:
    program = place / "program.py"
    program.write_text(BLOCKS["python"])
    assert "sparse" in run(f"{sys.executable} program.py", place)


def test_the_plugin_runs(place: Path) -> None:
    (place / "plugin.py").write_text(BLOCKS["plugin"])
    shutil.copy(place / "experiments" / "kstarts_digits.yaml", place / "campaign.yaml")
    changes = ("fitness.function=plugin.py:margin", "search.k=3", "examination.members=0", "examination.baselines=[]")
    run(f"evosparse run campaign.yaml --workers 0 {' '.join(f'--set {change}' for change in changes)}", place)
