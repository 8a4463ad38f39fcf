"""A campaign's digest is the same however it is run, and however often it is killed; the long form is a benchmark."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from rich.console import Console

from evosparse.engine.campaign import Campaign
from evosparse.engine.listeners import Listener, PlainProgress
from evosparse.engine.spec import read

SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "benchmarks" / "same_result.py"
# Seconds within which a campaign is killed; one that was quicker is killed sooner, at the next try. A process that
# evaluates activation functions compiles for some seconds at first.
SPANS = {"masks": 1.5, "activations": 4.0, "ensembles": 1.5, "topologies": 1.5, "sparsify": 1.5}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=SPANS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def file(script: ModuleType, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return script.write_campaign(tmp_path_factory.mktemp("campaign"), kind, generations=5, epochs=1)


@pytest.fixture(scope="module")
def expected(file: Path) -> str:
    return digest_of(file, file.parent / "undisturbed")


def digest_of(
    file: Path,
    out: Path,
    workers: int = 0,
    cache: bool = True,
    listener: Listener = Listener(),
    overrides: Sequence[str] = (),
) -> str:
    spec = read(file, [f"evaluation.cache={str(cache).lower()}", *overrides])
    with Campaign.from_spec(spec, out, file.parent) as campaign:
        campaign.run(workers=workers, listener=listener)
        return campaign.store.digest()


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("progress", [True, False])
def test_cache_and_progress_change_nothing(
    file: Path, tmp_path: Path, expected: str, cache: bool, progress: bool
) -> None:
    listener = PlainProgress(Console(file=io.StringIO())) if progress else Listener()
    assert digest_of(file, tmp_path / "run", 0, cache, listener) == expected


@pytest.mark.parametrize(
    ("kind", "workers"),
    [("masks", 1), ("masks", 2), ("activations", 2), ("ensembles", 2), ("topologies", 2), ("sparsify", 1), ("sparsify", 2)],
    indirect=["kind"],
)
@pytest.mark.usefixtures("connected")
def test_the_number_of_workers_changes_nothing(file: Path, tmp_path: Path, expected: str, workers: int) -> None:
    assert digest_of(file, tmp_path / "run", workers) == expected


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("kind", ["ensembles"], indirect=True)
def test_remembered_votes_change_nothing(
    file: Path, tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOSPARSE_CACHE", str(tmp_path / "cache"))
    for count, workers in enumerate((1, 0)):
        assert len(list((tmp_path / "cache").rglob("*.npz"))) == 8 * count
        assert digest_of(file, tmp_path / f"run{count}", workers, overrides=["pool.cache=true"]) == expected


# Without workers the whole tree is the driver alone: for one kind that other moment will do.
@pytest.mark.parametrize(
    ("kind", "kill", "workers"),
    [
        ("masks", 0, 0), ("masks", 1, 1), ("masks", 2, 0),
        ("activations", 0, 0), ("activations", 1, 1), ("ensembles", 0, 0), ("ensembles", 1, 1),
        ("topologies", 0, 0), ("topologies", 1, 1), ("sparsify", 0, 0), ("sparsify", 1, 1),
    ],
    indirect=["kind"],
)  # fmt: skip
def test_a_killed_campaign_goes_on_to_the_same_result(
    script: ModuleType, kind: str, file: Path, tmp_path: Path, expected: str, kill: int, workers: int
) -> None:
    rng = np.random.default_rng(kill)
    commands, _ = script.kill_somewhen(file, tmp_path / "run", script.KILLS[kill], workers, SPANS[kind], rng)
    with Campaign.resume(commands.out) as campaign:
        assert not campaign.store.finished
        campaign.run(workers=0)
        assert campaign.store.digest() == expected
    commands.clean()


def test_another_seed_gives_another_result(file: Path, tmp_path: Path, expected: str) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text().replace("seed: 7", "seed: 8"))
    assert digest_of(other, tmp_path / "run") != expected
