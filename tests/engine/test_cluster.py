"""The Ray cluster: the same outcomes from any number of workers, whose code, GPUs and processes are as promised."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import ray
from toys import Fatal, Matrix, Misbehaving, Number, Telling, Unprepared, jobs_for

from evosparse.engine.candidate import Status
from evosparse.engine.cluster import Cluster
from evosparse.engine.evaluate import InProcessEvaluator, Policy
from evosparse.engine.problem import Stage
from evosparse.errors import CampaignFailed, ClusterError, PluginError

SOURCES = [Path(__file__).parent]
JOBS = jobs_for([Number(value) for value in range(50)])


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_an_address_where_nothing_answers_is_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at 127.0.0.1:{port}: start it with 'ray start"):
        Cluster(2, address=f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "127.0.0.1", "head:port", ""])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="expected the address of a Ray cluster as HOST:PORT or 'auto', got"):
        Cluster(2, address=address)
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def connection() -> Iterator[None]:
    """This process connected to Ray before evosparse comes, with logical CPUs and a logical GPU."""
    ray.init("local", num_cpus=6, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def cluster(connection: None) -> Iterator[Cluster]:
    with Cluster(4, gpus_per_worker=0, sources=SOURCES) as cluster:
        yield cluster


@pytest.fixture
def single(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The same cluster, of which evaluators use one worker only."""
    monkeypatch.setattr(cluster, "workers", 1)
    return cluster


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_outcomes_are_those_of_one_process(cluster: Cluster, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).normal(size=(64, 500))
    stage, policy = Stage(Matrix(), data, Number), Policy(batch=8)
    expected = [outcome.measures for outcome in InProcessEvaluator(stage, policy).evaluate(JOBS)]
    monkeypatch.setattr(cluster, "workers", workers)
    done: list[int] = []
    with cluster.evaluator(stage, policy) as evaluator:
        assert [outcome.measures for outcome in evaluator.evaluate(JOBS, done.append)] == expected
        assert evaluator.evaluate([]) == []
    assert sum(done) == len(JOBS)


def test_a_worker_has_one_thread_and_shared_data_in_a_process_that_serves_every_stage(single: Cluster) -> None:
    told = []
    for _ in range(2):
        with single.evaluator(Stage(Telling(), np.zeros(100_000), Number), Policy()) as evaluator:
            told.append(evaluator.evaluate(JOBS[:1])[0].measures)
    assert told[0] == told[1]
    assert told[0] == {"pid": told[0]["pid"], "cuda": 0, "writable": 0, "threads": 1, "here": 1}
    assert told[0]["pid"] != os.getpid()


def test_a_fitness_that_cannot_prepare_fails_the_campaign_with_its_message(single: Cluster) -> None:
    with pytest.raises(CampaignFailed, match="OSError: the licence server is down"):
        single.evaluator(Stage(Unprepared(), None, Number), Policy())


def test_a_fitness_that_kills_its_worker_as_it_prepares_fails_the_campaign(single: Cluster) -> None:
    with pytest.raises(CampaignFailed, match="a worker dies as it prepares the fitness: its process died"):
        single.evaluator(Stage(Fatal(), None, Number), Policy())


@pytest.mark.parametrize("what", ["fitness", "data"])
def test_what_cannot_be_sent_is_refused(single: Cluster, what: str) -> None:
    fitness, lock = Misbehaving(), threading.Lock()
    fitness.lock = lock if what == "fitness" else None
    with pytest.raises(PluginError, match=f"the {what} cannot be sent to workers.*in prepare()"):
        single.evaluator(Stage(fitness, lock if what == "data" else None, Number), Policy())


