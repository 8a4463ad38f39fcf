"""The tables of `planted_paper.py`: targets by their id, measured figures beside ours, strong tickets, costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from evosparse.sparsify.planted import make_ticket

METHODS = ("random", "magnitude", "snip", "grasp", "synflow")
PROTOCOLS = ("singleshot", "multishot")
DENSITIES = ("0.5", "0.1", "0.01", "planted")
POPUPS = (("softmax", False), ("softmax", True), ("linear", False), ("linear", True))
DEPTHS = (3, 4, 5, 6, 10)
MEASURES = {"circle": "accuracy", "relu": "mse", "helix": "mse"}
SIZES = {"circle": (100, 108, 119, 153), "relu": (2, 4, 5, 9), "helix": (91, 95, 98, 110)}
"""At depths 3, 5, 6 and 10."""

# Measured with the released generator and pruners: means of three seeds of weak tickets; for each task and method
# single-shot at the four densities, then multi-shot.
MEASURED = {
    ("circle", "random"): (0.961, 0.797, 0.153, 0.153, 0.967, 0.855, 0.153, 0.153),
    ("circle", "magnitude"): (0.969, 0.968, 0.153, 0.153, 0.965, 0.970, 0.646, 0.239),
    ("circle", "snip"): (0.950, 0.954, 0.553, 0.321, 0.964, 0.969, 0.943, 0.865),
    ("circle", "grasp"): (0.922, 0.953, 0.782, 0.499, 0.931, 0.906, 0.864, 0.773),
    ("circle", "synflow"): (0.956, 0.966, 0.153, 0.153, 0.964, 0.972, 0.955, 0.938),
    ("relu", "random"): (1.6e-4, 1.0e-4, 0.171, 0.171, 1.1e-4, 1.0e-4, 0.171, 0.171),
    ("relu", "magnitude"): (1.2e-4, 1.1e-4, 0.171, 0.171, 1.8e-4, 1.1e-4, 0.060, 0.171),
    ("relu", "snip"): (1.3e-4, 1.7e-4, 0.036, 0.171, 1.9e-4, 1.4e-4, 1.0e-4, 0.171),
    ("relu", "grasp"): (5.5e-4, 6.7e-4, 1.7e-3, 0.171, 1.4e-2, 4.1e-3, 1.9e-4, 0.114),
    ("relu", "synflow"): (1.5e-4, 1.8e-4, 0.171, 0.171, 3.2e-4, 1.5e-4, 1.1e-4, 0.060),
    ("helix", "random"): (5.4e-4, 0.054, 0.293, 0.293, 5.3e-4, 0.076, 0.293, 0.293),
    ("helix", "magnitude"): (6.0e-4, 0.018, 0.293, 0.293, 3.4e-4, 0.049, 0.225, 0.287),
    ("helix", "snip"): (2.2e-3, 9.7e-3, 0.137, 0.249, 8.4e-4, 0.051, 0.088, 0.167),
    ("helix", "grasp"): (0.132, 0.135, 0.146, 0.145, 0.144, 0.143, 0.147, 0.147),
    ("helix", "synflow"): (4.7e-4, 3.4e-4, 0.293, 0.293, 5.3e-4, 2.4e-4, 6.5e-3, 0.040),
}
POPUP_MEASURED = {
    ("softmax", False): (0.818, 0.469, 0.153, 0.153), ("softmax", True): (0.858, 0.651, 0.381, 0.373),
    ("linear", False): (0.854, 0.572, 0.153, 0.244), ("linear", True): (0.921, 0.702, 0.379, 0.372),
}  # fmt: skip

Row = Mapping[str, object]
Rows = Sequence[Row]


def report(rows: Rows) -> Iterator[str]:
    """Yield the lines of all tables."""
    yield from ("## Targets", "", *targets(rows))
    yield from ("", "## Weak tickets: after training, last epoch", "", *weak(rows, "weak"))
    yield from ("", "## Weak tickets: after training, epoch chosen on validation examples", "", *weak(rows, "selected"))
    yield from ("", "## Circle, multi-shot: what was found", "", *found(rows))
    yield from ("", "## Edge-popup: strong Circle accuracy of outputs as they are", "", *popups(rows))
    yield from ("", "## Evolved masks beside the others, Circle", "", *searches(rows))


def choose(rows: Rows, **what: object) -> list[Row]:
    """Return the lines that agree with all of these."""
    return [row for row in rows if all(row.get(name) == value for name, value in what.items())]


def values(rows: Rows, part: str = "weak", measure: str | None = None) -> list[float]:
    """Return a measure of each line, in the order of the seeds."""
    ordered = sorted(rows, key=lambda row: row["seed"])
    return [float(row[part][measure or MEASURES[row["task"]]]) for row in ordered]


def shown(value: float, task: str) -> str:
    """Return an accuracy or a squared error as the tables have it."""
    if np.isnan(value):
        return "-"
    return f"{value:.3f}" if task == "circle" or value >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


def cell(rows: Rows, task: str, part: str) -> str:
    """Return the mean, and the number of seeds where it is not three."""
    if not rows:
        return "-"
    return shown(float(np.mean(values(rows, part))), task) + (f" ({len(rows)})" if len(rows) != 3 else "")


def targets(rows: Rows) -> Iterator[str]:
    """Yield the table of targets."""
    yield "| id | target | ours | seeds | command |"
    yield "|---|---|---|---|---|"
    sizes = "; ".join(f"{task} {'/'.join(map(str, own))}" for task, own in SIZES.items())
    tickets = _run("tickets")
    for name, target, (text, seeds), command in (
        ("PL1", "planted = target, float64: below 1e-10", _exactness(rows), tickets),
        ("PL2", f"sizes at d=3, 5, 6, 10: {sizes}", _sizes(), tickets),
        ("PL3", "Circle ticket, d=5: .991 clean, .981 noisy, within .006", _quality(rows), tickets),
        ("PL4", "kept = round(density N), also where all scores are zero", _budget(rows), _test("prune_scores")),
        ("PL5", "dense: Circle >= .94, ReLU <= 4e-4, Helix <= 5e-3, every seed", _dense(rows), _run("dense")),
        (
            "PL6", "magnitude and SynFlow, single and multi, Circle .5 and .1: >= .945, means of 5", _easy(rows),
            _run("pruned --tasks circle"),
        ),
        (
            "PL7", "random and SynFlow, single-shot, Circle .01: collapsed, flag, accuracy = share of class 0 within .03",
            _collapse(rows), _run("pruned --tasks circle"),
        ),
        (
            "PL8", "Circle, multi-shot, planted density: SynFlow > SNIP > GraSP > magnitude > random; SynFlow >= .90",
            _order(rows), _run("pruned --tasks circle"),
        ),
        (
            "PL9", "edge-popup, annealed, Circle .5: linear - softmax >= .03", _linear(rows),
            _run("popup --tasks circle"),
        ),
        (
            "PL10", "strong, weak, precision, recall, survivors, collapse of every method",
            ("of every method of the registry that makes a mask", "-"), _test("planted_benchmark"),
        ),
    ):  # fmt: skip
        yield f"| {name} | {target} | {text} | {seeds} | {command} |"


def _run(arms: str) -> str:
    return f"`python experiments/planted_paper.py run --arms {arms}`"


def _test(name: str) -> str:
    return f"`pytest tests/sparsify/test_{name}.py`"


def _exactness(rows: Rows) -> tuple[str, str]:
    own = choose(rows, arm="tickets")
    return f"largest {max(row['difference'] for row in own):.1e}, of {len(own)}" if own else "-", _seeds(own)


def _sizes() -> tuple[str, str]:
    exact = all(tuple(make_ticket(task, depth).size for depth in (3, 5, 6, 10)) == own for task, own in SIZES.items())
    return "exact" if exact else "**differ**", "-"


def _quality(rows: Rows) -> tuple[str, str]:
    own = choose(rows, arm="tickets", task="circle", depth=5)
    if not own:
        return "-", "0"
    return ", ".join(f"{np.mean(values(own, part)):.3f} {part}" for part in ("clean", "noisy")), _seeds(own)


def _budget(rows: Rows) -> tuple[str, str]:
    own = [row for label in ("0.5", "0.1", "0.01") for row in choose(rows, arm="pruned", task="circle", density=label)]
    size = 3 * 100 + 2 * 101 * 100 + 101 * 4
    exact = sum(row["kept"] == round(float(row["density"]) * size) for row in own)
    return f"exact in the tests, and in {exact} of {len(own)} Circle runs at .5, .1 and .01", "-"


def _dense(rows: Rows) -> tuple[str, str]:
    own = choose(rows, arm="dense")
    worst: Mapping[str, Callable] = {"circle": min, "relu": max, "helix": max}
    texts = []
    for part, name in (("selected", "epoch chosen on validation"), ("weak", "last epoch")):
        found = [(task, values(choose(own, task=task), part)) for task in MEASURES]
        figures = ", ".join(f"{task} {shown(worst[task](figure), task)}" for task, figure in found if figure)
        texts.append(f"worst, {name}: {figures}")
    return "; ".join(texts), _seeds(own)


def _easy(rows: Rows) -> tuple[str, str]:
    cells = {}
    for method in ("magnitude", "synflow"):
        for protocol in PROTOCOLS:
            for density in ("0.5", "0.1"):
                what = {"method": method, "protocol": protocol, "density": density}
                if own := choose(rows, arm="pruned", task="circle", **what):
                    cells[" ".join(what.values())] = values(own)
    if not cells:
        return "-", "0"
    name = min(cells, key=lambda key: np.mean(cells[key]))
    return f"least {np.mean(cells[name]):.3f} ({name}) of {len(cells)} cells", f"{min(map(len, cells.values()))}"


def _collapse(rows: Rows) -> tuple[str, str]:
    common = {"arm": "pruned", "task": "circle", "protocol": "singleshot", "density": "0.01"}
    own = [row for method in ("random", "synflow") for row in choose(rows, method=method, **common)]
    if not own:
        return "-", "0"
    flags = sum(row["collapsed"] for row in own)
    found = values(own)
    text = f"flag in {flags} of {len(own)}; accuracy {min(found):.3f} to {max(found):.3f}, mean {np.mean(found):.3f}"
    return text, _seeds(own)


def _order(rows: Rows) -> tuple[str, str]:
    common = {"arm": "pruned", "task": "circle", "protocol": "multishot", "density": "planted"}
    own = {method: values(choose(rows, method=method, **common)) for method in METHODS}
    means = {method: float(np.mean(found)) for method, found in own.items() if found}
    best_first = sorted(means, key=means.__getitem__, reverse=True)
    text = " > ".join(f"{method} {means[method]:.3f} ({len(own[method])})" for method in best_first) or "-"
    return text, f"{min(map(len, own.values()))}, each in brackets"


def _linear(rows: Rows) -> tuple[str, str]:
    common = {"arm": "popup", "task": "circle", "anneal": True, "density": "0.5"}
    own = {output: choose(rows, output=output, **common) for output in ("linear", "softmax")}
    if not all(own.values()):
        return "-", "0"
    linear, softmax = (float(np.mean(values(part, "strong_undivided"))) for part in own.values())
    return f"{linear:.3f} - {softmax:.3f} = {linear - softmax:+.3f}", _seeds(own["linear"])


def _seeds(rows: Rows) -> str:
    return str(len({row["seed"] for row in rows}))


def weak(rows: Rows, part: str) -> Iterator[str]:
    """Yield the large table: ours, and under it what was measured with the released code."""
    names = [f"{protocol[:-4]} {density}" for protocol in PROTOCOLS for density in DENSITIES]
    yield "| | | " + " | ".join(names) + " |"
    yield "|---" * 10 + "|"
    for (task, method), measured in MEASURED.items():
        cells = [
            cell(choose(rows, arm="pruned", task=task, method=method, protocol=protocol, density=density), task, part)
            for protocol in PROTOCOLS for density in DENSITIES
        ]  # fmt: skip
        yield f"| {task} {method} | ours | " + " | ".join(cells) + " |"
        yield "| | measured | " + " | ".join(shown(value, task) for value in measured) + " |"


def found(rows: Rows) -> Iterator[str]:
    """Yield strong quality, precision, recall, survivors and costs of multi-shot Circle."""
    yield (
        "| method | density | seeds | weak | strong | strong, undivided | precision | recall | survivors | collapsed "
        "| epochs | training multiply-adds |"
    )
    yield "|---" * 12 + "|"
    for method in METHODS:
        for density in DENSITIES:
            own = choose(rows, arm="pruned", task="circle", method=method, protocol="multishot", density=density)
            if own:
                yield f"| {method} | {density} | {_seeds(own)} " + _judged(own)


def _judged(own: Rows) -> str:
    mean = {name: np.mean(values(own, name)) for name in ("weak", "strong", "strong_undivided")}
    survivors = np.mean([row["survivors"] for row in own], axis=0)
    names = ("precision", "recall", "training_multiply_adds")
    precision, recall, cost = (np.mean([row[name] for row in own]) for name in names)
    return (
        f"| {mean['weak']:.3f} | {mean['strong']:.3f} | {mean['strong_undivided']:.3f} | {precision:.3f} | {recall:.3f} "
        f"| {' '.join(f'{count:.0f}' for count in survivors)} | {sum(row['collapsed'] for row in own)} of {len(own)} "
        f"| {own[0]['epochs']:.0f} | {cost:.1e} |"
    )


def popups(rows: Rows) -> Iterator[str]:
    """Yield the table of edge-popup."""
    yield "| output | annealed | | " + " | ".join(DENSITIES) + " |"
    yield "|---" * 7 + "|"
    for output, anneal in POPUPS:
        cells = []
        for density in DENSITIES:
            own = choose(rows, arm="popup", task="circle", output=output, anneal=anneal, density=density)
            mean = shown(float(np.mean(values(own, "strong_undivided"))), "circle") if own else "-"
            cells.append(mean + (f" ({len(own)})" if own and len(own) != 3 else ""))
        yield f"| {output} | {'yes' if anneal else 'no'} | ours | " + " | ".join(cells) + " |"
        yield "| | | measured | " + " | ".join(f"{value:.3f}" for value in POPUP_MEASURED[output, anneal]) + " |"


def searches(rows: Rows) -> Iterator[str]:
    """Yield evolved masks and pruned ones at the same densities, with what each search cost."""
    yield "| mask of | density | seeds | search: evaluations x epochs | kept | weak | strong | recall | collapsed |"
    yield "|---" * 9 + "|"
    for density in DENSITIES[:3]:
        for search in ("kstarts", "genetic", "nsga2"):
            own = [row for row in choose(rows, arm="evolved", search=search, density=density) if row.get("found", True)]
            if own:
                cost = f"{own[0]['evaluations']} x {own[0]['epochs_each']}"
                yield f"| {search} | {density} | {_seeds(own)} | {cost} " + _small(own)
        for method in METHODS:
            for protocol in PROTOCOLS:
                own = choose(rows, arm="pruned", task="circle", method=method, protocol=protocol, density=density)
                if own:
                    cost = f"1 x {own[0]['epochs'] - 10:.0f}"
                    yield f"| {method}, {protocol} | {density} | {_seeds(own)} | {cost} " + _small(own)


def _small(own: Rows) -> str:
    weak, strong = np.mean(values(own)), np.mean(values(own, "strong"))
    kept, recall = np.mean([row["kept"] for row in own]), np.mean([row["recall"] for row in own])
    collapsed = f"{sum(row['collapsed'] for row in own)} of {len(own)}"
    return f"| {kept:.0f} | {weak:.3f} | {strong:.3f} | {recall:.3f} | {collapsed} |"
