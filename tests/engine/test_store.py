"""The promises of the campaign database: exact, durable, one writer, and clear about whatever is wrong with a file.

Run as a program, this file is the process that the tests kill in the middle of its commits.
"""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evosparse
from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.codec import array_to_bytes
from evosparse.engine.digest import canonical
from evosparse.engine.results import TrialResult
from evosparse.engine.search import State
from evosparse.engine.store import EncodedGenome, Generation, Header, Store
from evosparse.errors import StoreError

OBJECTIVES = {"accuracy": "max", "loss": "min"}
FILE = "campaign.sqlite"
SIZE = 300  # candidates in a generation of the runs that are killed
PINNED = "a54c9c8c3b62a5d6c9fa8c0a2a3a52da3d7ed3b0d1d3a4b6a7ef2b3a1f0e9d8c"


@dataclass(frozen=True)
class Blob:
    """The simplest genome: some bytes."""

    data: bytes

    @property
    def key(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def to_bytes(self) -> bytes:
        return self.data

    def describe(self) -> str:
        return f"{len(self.data)} bytes"


def header(**changes: object) -> Header:
    document = {"name": "test", "seed": 3, "search": {"rate": 0.1, "sizes": [1, 2]}}
    return replace(Header(document=document, data_hash="d" * 64, notes=("a note",), base="/b", objectives=OBJECTIVES), **changes)


def evaluated(uid: str, data: bytes = b"genome", outcome: Outcome | None = None, **fields: object) -> Candidate:
    candidate = Candidate(Blob(data), uid=uid, generation=int(uid.split(".")[0]), **fields)
    candidate.judge(outcome or Outcome(Status.OK, {"accuracy": 0.5, "loss": 1.0}), OBJECTIVES)
    return candidate


def generation(number: int, size: int = 3, length: int = 100) -> Generation:
    """Return generation `number` of one certain run; it depends on nothing else."""
    rng = np.random.default_rng(number)
    candidates = [
        evaluated(
            f"{number}.{index}",
            rng.bytes(length),
            Outcome(Status.OK, {"accuracy": rng.random(), "loss": rng.random()}, seconds=0.1),
            parents=(f"{number - 1}.{index}",) if number else (),
        )
        for index in range(size)
    ]
    state = State({"number": number}, {"weights": rng.random(5)}, {"population": candidates})
    return Generation(number, candidates, candidates[:2], state, {"generation": number, "best": rng.random()}, 0.5, size)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / FILE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    mode = path.stat().st_mode
    path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        path.chmod(mode)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A closed run directory with two generations and an examination."""
    folder = tmp_path / "run"
    with Store.create(folder, header()) as store:
        store.commit(generation(0))
        store.commit(generation(1))
        store.finish([TrialResult("winner", 0, "a net", Outcome(Status.OK, {"accuracy": 0.75}))], "generations")
    return folder


# What goes in comes out.

floats = st.floats(allow_nan=False, allow_infinity=False)
durations = st.floats(0, 1e300)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
outcomes = st.one_of(
    st.builds(
        Outcome, st.just(Status.OK), st.fixed_dictionaries({"accuracy": floats, "loss": floats}, optional={"ü": floats}),
        words, words, durations, st.integers(1, 9), st.booleans(),
    ),
    st.builds(
        Outcome, st.sampled_from([status for status in Status if status is not Status.OK]), st.just({}), words, words,
        durations, st.integers(1, 9), st.booleans(),
    ),
)  # fmt: skip
arrays = st.sampled_from(
    [
        np.array([-0.0, math.nan, math.inf, 5e-324]),
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        np.array(True),
        np.zeros((0, 4), np.float32),
        np.array(["ä", "b"]),
    ]
)


@st.composite
def runs(draw: st.DrawFn) -> list[Generation]:
    generations, everybody = [], []
    for number in range(draw(st.integers(1, 3))):
        candidates = [
            evaluated(
                f"{number}.{index}", draw(st.binary(max_size=3)), draw(outcomes), population=draw(words),
                contender=draw(st.booleans()), parents=tuple(member.uid for member in draw(st.permutations(everybody))[:2]),
            )
            for index in range(draw(st.integers(0, 4)))
        ]  # fmt: skip
        everybody = everybody + candidates
        some = st.lists(st.sampled_from(everybody), max_size=4) if everybody else st.just([])
        state = State(
            draw(st.dictionaries(words, json_values, max_size=2)),
            draw(st.dictionaries(words | st.sampled_from(["file", "allow_pickle", "a/b"]), arrays, max_size=3)),
            draw(st.dictionaries(words, some, max_size=2)),
        )
        record = {"nan": math.nan, "value": draw(json_values), "numpy": np.float64(draw(floats)), "count": np.int64(3)}
        best = draw(st.permutations(everybody))[:3]
        generations.append(Generation(number, candidates, best, state, record, draw(durations), draw(st.integers(0, 9))))
    return generations


def exact(candidate: Candidate) -> tuple:
    """Everything of a candidate, such that floats are equal only if their bits are."""
    values = [(name, value.hex()) for name, value in candidate.outcome.measures.items()]
    identity = (candidate.uid, candidate.generation, candidate.population, tuple(candidate.parents), candidate.contender)
    return identity, candidate.genome, repr(candidate.outcome), values, candidate.fitness.wvalues, candidate.fitness.weights


@settings(max_examples=60, deadline=None)
@given(runs())
def test_what_was_committed_comes_back_exactly(generations: list[Generation]) -> None:
    with TemporaryDirectory() as place:
        with Store.create(Path(place) / "run", header()) as store:
            for one in generations:
                store.commit(one)
        with Store.open(Path(place) / "run") as store:
            everybody = [candidate for one in generations for candidate in one.candidates]
            assert list(map(exact, store.candidates(decode=Blob))) == list(map(exact, everybody))
            assert all(exact(store.candidate(one.uid, Blob)) == exact(one) for one in everybody)
            last = generations[-1]
            assert [list(map(exact, store.candidates(last.number, Blob)))] == [list(map(exact, last.candidates))]
            assert list(map(exact, store.hall_of_fame(Blob))) == list(map(exact, last.hall_of_fame))

            rows = store.generations()
            assert [(row.number, row.seconds, row.evaluations) for row in rows] == [
                (one.number, one.seconds, one.evaluations) for one in generations
            ]
            assert [repr(row.record) for row in rows] == [
                repr(dict(one.record) | {"numpy": float(one.record["numpy"]), "count": 3}) for one in generations
            ]
            assert store.evaluations() == sum(one.evaluations for one in generations)

            state = store.state(Blob)
            assert repr(state.values) == repr(last.state.values)
            assert list(state.arrays) == list(last.state.arrays)
            for name, array in last.state.arrays.items():
                assert array_to_bytes(state.arrays[name]) == array_to_bytes(array)
            assert {name: list(map(exact, group)) for name, group in state.candidates.items()} == {
                name: list(map(exact, group)) for name, group in last.state.candidates.items()
            }


def test_the_header_comes_back(tmp_path: Path) -> None:
    given_header = header(base="/weird/\udcff", notes=("ü", "\0"), objectives={"z": "min", "a": "max"})
    with Store.create(tmp_path / "run", given_header) as store:
        assert store.header == given_header
        assert list(store.header.objectives) == ["z", "a"]
        assert {"python", "numpy", "torch", "deap", "ray"} <= store.header.versions.keys()


def test_a_changed_document_replaces_the_old_one(run: Path) -> None:
    with Store.open(run, write=True) as store:
        before = store.digest()
        store.update_document({"seed": 3, "more": True})
        assert store.header == replace(header(), document={"seed": 3, "more": True}, created=store.header.created)
    with Store.open(run) as store:
        assert store.header.document == {"seed": 3, "more": True}
        assert store.digest() == before


def test_text_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    failed = Outcome(Status.FAILED, message="no file \udcff\0", traceback="\ud800")
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(generation(0), candidates=[evaluated("0.0", outcome=failed)], hall_of_fame=[], state=State()))
        outcome = store.candidate("0.0").outcome
    assert (outcome.message, outcome.traceback) == ("no file \\udcff\0", "\\ud800")


def test_a_candidate_in_several_groups_is_one_object(tmp_path: Path) -> None:
    one = generation(0)
    groups = {"population": [*one.candidates, one.candidates[0]], "archive": one.candidates[:1]}
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(one, state=State(candidates=groups)))
        state = store.state(Blob)
    assert state.candidates["population"][0] is state.candidates["population"][-1] is state.candidates["archive"][0]


def test_equal_genomes_are_stored_once_and_apart_from_candidates(tmp_path: Path) -> None:
    candidates = [evaluated(f"0.{index}", bytes([index % 2]) * 5000) for index in range(50)]
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(generation(0), candidates=candidates, hall_of_fame=[], state=State()))
        assert [one.genome for one in store.candidates(decode=Blob)] == [one.genome for one in candidates]
    connection = sqlite3.connect(tmp_path / "run" / FILE)
    assert connection.execute("SELECT COUNT(*) FROM genome").fetchone() == (2,)
    connection.close()


def test_only_the_latest_state_and_hall_of_fame_are_kept(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(generation(0), state=State({"old": 1}, {"old": np.zeros(3)})))
        store.commit(generation(1))
        assert store.state().values == {"number": 1}
        assert list(store.state().arrays) == ["weights"]
        assert [one.uid for one in store.hall_of_fame()] == ["1.0", "1.1"]


def test_outcomes_are_the_first_real_ones_and_not_the_failures(tmp_path: Path) -> None:
    by_status = [evaluated(f"0.{i}", status.encode(), Outcome(status)) for i, status in enumerate(Status) if i]
    first = Outcome(Status.OK, {"accuracy": 0.5, "loss": 1.0}, seconds=2.0, attempts=2)
    again = replace(first, seconds=0.0, cached=True)
    known = [evaluated("0.8", b"ok", first), evaluated("0.9", b"ok", again), evaluated("0.7", b"ok", replace(first, seconds=9.0))]
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(replace(generation(0), candidates=[*by_status, *known], hall_of_fame=[], state=State()))
        assert store.outcomes() == {Blob(b"ok").key: first, Blob(b"invalid").key: Outcome(Status.INVALID)}


def test_lineage_is_breadth_first_and_names_everybody_once(tmp_path: Path) -> None:
    parents = {
        "0.0": (), "0.1": (), "0.2": (), "1.0": ("0.0",), "1.1": ("0.1", "0.0"), "2.0": ("1.1", "0.2"), "2.1": ("1.0",),
        "3.0": ("2.0", "1.0", "2.0"),
    }  # fmt: skip
    with Store.create(tmp_path / "run", header()) as store:
        for number in range(4):
            members = [evaluated(uid, parents=them) for uid, them in parents.items() if uid.startswith(f"{number}.")]
            store.commit(replace(generation(number), candidates=members, hall_of_fame=[], state=State()))
        assert [one.uid for one in store.lineage("3.0")] == ["2.0", "1.0", "1.1", "0.2", "0.0", "0.1"]
        assert store.lineage("0.1") == []


def test_an_examination_is_kept_until_the_campaign_goes_on(run: Path) -> None:
    with Store.open(run, write=True) as store:
        assert (store.finished, store.reason) == (True, "generations")
        trials = [
            TrialResult("winner", 1, "a ü net", Outcome(Status.OK, {"accuracy": 0.1}, "m", "t", 2.5, 2)),
            TrialResult("dense", 0, "other", Outcome(Status.CRASHED, message="killed")),
        ]
        store.finish(trials, "target")
        assert (store.finished, store.reason, store.trials()) == (True, "target", trials)
        store.commit(generation(2))
        assert (store.finished, store.reason, store.trials()) == (False, "", [])


def test_a_thousand_candidates_take_less_than_16_kb_each_with_genomes_of_6_kb(tmp_path: Path) -> None:
    with Store.create(tmp_path / "run", header()) as store:
        store.commit(generation(0, size=1000, length=6000))
    assert (tmp_path / "run" / FILE).stat().st_size < 16_000 * 1000


# The digest.


def digest_of(*generations: Generation, trials: list[TrialResult] = [], reopen: bool = False) -> str:
    with TemporaryDirectory() as place:
        store = Store.create(Path(place) / "run", header())
        for one in generations:
            store.commit(one)
            if reopen:
                store.close()
                store = Store.open(Path(place) / "run", write=True)
        store.finish(trials, "generations")
        with store:
            return store.digest()


def varied(index: int, **changes: object) -> Generation:
    """Generation 1 with one candidate changed."""
    one = generation(1)
    outcome = replace(one.candidates[index].outcome, **{k: v for k, v in changes.items() if k in Outcome.__annotations__})
    fields = {k: v for k, v in changes.items() if k not in Outcome.__annotations__}
    candidate = replace(one.candidates[index], **fields)
    candidate.judge(outcome, OBJECTIVES)
    candidates = [*one.candidates[:index], candidate, *one.candidates[index + 1 :]]
    return replace(one, candidates=candidates, state=State())


TRIAL = TrialResult("winner", 0, "a net", Outcome(Status.OK, {"accuracy": 0.75, "cost": 2.0}))


def test_the_digest_leaves_out_time_cache_attempts_messages_and_interruptions() -> None:
    expected = digest_of(generation(0), generation(1), trials=[TRIAL])
    slow = varied(0, seconds=77.0, attempts=3, cached=True, message="m", traceback="t")
    measures = generation(1).candidates[1].outcome.measures
    reordered = varied(1, measures=dict(reversed(measures.items())))
    trial = replace(TRIAL, description="x", outcome=replace(TRIAL.outcome, seconds=9.0, attempts=4, message="m"))
    assert digest_of(generation(0), slow, trials=[trial]) == expected
    assert digest_of(generation(0), reordered, trials=[TRIAL]) == expected
    assert digest_of(generation(0), replace(generation(1), seconds=9.0, evaluations=0), trials=[TRIAL]) == expected
    assert digest_of(generation(0), generation(1), trials=[TRIAL], reopen=True) == expected


def test_the_digest_changes_with_everything_that_was_found() -> None:
    one = generation(1)
    accuracy = one.candidates[2].outcome.measures["accuracy"]
    others = [
        replace(one, candidates=one.candidates[:2]),
        replace(one, candidates=[one.candidates[1], one.candidates[0], one.candidates[2]]),
        replace(one, hall_of_fame=one.hall_of_fame[::-1]),
        replace(one, hall_of_fame=one.hall_of_fame[:1]),
        replace(one, record=dict(one.record) | {"best": math.nextafter(one.record["best"], 2)}),
        replace(one, record=dict(one.record) | {"generation": 1.0}),
        varied(2, uid="1.9"),
        varied(2, population="other"),
        varied(2, parents=("0.0",)),
        varied(2, contender=False),
        varied(2, genome=Blob(b"other")),
        varied(2, status=Status.INVALID, measures={}),
        varied(2, measures={"accuracy": math.nextafter(accuracy, 2), "loss": one.candidates[2].outcome.measures["loss"]}),
    ]
    found = [digest_of(generation(0), other, trials=[TRIAL]) for other in [one, *others]]
    trials = [
        [],
        [TRIAL, TRIAL],
        [replace(TRIAL, arm="dense")],
        [replace(TRIAL, replicate=1)],
        [replace(TRIAL, outcome=Outcome(Status.FAILED))],
        [replace(TRIAL, outcome=Outcome(Status.OK, {"accuracy": 0.75, "cost": 2.5}))],
    ]
    found += [digest_of(generation(0), one, trials=other) for other in trials]
    assert len(set(found)) == len(found)


def test_the_digest_is_the_same_in_every_version() -> None:
    floats_of_interest = {"accuracy": 0.1, "loss": -0.0}
    candidate = evaluated("0.0", b"genome", Outcome(Status.OK, floats_of_interest), population="ü", parents=("x",))
    one = Generation(0, [candidate], [candidate], State(), {"best": 1e-320, "nan": math.nan, "n": [1, True, None]}, 1.0, 1)
    assert digest_of(one, trials=[TRIAL]) == PINNED


@given(json_values, json_values)
def test_only_equal_values_have_equal_encodings(first: object, second: object) -> None:
    # repr tells 1, 1.0 and True, and 0.0 and -0.0 apart; these values are never dictionaries of another order.
    def by_name(value: object) -> object:
        if isinstance(value, dict):
            return sorted((name, by_name(inner)) for name, inner in value.items()), "dict"
        return ([by_name(inner) for inner in value], "list") if isinstance(value, list) else repr(value)

    assert (canonical(first) == canonical(second)) == (repr(by_name(first)) == repr(by_name(second)))


@pytest.mark.parametrize(
    ("first", "second"), [(1, 1.0), (1, True), (0.0, -0.0), (1.0, "float 0x1.0000000000000p+0"), (None, "None"), ([], {})]
)
def test_values_that_look_alike_have_different_encodings(first: object, second: object) -> None:
    assert canonical(first) != canonical(second)


# All or nothing.


def test_a_commit_that_fails_leaves_no_trace(run: Path) -> None:
    with Store.open(run, write=True) as store:
        before, trials = store.digest(), store.trials()
        unevaluated = Candidate(Blob(b"new"), uid="2.1", generation=2)
        bad = [
            replace(generation(2), candidates=[evaluated("2.0"), unevaluated]),
            replace(generation(2), record={"object": object()}),
            replace(generation(2), state=State(arrays={"objects": np.array([{}, ()], object)})),
            replace(generation(2), hall_of_fame=[evaluated("7.7")]),
            replace(generation(1)),
        ]
        for one in bad:
            with pytest.raises((ValueError, TypeError, sqlite3.IntegrityError)):
                store.commit(one)
            assert (store.digest(), store.trials(), store.finished) == (before, trials, True)
        store.commit(generation(2))
        assert len(store.generations()) == 3


def test_a_disk_without_room_is_reported_and_the_commit_can_be_repeated(run: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.open(run, write=True) as store:
        before = store.digest()
        resource.setrlimit(resource.RLIMIT_FSIZE, ((run / FILE).stat().st_size + 20_000, hard))
        try:
            with pytest.raises(StoreError, match="cannot be .*written.* resume"):
                store.commit(generation(2, size=SIZE, length=6000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert store.digest() == before
        store.commit(generation(2, size=SIZE, length=6000))
        assert len(store.generations()) == 3


def start(*arguments: object) -> subprocess.Popen:
    """Run this file in a process of its own, and wait until it says that it is ready."""
    root = str(Path(list(evosparse.__path__)[0]).parent)
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_run_killed_at_random_moments_is_a_prefix_of_the_undisturbed_run(tmp_path: Path) -> None:
    rng = np.random.default_rng()
    folder = tmp_path / "killed"
    with Store.create(tmp_path / "undisturbed", header()) as undisturbed:
        digests = [undisturbed.digest()]
        Store.create(folder, header()).close()
        for _ in range(6):
            process = start("commit", folder)
            time.sleep(rng.uniform(0.0, 0.15))
            kill(process)
            with Store.open(folder) as store:
                done = len(store.generations())
                while len(digests) <= done:
                    undisturbed.commit(generation(len(digests) - 1, SIZE, 6000))
                    digests.append(undisturbed.digest())
                assert store.digest() == digests[done]
                assert all(len(list(store.candidates(number, Blob))) == SIZE for number in range(done))
    assert done > 0


def test_what_a_killed_writer_left_half_done_is_undone_by_the_next_reader(run: Path) -> None:
    with Store.open(run) as store:
        before = store.digest()
    kill(start("spill", run))
    assert (run / f"{FILE}-journal").stat().st_size > 0  # pages of an unfinished transaction are in the file
    with read_only(run), pytest.raises(StoreError, match="interrupted.*permission"):
        Store.open(run).digest()
    with Store.open(run) as store:
        assert store.digest() == before
    assert list(snapshot(run)) == [FILE]


# One writer, any number of readers.


def test_a_second_writer_is_refused_until_the_first_is_gone(run: Path) -> None:
    process = start("hold", run)
    with pytest.raises(StoreError, match=rf"being written by another process \(pid {process.pid} on "):
        Store.open(run, write=True)
    with Store.open(run) as reader:
        assert len(reader.generations()) == 2
    kill(process)
    with Store.open(run, write=True) as store:
        with pytest.raises(StoreError, match=rf"being written .*pid {os.getpid()}"):
            Store.open(run, write=True)
        store.commit(generation(2))
    Store.open(run, write=True).close()
    assert list(snapshot(run)) == [FILE]


def test_a_refused_writer_does_not_let_go_of_the_lock(run: Path) -> None:
    with Store.open(run, write=True):
        for _ in range(3):
            with pytest.raises(StoreError, match="being written"):
                Store.open(run, write=True)


def test_readers_see_whole_generations_in_the_middle_of_a_commit(run: Path) -> None:
    seen = []

    class Watcher(Blob):
        def to_bytes(self) -> bytes:
            with Store.open(run) as reader:
                seen.append((len(reader.generations()), len(list(reader.candidates())), len(reader.trials())))
            return self.data

    candidates = [evaluated("2.0", b"a"), evaluated("2.1", b"b")]
    for candidate in candidates:
        candidate.genome = Watcher(candidate.genome.data)
    with Store.open(run, write=True) as store, Store.open(run) as reader:
        iterator = reader.candidates()
        next(iterator)  # a reader that stopped half way does not hold up the writer
        store.commit(replace(generation(2), candidates=candidates, hall_of_fame=[], state=State()))
        assert seen == [(2, 6, 1), (2, 6, 1)]
        assert len(reader.generations()) == 3


def test_a_reader_cannot_write(run: Path) -> None:
    before = snapshot(run)
    with Store.open(run) as store, pytest.raises(StoreError, match="read-only"):
        store.commit(generation(2))
    assert snapshot(run) == before


def test_a_read_only_run_can_be_read_and_is_left_alone(run: Path) -> None:
    before = snapshot(run)
    with read_only(run / FILE), read_only(run):
        with Store.open(run) as store:
            assert len(store.digest()) == 64
            assert len(list(store.candidates(decode=Blob))) == 6
    assert snapshot(run) == before


@pytest.mark.parametrize("name", [".", FILE])
def test_a_read_only_run_cannot_be_continued(run: Path, name: str) -> None:
    before = snapshot(run)
    with read_only(run / name), pytest.raises(StoreError, match="read-only: change its permissions"):
        Store.open(run, write=True)
    assert snapshot(run) == before


# Nothing of a stranger's runs.


def test_without_a_decoder_genomes_stay_bytes(run: Path) -> None:
    with Store.open(run) as store:
        genome = store.candidate("0.1").genome
        assert genome == EncodedGenome(generation(0).candidates[1].genome.key, generation(0).candidates[1].genome.data)
        assert genome.key[:12] in genome.describe()


def test_a_pickle_in_an_array_is_refused_and_not_run(run: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "exploded",)

    array = np.array([Bomb()], object)
    npy = array_to_bytes(np.zeros(1)).replace(b"'<f8'", b"'|O' ")[:128] + pickle.dumps(array)
    connection = sqlite3.connect(run / FILE)
    connection.execute("UPDATE state_array SET data = ?", (npy,))
    connection.commit()
    connection.close()
    with Store.open(run) as store, pytest.raises(StoreError, match="array 'weights'"):
        store.state()
    assert not (tmp_path / "exploded").exists()


# Every bad file has one clear error.


def test_an_unknown_uid_is_answered_with_the_valid_ones(run: Path, tmp_path: Path) -> None:
    with Store.open(run) as store, pytest.raises(StoreError, match="got '9.9': name one from 0.0 to 1.2"):
        store.candidate("9.9")
    with Store.create(tmp_path / "new", header()) as store:
        with pytest.raises(StoreError, match="no generation was committed yet"):
            store.candidate("0.0")
        with pytest.raises(StoreError, match="no generation was committed yet"):
            store.state()
        assert (store.generations(), list(store.candidates()), store.hall_of_fame(), store.seconds()) == ([], [], [], 0)


def damage_pages(folder: Path) -> None:
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[:8192] + b"\xa5" * (len(content) - 8192))


def truncate(length: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / FILE, length)


def overwrite(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / FILE).write_bytes(content)


def sql(*statements: str) -> Callable[[Path], None]:
    return lambda folder: change(folder, *statements)


def patch(position: int, number: int) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        with (folder / FILE).open("r+b") as file:
            file.seek(position)
            file.write(struct.pack(">I", number))

    return apply


def another_program(folder: Path) -> None:
    (folder / FILE).unlink()
    change(folder, "CREATE TABLE bookmarks (url TEXT)")


def a_folder_in_its_place(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / FILE).mkdir()


BAD_FILES = {
    "missing": (lambda folder: (folder / FILE).unlink(), "a folder without campaign.sqlite"),
    "a folder": (a_folder_in_its_place, "a folder without campaign.sqlite"),
    "empty": (truncate(0), "got an empty one"),
    "header cut": (truncate(50), "no database"),
    "one page": (truncate(4096), "damaged"),
    "cut in the middle": (truncate(20_000), "damaged"),
    "text": (overwrite(b"hello " * 1000), "no database"),
    "zeros": (overwrite(bytes(10_000)), "no database"),
    "pages overwritten": (damage_pages, "damaged"),
    "another program's": (another_program, "another program.*bookmarks"),
    "another program's mark": (patch(68, 77), "another program"),
    "newer": (patch(60, 2), "expected a database of schema 1, got schema 2, written by evosparse .*: upgrade evosparse"),
    "older": (patch(60, 0), "got schema 0, written by evosparse .*: read it with that version"),
    "newer without versions": (sql("DROP TABLE campaign", "PRAGMA user_version = 9"), "schema 9.*unknown version: upgrade"),
    "no state": (sql("DROP TABLE state"), "expected a table 'state', got"),
    "no column": (sql("ALTER TABLE candidate DROP COLUMN attempts"), "damaged.*attempts"),
    "no header": (sql("DELETE FROM campaign"), "expected a row in the table 'campaign'"),
    "document": (sql("UPDATE campaign SET document = '{'"), "expected the campaign in JSON, got '{'"),
    "document's type": (sql("UPDATE campaign SET document = '[1]'"), "expected a JSON dict for the campaign"),
    "deep document": (sql(f"UPDATE campaign SET document = '{'[' * 100_000}'"), "expected the campaign in JSON"),
    "objectives": (sql("UPDATE campaign SET objectives = '3'"), "expected a JSON dict for the objectives"),
    "objectives' names": (sql("""UPDATE campaign SET objectives = '{"gain": "max"}'"""), "finite measures of candidate 0.0"),
    "measures": (sql("UPDATE candidate SET measures = ''"), "expected measures in JSON"),
    "measures' type": (sql("""UPDATE candidate SET measures = '{"accuracy": "a", "loss": 1}'"""), "finite measures"),
    "measures' values": (sql("""UPDATE candidate SET measures = '{"accuracy": NaN, "loss": 1}'"""), "finite measures"),
    "status": (sql("UPDATE candidate SET status = 'fine'"), "expected a status of ok, failed, .*, got 'fine'"),
    "parents": (sql("UPDATE candidate SET parents = '{}'"), "expected a JSON list for the parents"),
    "no UTF-8": (sql("UPDATE candidate SET message = CAST(x'ff' AS TEXT)"), "damaged.*UTF-8"),
    "record": (sql("UPDATE generation SET record = 'x'"), "expected a record in JSON"),
    "state": (sql("UPDATE state SET data = '7'"), "expected a JSON dict for the search's state"),
    "state's candidates": (sql("""UPDATE state SET candidates = '{"a": ["5.5"]}'"""), "got '5.5'"),
    "array": (sql("UPDATE state_array SET data = x'00'"), "expected the search's array 'weights' in numpy's npy format"),
    "trial": (sql("UPDATE trial SET measures = 'x'"), "expected measures in JSON"),
    "genome": (sql("UPDATE genome SET data = x'00'"), "expected the genome .* for candidate 0.0"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_in_one_clear_error(run: Path, case: str) -> None:
    spoil, message = BAD_FILES[case]
    spoil(run)
    before = snapshot(run)

    def read_everything(write: bool) -> None:
        with Store.open(run, write) as store:
            store.generations()
            list(store.candidates(decode=Blob))
            store.hall_of_fame()
            store.state()
            store.outcomes()
            store.trials()
            store.digest()

    for write in (False, True):
        with pytest.raises(StoreError, match=message) as caught:
            read_everything(write)
        assert str(caught.value).startswith(f"{run}: ")
        assert "\n" not in str(caught.value)
        assert snapshot(run) == before


def test_a_genome_that_cannot_be_decoded_is_named(run: Path) -> None:
    def decode(data: bytes) -> Blob:
        raise ValueError("version 9")

    with Store.open(run) as store, pytest.raises(StoreError, match="for candidate 0.1, got ValueError: version 9"):
        store.candidate("0.1", decode)


@pytest.mark.parametrize("write", [False, True])
def test_what_is_no_run_directory_is_refused(tmp_path: Path, run: Path, write: bool) -> None:
    with pytest.raises(StoreError, match="a path where nothing is: name a directory"):
        Store.open(tmp_path / "nowhere", write)
    with pytest.raises(StoreError, match="expected a run directory, got a file"):
        Store.open(run / FILE, write)
    with pytest.raises(StoreError, match="File name too long"):
        Store.open(tmp_path / ("x" * 300), write)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_odd_names_of_folders_are_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=memory#%41 ü {}\udcff"
    Store.create(folder, header()).close()
    assert list(snapshot(folder)) == [FILE]
    with Store.open(folder) as store:
        assert store.header.data_hash == "d" * 64


# A campaign begins whole or not at all.


def test_a_campaign_is_made_in_a_new_or_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for folder in (tmp_path / "deep" / "er", Path("."), Path("relative") / "x"):
        Store.create(folder, header()).close()
        assert list(snapshot(folder)) == [FILE]


def test_the_remains_of_a_killed_attempt_are_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "lock").write_text("pid 1 on nowhere")
    (folder / "campaign.sqlite.new").write_bytes(b"half")
    with Store.create(folder, header()) as store:
        store.commit(generation(0))
    assert list(snapshot(folder)) == [FILE]


def test_a_taken_place_is_refused_and_left_alone(tmp_path: Path, run: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    expected = {
        run: "holds a campaign already",
        tmp_path / "full": "got one with 'thesis.txt' in it: name another place",
        run / FILE: "got a file: name another place",
        tmp_path / "dangling": "got a file: name another place",
        run / FILE / "below": "Not a directory",
    }
    before = {folder: snapshot(folder) for folder in (run, tmp_path / "full")}
    for folder, message in expected.items():
        with pytest.raises(StoreError, match=message):
            Store.create(folder, header())
    assert {folder: snapshot(folder) for folder in before} == before


def test_a_read_only_place_is_refused(tmp_path: Path) -> None:
    with read_only(tmp_path), pytest.raises(StoreError, match="read-only: change its permissions"):
        Store.create(tmp_path / "a" / "b", header())
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_that_cannot_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "a" / "b", tmp_path / "empty"):
        with pytest.raises(TypeError):
            Store.create(folder, header(document={"object": object()}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StoreError, match="disk"):
            Store.create(tmp_path / "a" / "b", header())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["empty"]


def _commit_until_killed(folder: Path) -> None:
    with Store.open(folder, write=True) as store:
        print("ready", flush=True)
        for number in range(len(store.generations()), 10_000):
            store.commit(generation(number, SIZE, 6000))


def _spill_and_wait(folder: Path) -> None:
    """Write pages of a transaction that never ends into the file, as a kill in the middle of a commit leaves them."""
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    connection.executescript("PRAGMA cache_size = 1; BEGIN")
    connection.execute("UPDATE candidate SET message = 'half done'")
    connection.execute("DELETE FROM hall_of_fame")
    connection.executemany("INSERT INTO genome (key, data) VALUES (?, ?)", ((str(n), bytes(6000)) for n in range(100)))
    print("ready", flush=True)
    time.sleep(60)


def _hold(folder: Path) -> None:
    with Store.open(folder, write=True):
        print("ready", flush=True)
        time.sleep(60)


if __name__ == "__main__":
    {"commit": _commit_until_killed, "spill": _spill_and_wait, "hold": _hold}[sys.argv[1]](Path(sys.argv[2]))
