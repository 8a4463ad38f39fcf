"""What removing units saves: the masked network beside the smaller dense one that answers as it does.

    python experiments/benchmarks/compact.py [--data mnist --network lenet300 --sparsity 0.9 --epochs 5 --runs 9]

Prints JSON: for each method that removes units, widths, the greatest difference of two outputs, the bytes of the parameters, the
medians of milliseconds for 1,000 examples, in turns, and the median of their ratios; one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import evosparse  # noqa: E402
from evosparse.data import DataSpec, load  # noqa: E402

METHODS = ("nn_relief", "i_spasp", "bernoulli_units")
EXAMPLES = 1000


def milliseconds(module: nn.Module, x: torch.Tensor) -> float:
    """Time one pass."""
    began = time.perf_counter()
    with torch.no_grad():
        module(x)
    return 1000 * (time.perf_counter() - began)


def measure(method: str, data: str, network: str, sparsity: float, epochs: int, runs: int) -> Mapping[str, object]:
    """Train a network by a method, and compare it with the smaller one."""
    examples = load(DataSpec(name=data, limit=6_000 if data == "mnist" else None))
    (made,) = evosparse.sparsify(network, examples, method, sparsity, epochs=epochs)
    masked, smaller = made.module(), made.compact()
    rows = np.resize(np.arange(len(examples.test)), EXAMPLES)
    x = torch.from_numpy(np.ascontiguousarray(examples.test.x[rows]))
    with torch.no_grad():
        before, after = masked(x), smaller.module(x)
    times = [(milliseconds(masked, x), milliseconds(smaller.module, x)) for _ in range(runs + 1)][1:]
    sizes = [sum(4 * part.numel() for part in module.parameters()) for module in (masked, smaller.module)]
    return {
        "method": method, "data": data, "network": network, "sparsity": sparsity, "weights": made.measures["weights"],
        "widths": smaller.widths, "greatest_difference": float((before - after).abs().max()),
        "accuracy": made.accuracy(examples.test), "bytes_masked": sizes[0], "bytes_smaller": sizes[1],
        "milliseconds_masked": statistics.median(one for one, _ in times),
        "milliseconds_smaller": statistics.median(other for _, other in times),
        "ratio": statistics.median(one / other for one, other in times),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--network", default="lenet300")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args(arguments)
    rows = [measure(name, options.data, options.network, options.sparsity, options.epochs, options.runs) for name in METHODS]
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
