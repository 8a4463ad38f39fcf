"""Machines as safetensors files, and samples as a picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError, StoreError
from evosparse.sparsify.rbm import RBM, Connections, Connectivity, RBMSpec, bars_and_stripes, save_grid

X = bars_and_stripes(3)


@pytest.mark.parametrize("connectivity", ["dense", "random", "ncg"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_loaded_machine_is_the_saved_one_and_trains_on_as_it_would(connectivity: str, precision: str, tmp_path: Path) -> None:
    spec = RBMSpec(hidden=6, connectivity=connectivity, batch=5, precision=precision, redraw_A="each_call")
    labels = [0] * 8 + [1] * 8
    saved = RBM(9, spec, 2, SeedKey(4).child("part", 1)).fit(X, labels, epochs=9)
    loaded = RBM.load(saved.save(tmp_path / "machine.safetensors"))
    assert (loaded.spec, loaded.key, loaded.visible, loaded.classes) == (saved.spec, saved.key, 9, 2)
    for _ in range(2):
        assert (loaded.epochs, loaded.calls, loaded.density) == (saved.epochs, saved.calls, saved.density)
        assert np.array_equal(loaded.free_energy(X, labels), saved.free_energy(X, labels))
        for name in ("weights", "hidden_bias", "visible_bias"):
            one, other = getattr(loaded, name), getattr(saved, name)
            assert one.dtype == other.dtype == precision and np.array_equal(one, other)
        for machine in (loaded, saved):
            machine.fit(X, labels, epochs=3)


def test_files_that_are_no_machines_are_refused(tmp_path: Path) -> None:
    whole = RBM(9, RBMSpec(hidden=6)).save(tmp_path / "whole.safetensors")
    (tmp_path / "half.safetensors").write_bytes(whole.read_bytes()[:200])
    save_file({"weights": np.zeros(3)}, tmp_path / "other.safetensors")
    save_file({"weights": np.zeros(3)}, tmp_path / "empty.safetensors", {"format": "evosparse rbm 1", "about": "{}"})
    for name, words in (
        ("none", "which RBM.save wrote"), ("half", "which RBM.save wrote"), ("other", "format 'evosparse rbm 1', got None"),
        ("empty", "does not hold together"),
    ):  # fmt: skip
        with pytest.raises(StoreError, match=words):
            RBM.load(tmp_path / f"{name}.safetensors")
    with pytest.raises(StoreError, match="cannot be written"):
        RBM(9, RBMSpec(hidden=6)).save(tmp_path / "no folder" / "machine.safetensors")


def test_a_connectivity_that_could_not_be_found_again_is_not_saved(tmp_path: Path) -> None:
    class Whole(Connectivity):
        connectivity: str = "whole"

        def draw(self, shape: tuple[int, int], free: int, rng: np.random.Generator, dtype: np.dtype) -> Connections:
            return Connections(np.ones(shape, dtype), None, free)

    with pytest.raises(SpecError, match="Whole: expected a connectivity of the registry"):
        RBM(9, RBMSpec(hidden=6, connectivity=Whole())).save(tmp_path / "machine.safetensors")


def test_samples_become_a_grid_of_pixels(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    path = save_grid(X[:5], (3, 3), tmp_path / "samples.png", columns=3, magnify=2)
    with images.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (2 * (2 * 4 + 1), 2 * (3 * 4 + 1))
    seen = pixels[::2, ::2]
    assert np.array_equal(seen[1:4, 5:8], 255 * X[1].reshape(3, 3)) and np.array_equal(seen[5:8, 1:4], 255 * X[3].reshape(3, 3))
    assert (seen[0] == 128).all() and (seen[5:8, 9:12] == 128).all()


def test_pictures_say_what_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for images, name, words in (
        (X[:, :8], "a.png", r"expected \(n, 3 \* 3\) images.* got shape \(16, 8\)"),
        (2 * X, "a.png", "from 0 to 1, got 0.0 to 2.0"), (X, "a.gif", "ends in .png"),
    ):  # fmt: skip
        with pytest.raises(SpecError, match=words):
            save_grid(images, (3, 3), tmp_path / name)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "PIL", None)
        with pytest.raises(StoreError, match=r"pip install 'evosparse\[plots\]'"):
            save_grid(X, (3, 3), tmp_path / "a.png")
    pytest.importorskip("PIL")
    with pytest.raises(StoreError, match="cannot be written"):
        save_grid(X, (3, 3), tmp_path / "no folder" / "a.png")
