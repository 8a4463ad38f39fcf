"""Training steps of populations of masks: time and memory of each kernel, beside what people do without one.

Baselines in the same run: a loop over networks with `torch.nn.utils.prune`, one Ray task for each mask, and
`torch.func.vmap`. The optimizer is Adam as torch makes it; `prune_fused` is the loop with torch's fused Adam, which vmap
and evosparse have too. Each way has a process of its own, with one thread; they take turns, repetition by repetition, so
that whatever else the machine does falls on all alike. A Ray task builds its network, as tasks do; with so few steps
that and Ray's own cost are a good part of it. ``milliseconds`` is the median time of a step of all masks; ``peak_mib`` the largest resident size of the way's
process (for Ray, of a worker); ``share_of_peak`` what the packed kernel's operations on existing weights are of one
core's float32 matrix product.

    python experiments/benchmarks/masks.py > masks.json
    python experiments/benchmarks/masks.py --plot masks.json masks.png
    python experiments/benchmarks/masks.py --memory
"""

from __future__ import annotations

import os

for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before numpy and torch read it

import argparse
import json
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from evosparse.masks.operators import random_mask
from evosparse.nets import (
    InitialisationSpec,
    Network,
    NetworkSpec,
    Population,
    Seeds,
    TrainingSpec,
    build,
    multilayer_perceptron,
)

RATE = 1.2e-3


@dataclass(frozen=True)
class Setting:
    """One population.

    Args:
        network: the architecture.
        batch: examples in a minibatch.
        masks: networks in the population.
        steps: training steps in a repetition.
    """

    network: Network
    batch: int
    masks: int
    steps: int


def settings() -> dict[str, Setting]:
    """Return the populations by name."""
    return {
        "784-300-100-10": Setting(multilayer_perceptron((784,), 10, (300, 100)), 128, 32, 10),
        "64-64-32-10": Setting(multilayer_perceptron((64,), 10, (64, 32)), 32, 64, 20),
        "LeNet-5": Setting(build(NetworkSpec(name="lenet5"), (28, 28), 10), 32, 32, 2),
        "3072-1000-1000-10": Setting(multilayer_perceptron((3072,), 10, (1000, 1000)), 128, 8, 3),
    }


def examples(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Return as many random examples as a repetition has steps for."""
    rng = np.random.default_rng(0)
    n = setting.batch * setting.steps
    return rng.random((n, *setting.network.input_shape), np.float32), rng.integers(setting.network.classes, size=n)


def connections(setting: Setting, sparsity: float) -> list[list[np.ndarray]]:
    """Return each mask's positions: every layer has the same sparsity."""
    layers = setting.network.layers
    counts = [max(1, round((1 - sparsity) * layer.size)) for layer in layers]
    return [list(random_mask(layers, counts, np.random.default_rng(i)).connections) for i in range(setting.masks)]


def with_kernel(kernel: str, setting: Setting, sparsity: float) -> Callable[[], object]:
    """Return what trains for one repetition with one of evosparse's kernels."""
    x, y = examples(setting)
    training = TrainingSpec(optimizer="adam", learning_rate=RATE, batch=setting.batch, kernel=kernel)
    seeds = [Seeds(weights=i, order=0, noise=0) for i in range(setting.masks)]
    masks = connections(setting, sparsity)
    population = Population(setting.network, masks, seeds, training, InitialisationSpec(), 10**6, device="cpu")
    return lambda: population.train(x, y, 1)


def pruned(setting: Setting, positions: Sequence[np.ndarray], seed: int) -> nn.Module:
    """Return an ordinary module that carries its mask as `torch.nn.utils.prune` does."""
    module = setting.network.module(seed)
    for layer, indices in zip(setting.network.layers, positions, strict=True):
        prune.custom_from_mask(module.get_submodule(layer.name), "weight", as_mask(layer.shape, indices))
    return module


def as_mask(shape: Sequence[int], indices: np.ndarray) -> torch.Tensor:
    """Expand positions to a float mask."""
    mask = torch.zeros(shape)
    mask.view(-1)[torch.tensor(indices, dtype=torch.int64)] = 1
    return mask


def loop(setting: Setting, sparsity: float, fused: bool | None = None) -> Callable[[], object]:
    """Return the loop over networks: every network does a step before any does the next, as a population does."""
    modules = [pruned(setting, own, seed) for seed, own in enumerate(connections(setting, sparsity))]
    optimizers = [torch.optim.Adam(module.parameters(), RATE, fused=fused) for module in modules]
    x, y = (torch.from_numpy(array) for array in examples(setting))

    def repetition() -> None:
        for start in range(0, len(x), setting.batch):
            for module, optimizer in zip(modules, optimizers, strict=True):
                optimizer.zero_grad()
                cross_entropy(module(x[start : start + setting.batch]), y[start : start + setting.batch]).backward()
                optimizer.step()

    return repetition


def vmapped(setting: Setting, sparsity: float) -> Callable[[], object]:
    """Return `torch.func.vmap` over stacked parameters, masks multiplied in, one optimizer over all."""
    modules = [setting.network.module(seed) for seed in range(setting.masks)]
    names = list(dict(modules[0].named_parameters()))
    values = {name: torch.stack([module.get_parameter(name).detach() for module in modules]) for name in names}
    every = connections(setting, sparsity)
    masks = {
        layer.parameter: torch.stack([as_mask(layer.shape, own[index]) for own in every])
        for index, layer in enumerate(setting.network.layers)
    }
    optimizer = torch.optim.Adam(values.values(), RATE, fused=True)
    x, y = (torch.from_numpy(array) for array in examples(setting))

    def loss(own: Mapping, mask: Mapping, xs: torch.Tensor, ys: torch.Tensor) -> torch.Tensor:
        masked = {name: value * mask[name] if name in mask else value for name, value in own.items()}
        return cross_entropy(functional_call(modules[0], masked, (xs,)), ys)

    gradients = vmap(grad(loss), in_dims=(0, 0, None, None))

    def repetition() -> None:
        for start in range(0, len(x), setting.batch):
            found = gradients(values, masks, x[start : start + setting.batch], y[start : start + setting.batch])
            for name, value in values.items():
                value.grad = found[name]
            optimizer.step()

    return repetition


def ray_tasks(setting: Setting, sparsity: float) -> Callable[[], object]:
    """Return one Ray task for each mask, on one core."""
    import ray

    # By its name, so that workers import this file instead of being sent parts of it.
    from masks import train_in_task

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=1)(train_in_task)
    name = next(name for name, own in settings().items() if own.network.layers == setting.network.layers)
    every = connections(setting, sparsity)
    return lambda: max(ray.get([task.remote(name, own, seed) for seed, own in enumerate(every)]))


