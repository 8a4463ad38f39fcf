"""The command `sparsify`: a campaign like any other, all seeds one population, and one clear error for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from console import Evosparse

from evosparse.engine.store import Store

QUICK = ("--network", "mlp", "--data", "iris", "--epochs", "2", "--workers", "0", "--quiet")


def test_the_command_runs_what_the_campaign_file_says(tmp_path: Path, evosparse: Evosparse) -> None:
    said = evosparse(
        "sparsify", "--method", "rigl", "--method", "snip", *QUICK, "--sparsity", "0.8", "--sparsity", "0.9", "--seeds", "3",
        "--set", "rigl.every=2", "--set", "rigl.fraction=0.5", "--set", "training.batch=10", "--set", "seed=5",
        "--out", tmp_path / "short", "--json",
    )  # fmt: skip
    assert said.code == 0 and said.err == ""
    arms = json.loads(said.out)["arms"]
    assert [arm["arm"] for arm in arms] == ["rigl 0.8", "rigl 0.9", "snip 0.8", "snip 0.9"]
    assert all(len(arm["measures"]["test_accuracy"]["values"]) == 3 for arm in arms)
    with Store.open(tmp_path / "short") as store:
        document = store.header.document
    assert document["name"] == "sparsify-rigl-snip-mlp" and document["evaluation"]["batch"] == 3
    assert document["methods"][0]["every"] == 2 and document["methods"][0]["fraction"] == 0.5

    (tmp_path / "long.yaml").write_text("""
name: long
kind: sparsify
seed: 5
data: iris
network: mlp
training: {batch: 10}
methods: [{method: rigl, every: 2, fraction: 0.5}, snip]
sparsities: [0.8, 0.9]
seeds: 3
epochs: 2
evaluation: {batch: 3, workers: 0}
""")
    assert evosparse("run", tmp_path / "long.yaml", "--out", tmp_path / "long", "--quiet").code == 0
    assert evosparse("digest", tmp_path / "short").out == evosparse("digest", tmp_path / "long").out
    for command in ("list", "hof", "show", "compare"):
        assert evosparse(command, tmp_path if command == "list" else tmp_path / "short").code == 0


def test_the_run_directory_is_named_after_method_and_network(
    tmp_path: Path, evosparse: Evosparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evosparse("sparsify", "--method", "random", *QUICK, "--seeds", "1").code == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["sparsify-random-mlp"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "rgl"), "rigl"),
        (("--method", "rigl", "--method", "rigl"), "once"),
        (("--method", "rigl", "--set", "rigl.evry=3"), "every"),
        (("--method", "rigl", "--set", "rigl.every=often"), "every"),
        (("--method", "rigl", "--set", "rigl"), "KEY=VALUE"),
        (("--method", "rigl", "--set", "snip.examples=3"), "snip"),
        (("--method", "rigl", "--sparsity", "1"), "sparsities"),
        (("--method", "rigl", "--seeds", "0"), "seeds"),
        (("--method", "rigl", "--network", "lenet"), "lenet300"),
        (("--method", "rigl", "--network", "missing.py:net"), "missing.py"),
        (("--method", "rigl", "--data", "nowhere.npz"), "nowhere.npz"),
        ((), "--method"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(
    words: tuple[str, ...], told: str, tmp_path: Path, evosparse: Evosparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = evosparse("sparsify", "--data", "iris", "--workers", "0", *words)
    assert said.code == 2 and told in said.err and said.out == ""
    assert list(tmp_path.iterdir()) == []
