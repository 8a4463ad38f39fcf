"""A campaign on two Ray nodes that were started by hand, one of which is killed in the middle; and shares of a GPU.

Each node is a ``ray start`` of its own, with a loopback address, ports and a temporary folder of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from evosparse.engine.campaign import Campaign
from evosparse.engine.spec import read
from evosparse.engine.store import Store

HEAD, SECOND = "127.0.0.2", "127.0.0.3"  # Ray replaces 127.0.0.1 by the address of a network card
PATIENCE = 180.0  # seconds; a busy machine takes ten times as long as an idle one

CAMPAIGN = """
name: two-nodes
kind: masks
seed: 4
stop: {generations: 3}
data: digits
search: {method: genetic, sparsity: 0.95, population: 24}
evaluation: {batch: 1}
examination: {members: 0, baselines: []}
fitness: {function: nodes_plugin.py:score, parameters: {diary: DIARY}}
"""

PLUGIN = '''
from evosparse import fitness
from nodes_helper import note


@fitness(maximize="score")
def score(genome, seed, diary):
    note(diary)
    return {"score": genome.layers[0].indices.mean() + seed.rng().random(), "connections": genome.count}
'''

HELPER = '''
import json
import os
import sys
import time


def note(diary):
    """On a worker, write down where and with what this runs; slowly, and begin when two workers are there."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    context = ray.get_runtime_context()
    facts = {
        "node": context.get_node_id(),
        "pid": os.getpid(),
        "file": __file__,
        "resources": context.get_assigned_resources(),
        "gpus": context.get_accelerator_ids()["GPU"],
    }
    with open(os.path.join(diary, str(os.getpid())), "a") as page:
        page.write(json.dumps(facts) + "\\n")
    time.sleep(0.1)
    while len(os.listdir(diary)) < 2:
        time.sleep(0.02)
