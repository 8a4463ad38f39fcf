"""i-SpaSP beside what was measured for the project's page: Wolfe and Kyrillidis, arXiv 2112.04905, 784-1000-10 on MNIST.

    python experiments/i_spasp_paper.py run      (--seeds N)
    python experiments/i_spasp_paper.py report

Hidden units are chosen in a trained network in several ways; then all of these networks are tuned for an epoch, together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from paper_runs import HE, PAPERS, percent

from evosparse.data import DataSpec, load
from evosparse.engine.seeds import SeedKey
from evosparse.nets import NetworkSpec, Population, Seeds, TrainingSpec, build
from evosparse.sparsify.methods.i_spasp import reading, recovered, share
from evosparse.sparsify.units import without

FILE = PAPERS / "i_spasp.jsonl"
DENSE = TrainingSpec(optimizer="adam", learning_rate=1e-3, batch=100)
TUNING = TrainingSpec(optimizer="sgd", learning_rate=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, batch=100)
EPOCHS, EXAMPLES, RANDOM = 5, 1280, 20
RATIOS = (0.05, 0.10, 0.30, 0.50)
WAYS = ("i-SpaSP", "i-SpaSP abs", "sum of H", "row norm of W0", "norm(H_i) norm(W1_i)", "random")
MEASURED = {
    0.05: (".692, 40 / 95.1", ".699, 40 / 95.2", ".805, 17 / 93.8", ".846, 49 / 95.8", ".721, 59 / 95.7", ".904 (.878), 60 / 94.7"),
    0.10: (".533, 64 / 96.5", ".548, 64 / 96.5", ".648, 31 / 95.7", ".713, 68 / 97.1", ".555, 78 / 97.1", ".818 (.786), 70 / 96.0"),
    0.30: (".238, 85 / 97.6", ".257", ".273", ".387", ".213", ".507 (.463), 95 / 97.6"),
    0.50: (".099, 93 / 98.1", ".099", ".099", ".194", ".072", ".265 (.239), 97 / 98.1"),
}  # fmt: skip


def run(seed: int) -> Iterator[dict]:
    """Yield a row for each ratio and way of choosing, with one seed."""
    data = load(DataSpec(name="mnist", validation=5000))
    train, test = data.search.train, data.test
    network = build(NetworkSpec(name="mlp", hidden=(1000,)), data.search.input_shape, data.search.classes)
    seeds = Seeds(seed, seed, seed)
    dense = Population(network, [[None, None]], [seeds], DENSE, HE, EPOCHS)
    dense.train(train.x, train.y, EPOCHS)
    state, whole = dense.state(0), float(dense.accuracy(test.x, test.y)[0])
    rng = SeedKey(seed).child("i-SpaSP").rng()
    hidden, read, _ = reading(network, state, np.ascontiguousarray(train.x[rng.permutation(len(train.x))[:EXAMPLES]]), 0)
    activity = hidden.sum(dim=(0, 2)).numpy()
    scores = {
        "sum of H": activity,
        "row norm of W0": np.linalg.norm(state["hidden1.weight"], axis=1),
        "norm(H_i) norm(W1_i)": hidden.norm(dim=(0, 2)).numpy() * np.linalg.norm(state["output.weight"], axis=0),
    }
    outputs = read(hidden)

    def residual(chosen: np.ndarray) -> float:
        return share(outputs - read(hidden * torch.from_numpy(chosen)[None, :, None]), outputs)

    rows, choices = [], []
    for ratio in RATIOS:
        count = int(ratio * len(activity))
        for way in WAYS:
            if way in scores:
                tries = [top(scores[way], count)]
            elif way == "random":
                tries = [top(rng.random(len(activity)), count) for _ in range(RANDOM)]
            else:
                tries = [recovered(hidden, read, count, "abs" if way.endswith("abs") else "signed")[0]]
            residuals = [residual(own) for own in tries]
            choices.append(tries[0])
            rows.append({
                "seed": seed, "ratio": ratio, "way": way, "units": int(tries[0].sum()), "residual": float(np.mean(residuals)),
                "least": min(residuals), "dense": whole, "as_sum_of_h": bool((tries[0] == top(activity, count)).all()),
            })  # fmt: skip
    everywhere = [np.arange(layer.size) for layer in network.layers]
    connections = [without(network.layers, everywhere, [~own]) for own in choices]
    tuned = Population(network, connections, [seeds] * len(rows), TUNING, HE, 1)
    for number in range(len(rows)):
        tuned.load(number, state)
    cut = tuned.accuracy(test.x, test.y)
    tuned.train(train.x, train.y, 1)
    for row, before, after in zip(rows, cut, tuned.accuracy(test.x, test.y), strict=True):
        yield {**row, "cut": float(before), "tuned": float(after)}


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Return which are the greatest so many."""
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(-scores, kind="stable")[:count]] = True
    return chosen


def report(rows: Sequence[dict]) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield "| kept | way | residual, right after the cut / after an epoch (page) | ours: residual | right after the cut | after an epoch |"
    yield "|---" * 6 + "|"
    for ratio in RATIOS:
        for way, known in zip(WAYS, MEASURED[ratio], strict=True):
            own = [row for row in rows if (row["ratio"], row["way"]) == (ratio, way)]
            if own:
                residual = f"{np.mean([row['residual'] for row in own]):.3f}"
                residual += f" ({np.mean([row['least'] for row in own]):.3f})" if way == "random" else ""
                cut, tuned = (percent([row[key] for row in own]) for key in ("cut", "tuned"))
                yield f"| {ratio:.2f} | {way} | {known} | {residual} | {cut} | {tuned} |"
    dense = {row["seed"]: row["dense"] for row in rows}
    yield ""
    yield f"{len(dense)} seeds; dense networks {percent(list(dense.values()))}. Of random choices the mean of {RANDOM}, and the least residual."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    rows = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []
    if options.command == "report":
        print("\n".join(report(rows)))
        return
    for seed in sorted(set(range(options.seeds)) - {row["seed"] for row in rows}):
        for row in run(seed):
            with FILE.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