def test_code_that_a_worker_has_not_is_named(
    single: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "left_at_home.py").write_text("import toys\n\n\nclass Lonely(toys.Misbehaving):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import left_at_home

    with pytest.raises(PluginError, match="No module named 'left_at_home'; install it on every node"):
        single.evaluator(Stage(left_at_home.Lonely(), None, Number), Policy())


def test_an_interruption_is_obeyed_and_leaves_the_evaluator_usable(single: Cluster) -> None:
    with single.evaluator(Stage(Misbehaving(), None, Number), Policy()) as evaluator:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            evaluator.evaluate(jobs_for([Number(1, "sleep")]))
        timer.join()
        assert all(outcome.ok for outcome in evaluator.evaluate(JOBS))


def test_workers_share_a_gpu(cluster: Cluster) -> None:
    with Cluster(2) as pair:
        assert pair.gpus_per_worker == 0.5
        assert until(lambda: ray.available_resources().get("GPU", 0) == 0)


@pytest.mark.parametrize("wanted", [{"workers": 4, "gpus_per_worker": 0.5}, {"workers": 7}, {"gpus_per_worker": 2}])
def test_more_than_the_cluster_has_is_refused(connection: None, wanted: dict[str, float]) -> None:
    with pytest.raises(ClusterError, match=r"expected room for .* \(its nodes: 6 CPU and 1 GPU\): ask for fewer"):
        Cluster(**wanted)


def test_a_connection_to_another_cluster_is_refused(connection: None) -> None:
    with pytest.raises(ClusterError, match=r"call ray.shutdown\(\) to join 127.0.0.1:1"):
        Cluster(2, address="127.0.0.1:1")
    assert ray.is_initialized(), "a connection that was there before must survive"


def descendants(pid: int) -> set[int]:
    """Return the processes below one, from what the system tells of all."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {pid}


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from evosparse.engine.cluster import Cluster
from evosparse.engine.evaluate import Policy
from evosparse.engine.fitness import find_fitness
from evosparse.engine.problem import Stage
from toys import Number, jobs_for
from test_cluster import descendants

before = dict(os.environ), signal.getsignal(signal.SIGTERM)
fitness = find_fitness("plugin.py:lengths", {"factor": 3}, Path(sys.argv[1]))
jobs = jobs_for([Number(value, "" if value != 5 else "exit") for value in range(12)])
with Cluster(2, sources=[Path(sys.argv[1]), Path(sys.argv[2])]) as cluster:
    with cluster.evaluator(Stage(fitness, [1, 2], Number), Policy(batch=1, retries=0)) as evaluator:
        outcomes = evaluator.evaluate(jobs)
        started = sorted(descendants(os.getpid()))
restored = (dict(os.environ), signal.getsignal(signal.SIGTERM)) == before
answer = [[outcome.status, outcome.measures.get("length")] for outcome in outcomes]
print(json.dumps({"started": started, "restored": restored, "outcomes": answer}))
"""


def test_a_cluster_of_its_own_runs_a_plug_in_file_quietly_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def length(value):\n    return len(str(value))\n")
    (tmp_path / "plugin.py").write_text(
        textwrap.dedent("""
        import os

        from evosparse.engine.fitness import fitness

        @fitness(minimize="length")
        def lengths(genome, data, factor):
            from helper import length  # only now, on the worker
            if genome.deed:
                os._exit(1)
            return factor * length(genome.value) + sum(data)
        """)
    )
    folder = Path(__file__).parent
    elsewhere = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(folder)]
    run = subprocess.run(command, env=elsewhere, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)  # and nothing else on standard output
    assert run.stderr == ""
    expected = [[Status.OK, 3.0 * len(str(value)) + 3] for value in range(12)]
    expected[5] = [Status.CRASHED, None]
    assert answer["outcomes"] == expected
    assert answer["restored"]
    assert len(answer["started"]) > 4
    assert until(lambda: not _alive(answer["started"]), 20), _alive(answer["started"])


def _alive(processes: Sequence[int]) -> dict[int, str]:
    found = {pid: Path(f"/proc/{pid}/cmdline") for pid in processes}
    return {pid: path.read_text() for pid, path in found.items() if path.exists() and path.read_text()}