'''


class Node:
    """A Ray node: one ``ray start``, and all that comes of it in a session of its own.

    Args:
        folder: for its sockets and logs; short, because the path of a socket has at most 107 characters.
        address: its own address.
        environment: of its processes.
        options: of ``ray start``.
    """

    def __init__(self, folder: Path, address: str, environment: dict[str, str], *options: str) -> None:
        self.folder = folder
        folder.mkdir()
        fixed = {
            "node-ip-address": address,
            "temp-dir": folder,
            "object-store-memory": 100_000_000,
            "dashboard-agent-listen-port": free_port(),
            "include-log-monitor": False,
        }
        words = [*options, *(f"--{name}={value}" for name, value in fixed.items())]
        self._log = folder / "start.log"
        with self._log.open("w") as log:
            self._start = subprocess.Popen(
                [str(Path(sys.executable).with_name("ray")), "start", "--block", *words],
                env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Return when it has started."""
        wait_for(lambda: self._start.poll() is not None or "Ray runtime started" in self._log.read_text())
        assert self._start.poll() is None, self._log.read_text()

    def kill(self) -> None:
        """Kill its every process, its workers included, without warning."""
        kill_session(self._start)


@pytest.fixture()
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="evo"))
    yield path
    shutil.rmtree(path)


@pytest.fixture()
def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # A cluster of our own, which nobody else can join.
    return kept | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",  # saves processes that no campaign uses
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
    }


@pytest.fixture()
def campaign(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A campaign file with a plug-in beside it, and the plug-in's own helper."""
    place = folder / "user"
    place.mkdir()
    (place / "nodes_plugin.py").write_text(PLUGIN)
    (place / "nodes_helper.py").write_text(HELPER)
    (folder / "diary").mkdir()
    file = place / "campaign.yaml"
    file.write_text(CAMPAIGN.replace("DIARY", str(folder / "diary")))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield file
    for name in ("nodes_plugin", "nodes_helper"):
        sys.modules.pop(name, None)


def test_a_campaign_survives_the_death_of_a_node_with_the_same_digest(
    folder: Path, environment: dict[str, str], campaign: Path
) -> None:
    port = free_port()
    command = ["run", campaign, "--out", folder / "killed", "--address", f"{HEAD}:{port}", "--quiet"]
    join = (f"--address={HEAD}:{port}", "--num-cpus=1", "--num-gpus=0")
    with ExitStack() as stack:
        head = stack.enter_context(head_node(folder / "a", environment, port, cpus=1, gpus=0))
        second = stack.enter_context(started(folder / "b", SECOND, environment, *join))
        driver = stack.enter_context(running(command, folder, environment))

        def both_have_worked() -> bool:
            assert driver.poll() is None, driver.communicate()
            return all(len(entries_of(node, folder)) >= 4 for node in (head, second))

        wait_for(both_have_worked)
        second.kill()
        before = diary(folder)
        printed, complaint = driver.communicate(timeout=PATIENCE)

    assert driver.returncode == 0, complaint
    assert complaint == "" and "run directory" in printed
    entries = diary(folder)
    assert len(entries) > len(before), "the node was not killed in the middle"
    shipped = [entries_of(node, folder) for node in (head, second)]
    assert sum(map(len, shipped)) == len(entries), "the plug-in was imported from elsewhere"
    assert [len({entry["node"] for entry in part}) for part in shipped] == [1, 1]
    assert len({entry["node"] for entry in entries}) == 2
    with Campaign.from_spec(read(campaign), folder / "calm", campaign.parent) as calm:
        calm.run(workers=0)
        undisturbed = calm.store.digest()
    assert diary(folder) == entries
    with Store.open(folder / "killed") as store:
        assert store.digest() == undisturbed
        attempts = {outcome.attempts for outcome in store.outcomes().values()}
    assert attempts == {1}, "the death of the node was held against a genome"


def test_workers_share_a_gpu_and_more_than_there_is_is_refused(
    folder: Path, environment: dict[str, str], campaign: Path
) -> None:
    port = free_port()
    half = ["--set", "evaluation.gpus_per_worker=0.5", "--set", "stop.generations=1"]
    command = ["run", campaign, "--address", f"{HEAD}:{port}", "--quiet", *half]
    with ExitStack() as stack:
        stack.enter_context(head_node(folder / "a", environment, port, cpus=3, gpus=1))
        commands = [[*command, "--workers", count, "--out", folder / str(count)] for count in (2, 3)]
        two, three = (stack.enter_context(running(command, folder, environment)) for command in commands)
        printed, refusal = three.communicate(timeout=PATIENCE)
        _, complaint = two.communicate(timeout=PATIENCE)

    assert two.returncode == 0, complaint
    entries = diary(folder)
    assert len({entry["pid"] for entry in entries}) == 2
    for entry in entries:
        assert entry["resources"] == {"CPU": 1.0, "GPU": 0.5}
        assert entry["gpus"] == ["0"]
    assert three.returncode == 2
    assert printed == ""
    assert refusal.startswith("error: ") and refusal.count("\n") == 1, refusal
    assert all(words in refusal for words in ("3 workers", "0.5 GPU", "has room for 2"))


def head_node(
    folder: Path, environment: dict[str, str], port: int, cpus: int, gpus: int
) -> AbstractContextManager[Node]:
    options = (f"--port={port}", f"--num-cpus={cpus}", f"--num-gpus={gpus}", "--include-dashboard=false")
    return started(folder, HEAD, environment, "--head", *options)


@contextmanager
def started(folder: Path, address: str, environment: dict[str, str], *options: str) -> Iterator[Node]:
    """Give a node that runs, and see to it that nothing of it is left."""
    node = Node(folder, address, environment, *options)
    try:
        node.wait()
        yield node
    finally:
        node.kill()
    assert not [line for line in command_lines() if str(folder) in line]


@contextmanager
def running(words: Sequence[object], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run evosparse in a session of its own, of which nothing is left afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "evosparse", *map(str, words)],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        kill_session(process)


def kill_session(leader: subprocess.Popen) -> None:
    """Kill every process of a session; again, because one may be born meanwhile."""
    while members := session(leader.pid):
        for member in members:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            leader.wait(0.05)
    leader.wait()


def session(leader: int) -> list[int]:
    found = []
    for pid in all_processes():
        with suppress(ProcessLookupError):
            # A zombie whose parent is busy is as dead as can be.
            if os.getsid(pid) == leader and state(pid) != "Z":
                found.append(pid)
    return found


def state(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "Z"


def command_lines() -> list[str]:
    lines = []
    for pid in all_processes():
        with suppress(OSError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return lines


def all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def diary(folder: Path) -> list[dict]:
    """Return what the plug-in wrote down on the workers; a last line may be half written."""
    lines = [line for page in sorted((folder / "diary").iterdir()) for line in page.read_text().splitlines(True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def entries_of(node: Node, folder: Path) -> list[dict]:
    """Return the entries of the workers that imported the plug-in's helper from what was sent to that node."""
    return [entry for entry in diary(folder) if Path(entry["file"]).is_relative_to(node.folder)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HEAD, 0))
        return probe.getsockname()[1]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"nothing happened within {PATIENCE:g} s"
        time.sleep(0.05)
