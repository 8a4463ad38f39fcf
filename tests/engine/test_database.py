"""Every bad file has one clear error, a stranger's run executes nothing, and a campaign begins whole or not at all."""

from __future__ import annotations

import os
import pickle
import resource
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from store_runs import FILE, Blob, change, generation, header, read_only, run, snapshot  # noqa: F401

from evosparse.engine.codec import array_to_bytes
from evosparse.engine.store import EncodedGenome, Store
from evosparse.errors import StoreError


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
    "header cut": (truncate(50), "damaged"),
    "one page": (truncate(4096), "damaged"),
    "cut in the middle": (truncate(20_000), "damaged"),
    "text": (overwrite(b"hello " * 1000), "no database"),
    "zeros": (overwrite(bytes(10_000)), "no database"),
    "pages overwritten": (damage_pages, "damaged"),
    "another program's": (another_program, "another program.*bookmarks"),
    "another program's mark": (patch(68, 77), "another program"),
    "newer": (patch(60, 2), "expected .* schema 1, got schema 2, written by evosparse .*: upgrade evosparse"),
    "older": (patch(60, 0), "got schema 0, written by evosparse .*: read it with that version"),
    "much newer": (sql("DROP TABLE campaign", "PRAGMA user_version = 9"), "schema 9.*unknown version: upgrade"),
    "no state": (sql("DROP TABLE state"), "expected a table 'state', got"),
    "no column": (sql("ALTER TABLE candidate DROP COLUMN attempts"), "damaged.*attempts"),
    "no header": (sql("DELETE FROM campaign"), "expected a row in the table 'campaign'"),
    "document": (sql("UPDATE campaign SET document = '{'"), "expected the campaign in JSON, got '{'"),
    "document's type": (sql("UPDATE campaign SET document = '[1]'"), "expected a JSON dict for the campaign"),
    "deep document": (sql(f"UPDATE campaign SET document = '{'[' * 100_000}'"), "expected the campaign in JSON"),
    "objectives": (sql("UPDATE campaign SET objectives = '3'"), "expected a JSON dict for the objectives"),
    "objectives' names": (sql("""UPDATE campaign SET objectives = '{"gain": "max"}'"""), "finite measures of .* 0.0"),
    "measures": (sql("UPDATE candidate SET measures = ''"), "expected measures in JSON"),
    "measures' type": (sql("""UPDATE candidate SET measures = '{"accuracy": "a", "loss": 1}'"""), "finite measures"),
    "measures' values": (sql("""UPDATE candidate SET measures = '{"accuracy": NaN, "loss": 1}'"""), "finite measures"),
    "status": (sql("UPDATE candidate SET status = 'fine'"), "expected a status of ok, failed, .*, got 'fine'"),
    "parents": (sql("UPDATE candidate SET parents = '{}'"), "expected a JSON list for the parents"),
    "no UTF-8": (sql("UPDATE candidate SET message = CAST(x'ff' AS TEXT)"), "damaged.*UTF-8"),
    "record": (sql("UPDATE generation SET record = 'x'"), "expected a record in JSON"),
    "state": (sql("UPDATE state SET data = '7'"), "expected a JSON dict for the search's state"),
    "state's candidates": (sql("""UPDATE state SET candidates = '{"a": ["5.5"]}'"""), "got '5.5'"),
    "array": (sql("UPDATE state_array SET data = x'00'"), "the search's array 'weights' in numpy's npy format"),
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