def train_in_task(name: str, positions: Sequence[np.ndarray], seed: int) -> int:
    """Build one mask's network, train it for a repetition, and return the largest resident size of the worker, in KiB."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    setting = settings()[name]
    module = pruned(setting, positions, seed)
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    x, y = (torch.from_numpy(array) for array in examples(setting))
    for start in range(0, len(x), setting.batch):
        optimizer.zero_grad()
        cross_entropy(module(x[start : start + setting.batch]), y[start : start + setting.batch]).backward()
        optimizer.step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


WAYS: dict[str, Callable[[Setting, float], Callable[[], object]]] = {
    "packed": lambda setting, sparsity: with_kernel("packed", setting, sparsity),
    "dense": lambda setting, sparsity: with_kernel("dense", setting, sparsity),
    "csr": lambda setting, sparsity: with_kernel("csr", setting, sparsity),
    "prune": loop,
    "prune_fused": partial(loop, fused=True),
    "vmap": vmapped,
    "ray": ray_tasks,
}


def measure_in_turn(name: str, way: str, sparsity: float, pipe: Connection) -> None:
    """Be the process of one way: set up, then do a repetition for each message, and tell its seconds."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    repetition = WAYS[way](settings()[name], sparsity)
    repetition()
    pipe.send("ready")
    largest = None
    while pipe.recv():
        begun = time.perf_counter()
        largest = repetition()
        pipe.send(time.perf_counter() - begun)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send((largest if way == "ray" else own) / 1024)


def compare(name: str, sparsity: float, ways: Sequence[str], repeats: int) -> Mapping[str, object]:
    """Measure ways in turn, and set them against the loop and vmap."""
    setting = settings()[name]
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for way in ways:
        if way == "csr" and name == "LeNet-5":
            continue  # torch's sparse rows are for linear layers
        pipes[way], theirs = context.Pipe()
        processes.append(context.Process(target=measure_in_turn, args=(name, way, sparsity, theirs)))
        processes[-1].start()
        theirs.close()  # so that a process that fails is heard of
        pipes[way].recv()
    seconds: dict[str, list[float]] = {way: [] for way in pipes}
    for _ in range(repeats):
        for way, pipe in pipes.items():
            pipe.send(True)
            seconds[way].append(pipe.recv())
    found: dict[str, dict[str, object]] = {}
    for way, pipe in pipes.items():
        pipe.send(False)
        each = [1e3 * value / setting.steps for value in seconds[way]]
        found[way] = {
            "milliseconds": round(median(each), 3),
            "each": [round(value, 3) for value in each],
            "mask_steps_per_second": round(1e3 * setting.masks / median(each)),
            "peak_mib": round(pipe.recv()),
        }
    for process in processes:
        process.join()
    for baseline in ("prune", "prune_fused", "vmap"):
        for way in found if baseline in found else ():
            ratio = found[baseline]["milliseconds"] / found[way]["milliseconds"]
            found[way][f"times_faster_than_{baseline}"] = round(ratio, 2)
    result = {"architecture": name, "sparsity": sparsity, "batch": setting.batch, "masks": setting.masks}
    if "packed" in found:
        found["packed"]["gflops"] = round(operations(setting, sparsity) / found["packed"]["milliseconds"] / 1e6, 1)
    return result | {"ways": found}


