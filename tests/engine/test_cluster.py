"""The Ray cluster: the same outcomes from any number of workers, whose code, GPUs and processes are as promised."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from evosparse.engine.cluster import Cluster
from evosparse.engine.evaluate import InProcessEvaluator, Policy
from evosparse.engine.fitness import find_fitness
from evosparse.engine.problem import Stage
from evosparse.errors import CampaignFailed, ClusterError, PluginError
from toys import Matrix, Misbehaving, Number, Telling, Unprepared, jobs_for

SOURCES = [Path(__file__).parent]
JOBS = jobs_for([Number(value) for value in range(50)])


@pytest.fixture(scope="module")
def here() -> Iterator[Cluster]:
    """A cluster of 4 (logical) CPUs and a (logical) GPU, which the clusters of the tests share."""
    with Cluster(4, gpus_per_worker=0, sources=SOURCES, gpus=1) as cluster:
        yield cluster


def test_outcomes_are_those_of_one_process_for_any_number_of_workers(here: Cluster) -> None:
    data = np.random.default_rng(0).normal(size=(64, 500))
    stage, policy = Stage(Matrix(), data, Number), Policy(batch=8)
    expected = [outcome.measures for outcome in InProcessEvaluator(stage, policy).evaluate(JOBS)]
    done: list[int] = []
    with here.evaluator(stage, policy) as evaluator:
        outcomes = evaluator.evaluate(JOBS, done.append)
        assert [outcome.measures for outcome in outcomes] == expected
        assert evaluator.evaluate([]) == []
    assert sum(done) == len(JOBS)
    here.close_spare()
    for workers in (1, 2):
        with Cluster(workers, gpus_per_worker=0, sources=SOURCES) as cluster:
            with cluster.evaluator(stage, policy) as evaluator:
                assert [outcome.measures for outcome in evaluator.evaluate(JOBS)] == expected
