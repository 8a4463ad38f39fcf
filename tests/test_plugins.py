"""A user's fitness and network run by name from a campaign file, and check-fitness says what is wrong with one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from console import Evosparse, Said

from evosparse.engine.store import Store
from evosparse.errors import PluginError
from evosparse.masks import Mask
from evosparse.plugins import local_folder, reference_to, resolve

EXAMPLES = Path(__file__).resolve().parent.parent / "experiments" / "plugins"
TINY = {
    "calm": ("search.k=3", "fitness.parameters.epochs=1"),
    "worst_class": ("search.population=4", "fitness.parameters.epochs=1", "stop.generations=2"),
    "convolutional": ("search.k=2", "search.epochs=1", "data={name: digits, limit: 200}", "network.parameters.width=2"),
}
CAMPAIGN = """
name: checked
kind: masks
data: wine
network: {name: mlp, hidden: [8]}
search: {method: kstarts, scope: global, k: 30}
"""
FUNCTIONS = """
name: checked
kind: activations
data: wine
network: {name: mlp, hidden: [8, 8, 8]}
functions: {computation: tensors}
search: {method: coevolution, n: 3}
"""
HEAD = "from evosparse import fitness\n\n\n@fitness(maximize='x')\n"
REFUSING = HEAD.replace("import fitness", "import Invalid, fitness")


@pytest.fixture
def examples(forgetful: Path) -> Path:
    """A copy of the examples, outside the project."""
    return Path(shutil.copytree(EXAMPLES, forgetful / "elsewhere", ignore=shutil.ignore_patterns("__pycache__")))


def checked(
    source: str, forgetful: Path, stem: str, evosparse: Evosparse, workers: int = 0, campaign: str = CAMPAIGN
) -> Said:
    """Run check-fitness on a campaign with the function or class `f` of a file."""
    (forgetful / f"{stem}.py").write_text(source)
    (forgetful / "campaign.yaml").write_text(f"{campaign}fitness: {stem}.py:f\n")
    said = evosparse("check-fitness", forgetful / "campaign.yaml", "--workers", workers)
    assert "Traceback" not in said.err and said.err.count("error:") == (said.code != 0)
    return said


@pytest.mark.parametrize("name", TINY)
def test_the_example_runs_from_its_campaign_file(name: str, examples: Path, evosparse: Evosparse) -> None:
    small = ("examination.epochs=1", "examination.seeds=1", "examination.baselines=[random]")
    options = [word for change in (*TINY[name], *small) for word in ("--set", change)]
    said = evosparse("run", examples / f"{name}.yaml", *options, "--workers", 0, "--out", examples / "run", "--json")
    assert said.code == 0, said.err
    assert [arm["arm"] for arm in json.loads(said.out)["arms"]] == ["winner", "random"]
    assert all(row["same"] for row in json.loads(evosparse("verify", examples / "run", "--json").out))


def test_what_the_function_measures_is_stored(examples: Path, evosparse: Evosparse) -> None:
    options = ("--set", "search.k=3", "--set", "fitness.parameters={epochs: 1, penalty: 0.25}")
    nothing = ("--set", "examination={members: 0, baselines: []}", "--workers", 0, "--quiet")
    assert evosparse("run", examples / "calm.yaml", *options, *nothing, "--out", examples / "run").code == 0
    with Store.open(examples / "run") as store:
        found = [candidate.outcome.measures for candidate in store.candidates(decode=Mask.from_bytes)]
    assert len(found) == 3
    for measures in found:
        assert measures["calm"] == measures["accuracy"] - 0.25 * measures["sure_of_wrong"]


def test_the_masks_are_those_of_the_users_network(examples: Path, evosparse: Evosparse) -> None:
    options = [word for change in TINY["convolutional"] for word in ("--set", change)]
    nothing = ("--set", "examination={epochs: 1, members: 0, baselines: []}", "--workers", 0, "--quiet")
    assert evosparse("run", examples / "convolutional.yaml", *options, *nothing, "--out", examples / "run").code == 0
    with Store.open(examples / "run") as store:
        layers = store.hall_of_fame(Mask.from_bytes)[0].genome.layers
    shapes = {"first": (2, 1, 3, 3), "second": (4, 2, 3, 3), "output": (10, 16)}
    assert {layer.name: layer.shape for layer in layers} == shapes
    exported = json.loads(evosparse("export", examples / "run", "--json").out)
    assert exported["tensors"]["second.mask"] == [4, 2, 3, 3] and "second.bias" in exported["tensors"]


@pytest.mark.usefixtures("connected")
def test_the_examples_pass_check_fitness_on_a_worker(examples: Path, evosparse: Evosparse) -> None:
    said = evosparse("check-fitness", examples / "calm.yaml", "--set", "fitness.parameters.epochs=1")
    assert said.code == 0, said.err
    assert "calm (max)" in said.out and "on a worker" in said.out and said.out.endswith("ok\n")


@pytest.mark.usefixtures("connected")
def test_check_fitness_finds_an_unpicklable_closure(forgetful: Path, evosparse: Evosparse) -> None:
    source = "import threading\n\nfrom evosparse import fitness\n\n\ndef make():\n    lock = threading.Lock()\n\n"
    source += "    @fitness(maximize='x')\n    def inner(mask):\n        with lock:\n            return 1.0\n\n"
    said = checked(source + "    return inner\n\n\nf = make()\n", forgetful, "closure_fitness", evosparse, workers=1)
    assert said.code == 2 and "runs here" in said.out
    assert "the fitness cannot be sent to" in said.err and "in prepare()" in said.err


def test_check_fitness_finds_a_wrong_signature(forgetful: Path, evosparse: Evosparse) -> None:
    said = checked(f"{HEAD}def f(mask, other):\n    return 1.0\n", forgetful, "wrong_signature", evosparse)
    assert said.code == 2 and "wrong_signature:f(mask, other) does not accept" in said.err and "'other'" in said.err


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("'high'", "expected a number for 'x', got str"),
        ("None", "expected a number for 'x', got NoneType"),
        ("float('nan')", "expected a finite number for 'x', got nan"),
        ("{'y': 1.0}", "expected the objectives x, got y"),
        ("[1.0, 2.0]", "expected a number for 'x', got list"),
    ],
)
def test_check_fitness_finds_a_wrong_return_value(
    returned: str, told: str, forgetful: Path, evosparse: Evosparse
) -> None:
    said = checked(f"{HEAD}def f(mask):\n    return {returned}\n", forgetful, "wrong_value", evosparse)
    assert said.code == 2 and told in said.err and "mend it" in said.err


def test_check_fitness_finds_a_missing_module(forgetful: Path, evosparse: Evosparse) -> None:
    said = checked(f"import tensorfloh\n{HEAD}def f(mask):\n    return 1.0\n", forgetful, "missing_module", evosparse)
    assert said.code == 2 and "no module named 'tensorfloh'" in said.err and "install it or mend the name" in said.err


def test_check_fitness_finds_what_is_not_repeatable(forgetful: Path, evosparse: Evosparse) -> None:
    source = f"import random\n{HEAD}def f(mask):\n    return random.random()\n"
    said = checked(source, forgetful, "global_random", evosparse)
    assert said.code == 2 and "not repeatable" in said.err and "'seed'" in said.err


def test_check_fitness_finds_genomes_that_judge_each_other(forgetful: Path, evosparse: Evosparse) -> None:
    source = "from evosparse import Fitness\n\n\nclass f(Fitness):\n    objectives = {'rank': 'min'}\n\n"
    source += "    def evaluate(self, genomes, seeds):\n        return [{'rank': len(genomes)} for _ in genomes]\n"
    said = checked(source, forgetful, "relative_fitness", evosparse)
    assert said.code == 2 and "rank 2.0 first, rank 1.0 when evaluated alone" in said.err


def test_check_fitness_passes_over_what_is_refused_on_purpose(forgetful: Path, evosparse: Evosparse) -> None:
    source = f"{REFUSING}def f(mask):\n    return 1.0 if int(mask.key, 16) % 4 == 3 else Invalid('too odd')\n"
    said = checked(source, forgetful, "picky_fitness", evosparse)
    assert said.code == 0, said.err
    assert "runs here: x 1.0" in said.out and "genomes, the first: too odd" in said.out and said.out.endswith("ok\n")


def test_check_fitness_says_nothing_of_refusals_where_there_are_none(forgetful: Path, evosparse: Evosparse) -> None:
    said = checked(f"{HEAD}def f(mask):\n    return 1.0\n", forgetful, "content_fitness", evosparse)
    assert [line.partition(":")[0] for line in said.out.splitlines()] == ["found", "runs here", "repeatable", "ok"]


def test_check_fitness_gives_up_where_nothing_is_measured(forgetful: Path, evosparse: Evosparse) -> None:
    source = f"{REFUSING}def f(mask):\n    return Invalid('never\\nin a line')\n"
    said = checked(source, forgetful, "never_fitness", evosparse)
    assert said.code == 2 and "measures of one of the first 20 genomes" in said.err and "'never in a line'" in said.err


@pytest.mark.parametrize(("returned", "told"), [("None", "expected a number for 'x'"), ("1 / 0", "line 6")])
def test_check_fitness_never_passes_over_what_is_broken(
    returned: str, told: str, forgetful: Path, evosparse: Evosparse
) -> None:
    source = f"{REFUSING}def f(mask):\n    return Invalid('even') if int(mask.key, 16) % 2 else {returned}\n"
    said = checked(source, forgetful, "broken_fitness", evosparse)
    assert said.code == 2 and told in said.err and "even" not in said.err


def test_check_fitness_asks_a_search_for_its_next_generation(forgetful: Path, evosparse: Evosparse) -> None:
    # The first generation is the baseline alone.
    source = f"{REFUSING}def f(triple):\n    return Invalid('as ever') if len(set(triple.expressions)) == 1 else 0.5\n"
    said = checked(source, forgetful, "novel_fitness", evosparse, campaign=FUNCTIONS)
    assert said.code == 0, said.err
    assert "runs here: x 0.5" in said.out and "refused 1 of 3 genomes, the first: as ever" in said.out


def test_check_fitness_finds_genomes_that_judge_those_before_them(forgetful: Path, evosparse: Evosparse) -> None:
    source = "from evosparse import Fitness\n\n\nclass f(Fitness):\n    objectives = {'rank': 'min'}\n\n"
    source += "    def evaluate(self, genomes, seeds):\n        return [{'rank': len(genomes)} for _ in genomes]\n"
    said = checked(source, forgetful, "relative_triples", evosparse, campaign=FUNCTIONS)
    assert said.code == 2 and "rank 1.0 first, rank 2.0 when evaluated beside another" in said.err


def test_check_fitness_tells_where_an_exception_was_raised(forgetful: Path, evosparse: Evosparse) -> None:
    said = checked(f"{HEAD}def f(mask):\n    return mask.wieghts\n", forgetful, "raising_fitness", evosparse)
    assert said.code == 2 and "wieghts" in said.err and "raising_fitness.py, line 6" in said.err


def test_check_fitness_finds_a_prepare_that_fails(forgetful: Path, evosparse: Evosparse) -> None:
    source = "from evosparse import Fitness\n\n\nclass f(Fitness):\n    objectives = {'x': 'max'}\n\n"
    source += "    def prepare(self, resources):\n        open('nowhere.txt')\n\n"
    source += "    def evaluate(self, genomes, seeds):\n        return [{'x': 1.0} for _ in genomes]\n"
    said = checked(source, forgetful, "unprepared_fitness", evosparse)
    assert said.code == 2 and "nowhere.txt" in said.err and "mend it" in said.err


def test_a_users_file_never_replaces_a_library(forgetful: Path) -> None:
    (forgetful / "numpy.py").write_text("raise RuntimeError('imported in place of numpy')\n")
    (forgetful / "beside_numpy.py").write_text("import numpy\n\n\ndef f():\n    return numpy.pi\n")
    assert resolve("beside_numpy.py:f", forgetful)() == np.pi
    with pytest.raises(PluginError, match="the name of another module"):
        resolve("numpy.py:pi", forgetful)


def test_two_files_of_one_name_are_told_apart(forgetful: Path) -> None:
    for name in ("one", "two"):
        (forgetful / name).mkdir()
        (forgetful / name / "twin_fitness.py").write_text("value = 1\n")
    assert resolve("one/twin_fitness.py:value", forgetful) == 1 == resolve("twin_fitness.py:value", forgetful / "one")
    with pytest.raises(PluginError, match="rename the file"):
        resolve("two/twin_fitness.py:value", forgetful)


def test_the_folder_of_a_users_code_is_the_one_to_send(forgetful: Path) -> None:
    (forgetful / "package").mkdir()
    (forgetful / "package" / "__init__.py").write_text("")
    (forgetful / "package" / "part.py").write_text("def f(mask):\n    return 1\n")
    (forgetful / "single_file.py").write_text("class F:\n    pass\n")
    function, made = resolve("package.part:f", forgetful), resolve("single_file.py:F", forgetful)()
    assert (reference_to(function), local_folder(function)) == ("package.part:f", forgetful)
    assert (reference_to(made), local_folder(made)) == ("single_file:F", forgetful)
    assert local_folder(np.mean) is None and local_folder(Mask) is None and local_folder(json.dumps) is None