def operations(setting: Setting, sparsity: float) -> int:
    """Return the floating-point operations of a step on existing weights: three products, the first layer two."""
    counts = [max(1, round((1 - sparsity) * layer.size)) for layer in setting.network.layers]
    each = [count * positions for count, positions in zip(counts, setting.network.positions, strict=True)]
    return 2 * (3 * sum(each) - each[0]) * setting.batch * setting.masks


def peak_gflops() -> float:
    """Return the best of one core's float32 matrix product."""
    torch.set_num_threads(1)
    one, other = torch.rand(1024, 1024), torch.rand(1024, 1024)
    best = np.inf
    for _ in range(20):
        begun = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - begun)
    return 2 * 1024**3 / best / 1e9


def memory() -> Mapping[str, object]:
    """Train 64 masks at 99.9 % on a layer of 20,000 x 20,000 in this process, and return its largest resident size."""
    network = multilayer_perceptron((20_000,), 10, (20_000,))
    masks = [random_mask(network.layers, (400_000, 20_000), np.random.default_rng(i)) for i in range(64)]
    training = TrainingSpec(optimizer="adam", batch=32)
    connections = [list(mask.connections) for mask in masks]
    population = Population(network, connections, [Seeds(0, 0, 0)] * 64, training, InitialisationSpec(), 1)
    rng = np.random.default_rng(0)
    population.train(rng.random((160, 20_000), np.float32), rng.integers(10, size=160), 1)
    return {
        "kernel": population.kernel,
        "steps": population.steps,
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "dense_weights_gib": round(64 * sum(layer.size for layer in network.layers) * 4 / 2**30, 1),
    }


def plot(report: Path, picture: Path) -> None:
    """Draw time against density."""
    from matplotlib import pyplot

    found = json.loads(report.read_text())["results"]
    names = list(dict.fromkeys(result["architecture"] for result in found))
    figure, panels = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3.6), layout="constrained", squeeze=False)
    styles = dict(zip(WAYS, ("ko-", "ks--", "k^:", "kx-", "kv-.", "k+--", "kd:"), strict=True))
    for panel, name in zip(panels[0], names, strict=True):
        own = [result for result in found if result["architecture"] == name]
        for way, style in styles.items():
            points = [
                (100 - 100 * one["sparsity"], one["ways"][way]["milliseconds"]) for one in own if way in one["ways"]
            ]
            if points:
                panel.loglog(*zip(*points, strict=True), style, label=way, markersize=5, linewidth=1, fillstyle="none")
        panel.set(title=f"{name}, {own[0]['masks']} masks", xlabel="density / %", ylabel="step of all masks / ms")
        panel.set_xticks([1, 2, 5, 10, 20, 50], labels=["1", "2", "5", "10", "20", "50"])
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(styles))
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Measure and print, or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", choices=list(settings()), default=list(settings()))
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.8, 0.9, 0.95, 0.98, 0.99])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="only the largest resident size on a huge layer")
    parser.add_argument("--plot", nargs=2, type=Path, metavar=("JSON", "PNG"), help="only draw what was measured")
    options = parser.parse_args()
    if options.plot:
        plot(*options.plot)
        return
    if options.memory:
        print(json.dumps(memory(), indent=2))
        return
    report: dict[str, object] = {"python": platform.python_version(), "torch": torch.__version__, "threads": 1}
    report |= {"cpus": os.cpu_count(), "load": os.getloadavg(), "peak_gflops": round(peak_gflops(), 1)}
    results = []
    for name in options.architectures:
        for sparsity in options.sparsities:
            results.append(compare(name, sparsity, options.ways, options.repeats))
            packed = results[-1]["ways"].get("packed")
            if packed:
                packed["share_of_peak"] = round(packed["gflops"] / report["peak_gflops"], 3)
    print(json.dumps(report | {"results": results, "load_after": os.getloadavg()}, indent=2))


if __name__ == "__main__":
    main()
