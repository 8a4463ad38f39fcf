"""What several test modules need: the command line in this process, experiments, and imports that are forgotten."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import ray
from console import Evosparse, Said
from hypothesis import settings

from evosparse import cli

# Ray's workers are polite, and beside other work on the machine get a thirtieth of a core: then everything times out.
os.environ.setdefault("RAY_worker_niceness", "0")

# No test asserts a time, and hypothesis's deadline would: processes that share the cores are slow now and then.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tests remember of fitted classifiers stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOSPARSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def evosparse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Evosparse:
    """The command line, in this process."""

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["evosparse", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Said(int(stop.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def experiment() -> Callable[[str], ModuleType]:
    """Imports a script of `experiments/` by its name."""

    def load(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "experiments"))
            return importlib.import_module(name)

    return load


@pytest.fixture(scope="module")
def connected() -> Iterator[None]:
    """This process connected to Ray, which the campaigns of a module share: to start and end it takes them seconds."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test's own folder, whose modules are forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
