"""Bad input gets one clear error: where, what was expected, what came, how to mend it; exit code 2; nothing written."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import subprocess
import sys
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from bad_inputs import CASES, GOOD, Case
from ensemble_bad_inputs import ENSEMBLE_CASES
from sparsify_bad_inputs import SPARSIFY_CASES
from topology_bad_inputs import TOPOLOGY_CASES

from evosparse import cli
from evosparse.data import sources
from evosparse.engine.campaign import Campaign
from evosparse.engine.spec import read
from evosparse.engine.store import Store

ALL = [*CASES, *ENSEMBLE_CASES, *SPARSIFY_CASES, *TOPOLOGY_CASES]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    (folder / "good.yaml").write_text(GOOD)
    with Campaign.from_spec(read(folder / "good.yaml"), folder / "run", folder) as made:
        made.run()
    return folder


@pytest.fixture
def place(template: Path, forgetful: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user, with a valid campaign file and a finished campaign."""
    folder = forgetful / "place"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    return folder


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """The mode and the hash of everything below a folder, except for what Python itself compiles there."""
    paths = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
        )
        for path in paths
    }


def complain(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused, and return its error."""
    before = contents(Path.cwd())
    monkeypatch.setattr(sys, "argv", ["evosparse", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    assert stop.value.code == 2, printed
    assert printed.out == "" and "Traceback" not in printed.err
    assert contents(Path.cwd()) == before
    assert [line.lower().startswith("error: ") for line in printed.err.splitlines()].count(True) == 1
    return printed.err


def test_there_are_enough_cases_and_each_is_another() -> None:
    assert len(ALL) >= 40 and len({case.name for case in ALL}) == len(ALL)


def test_what_the_cases_start_from_is_valid(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evosparse", "run", "good.yaml", "--quiet"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code and (place / "runs" / "good" / "campaign.sqlite").exists()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name.replace(" ", "-"))
def test_one_clear_error_and_nothing_written(
    case: Case, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(**query: object) -> None:
        raise ConnectionError("no network in a test")

    monkeypatch.setattr(sources.datasets, "fetch_openml", offline)
    monkeypatch.delenv("EVOSPARSE_DATA", raising=False)
    case.prepare()
    told = complain(case.words, monkeypatch, capsys)
    missing = [part for part in case.told if part not in " ".join(told.split())]
    assert not missing, told


def test_every_mistake_of_a_file_is_told_at_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD.replace("k: 2", "k: 0, sparsity: 2").replace("workers: 0", "wokers: 0")
    Path("bad.yaml").write_text(text)
    told = complain(("run", "bad.yaml"), monkeypatch, capsys)
    assert all(key in told for key in ("search.k", "search.sparsity", "evaluation.wokers")) and told.count("\n") == 3


def test_a_run_that_another_process_writes_is_left_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Forked, because a new process needs seconds to import what this one has.
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(held, done))
    holder.start()
    assert held.wait(60)
    told = complain(("resume", "run", "--generations", "3"), monkeypatch, capsys)
    assert f"pid {holder.pid}" in told and "wait until it ends" in told
    with Store.open(Path("run")) as store:
        assert store.finished  # whoever only reads need not wait
    done.set()
    holder.join(60)
    assert holder.exitcode == 0


def hold(held: Event, done: Event) -> None:
    with Store.open(Path("run"), write=True):
        held.set()
        done.wait(60)


@pytest.mark.parametrize(
    "words",
    [("run", "good.yaml", "--out", "run")],
    ids=lambda words: words[-1],
)
def test_a_real_process_ends_with_2_as_well(words: tuple[str, ...], place: Path) -> None:
    before = contents(place)
    done = subprocess.run([sys.executable, "-m", "evosparse", *words], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr and contents(place) == before
