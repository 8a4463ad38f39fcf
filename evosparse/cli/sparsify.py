"""The command that trains networks by published methods: sparsify."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from evosparse.cli.common import Address, AsJson, Quiet, Workers, app
from evosparse.cli.running import start
from evosparse.engine.document import apply, parse_override
from evosparse.engine.spec import parse

_PATIENCE = 7 * 24 * 3600.0  # seconds for each network: someone is watching


@app.command()
def sparsify(
    methods: Annotated[
        list[str], typer.Option("--method", metavar="NAME", help="A method, such as rigl, or FILE.py:CLASS. Repeatable.")
    ],
    network: Annotated[str, typer.Option(help="A network, such as lenet300, or FILE.py:FACTORY.")] = "lenet300",
    data: Annotated[str, typer.Option(help="A data set by its name, or a file.")] = "digits",
    sparsities: Annotated[
        list[float], typer.Option("--sparsity", help="Share of the weights to remove. Repeatable.")
    ] = [0.9],  # noqa: B006 - typer copies it
    seeds: Annotated[int, typer.Option(help="Networks for each method and sparsity.")] = 5,
    epochs: Annotated[int, typer.Option(help="Length of a training.")] = 10,
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Set a parameter, such as rigl.every=50 or training.batch=100."),
    ] = [],  # noqa: B006
    workers: Workers = None,
    address: Address = None,
    out: Annotated[Path | None, typer.Option(help="A new run directory; default runs/sparsify-METHOD-NETWORK.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train sparse networks by published methods.

    All seeds of a method and a sparsity are trained as one population.

    Example: evosparse sparsify --method rigl --network lenet300 --data digits --sparsity 0.98 --seeds 5
    """
    document = {
        "name": _name(methods, network),
        "kind": "sparsify",
        "data": data,
        "network": {"module": network} if ":" in network else network,
        "sparsities": sparsities,
        "seeds": seeds,
        "epochs": epochs,
        # One batch, so that all seeds are one population.
        "evaluation": {"batch": max(1, seeds), "timeout": _PATIENCE},
    }
    sections, others = _method_sections(methods, overrides)
    spec = parse(document | {"methods": sections}, "sparsify", others)
    start(spec, Path.cwd(), out, workers, address, as_json, quiet)


def _method_sections(methods: Sequence[str], overrides: Sequence[str]) -> tuple[list[dict[str, object]], list[str]]:
    """Return the methods' sections with their own overrides, and the other overrides."""
    sections: dict[str, dict[str, object]] = {name: {} for name in methods}
    own = [text for text in overrides if text.partition(".")[0] in sections]
    apply([parse_override(text) for text in own], sections)
    return [{**sections[name], "method": name} for name in methods], [text for text in overrides if text not in own]


def _name(methods: Sequence[str], network: str) -> str:
    """Return a name that a folder can have."""
    parts = [part.rpartition(":")[2] for part in (*methods, network)]
    return "-".join(["sparsify", *parts])[:100].rstrip(".-")
