"""A machine as a safetensors file: its arrays, and in the metadata what else a training needs to go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError, StoreError
from evosparse.sparsify.rbm.connectivity import CONNECTIVITIES, Connections
from evosparse.sparsify.rbm.machine import RBM
from evosparse.sparsify.rbm.spec import RBMSpec

_FORMAT = "evosparse rbm 1"


def save(machine: RBM, path: Path) -> Path:
    """Write a machine; see `RBM.save`."""
    own = machine.spec.connectivity
    if CONNECTIVITIES.get(own.connectivity) is not type(own):
        raise SpecError(
            f"{type(own).__name__}: expected a connectivity of the registry, for a file holds its name alone; put"
            " @connectivity before the class"
        )
    connections = machine.connections
    tensors = {
        "weights": machine.weights, "hidden_bias": machine.hidden_bias, "visible_bias": machine.visible_bias,
        "active": connections.active.astype(bool),
    }  # fmt: skip
    if connections.scores is not None:
        tensors["scores"] = connections.scores
    about = {
        "visible": machine.visible, "classes": machine.classes, "spec": machine.spec.model_dump(mode="json"),
        "epochs": machine.epochs, "calls": machine.calls, "free": connections.free,
        "seed": machine.key.seed, "path": machine.key.path,
    }  # fmt: skip
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    try:
        save_file(contiguous, path, {"format": _FORMAT, "about": json.dumps(about)})
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot be written: {error}") from None
    return path


def load(path: Path) -> RBM:
    """Read a machine; see `RBM.load`."""
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: expected a safetensors file, which RBM.save wrote: {error}") from None
    if metadata.get("format") != _FORMAT:
        raise StoreError(f"{path}: expected a file of the format {_FORMAT!r}, got {metadata.get('format')!r}")
    try:
        about = json.loads(metadata["about"])
        machine = RBM(
            about["visible"], RBMSpec.model_validate(about["spec"]), about["classes"],
            SeedKey(about["seed"], tuple(about["path"])),
        )  # fmt: skip
        machine.epochs, machine.calls = about["epochs"], about["calls"]
        for name in ("weights", "hidden_bias", "visible_bias"):
            setattr(machine, name, _fitting(tensors[name], getattr(machine, name)))
        drawn = machine.connections
        active = _fitting(tensors["active"].astype(machine.dtype), drawn.active)
        scores = None if drawn.scores is None else _fitting(tensors["scores"], drawn.scores)
        machine.connections = Connections(active, scores, about["free"])
    except (KeyError, TypeError, ValueError, ValidationError, SpecError) as error:
        raise StoreError(f"{path}: does not hold together as a machine: {error}") from None
    return machine


def _fitting(tensor: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    if tensor.shape != drawn.shape or tensor.dtype != drawn.dtype:
        raise ValueError(f"expected {drawn.dtype} of {drawn.shape}, got {tensor.dtype} of {tensor.shape}")
    return tensor
