"""A network as text for a terminal: a line for each node, with what goes into it and how strongly.

Drawings of lines and boxes in characters can only be read with a dozen connections; a list can with hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence

from evosparse.topologies.genome import Topology
from evosparse.topologies.layout import Connection, arrange

_LOOP = "↺"
_LONGEST = 20  # characters of a name that is written in full
_MOST = 24  # connections of a node that are written out


def draw_text(topology: Topology, width: int = 100, everything: bool = False) -> str:
    """Return a network as text: its nodes by layers from the inputs on, each with its connections, the strongest first.

    Args:
        topology: the network.
        width: columns of the terminal; a line is longer only if it holds a single connection.
        everything: whether to show disabled connections, in brackets, and nodes that the outputs do not need, too.

    Returns:
        Lines without an end of line at the end.
    """
    face = topology.interface
    layout = arrange(topology, everything)
    names = {node: _short(face.name(node)) for node in layout.places}
    computed = [node for nodes in layout.layers for node in nodes if node >= face.sources]
    incoming: dict[int, list[Connection]] = {node: [] for node in computed}
    for link in layout.connections:
        incoming[link.target].append(link)
    cells = {node: _cells(incoming[node], names, face.recurrent) for node in computed}
    columns = [max(len(names[node]) for node in computed), max(len(topology.function_of(node)) for node in computed)]
    widest = max((len(cell) for row in cells.values() for cell in row), default=0)
    lines = [topology.describe()]
    used = [names[node] for node in layout.layers[0]]
    unused = [_short(face.name(node)) for node in range(face.sources) if node not in layout.places]
    for title, found in (("inputs", used), ("not used", unused)):
        if found:
            lines += _filled(f"{title}: ", [f"{name}," for name in found[:-1]] + found[-1:], width, 0)
    for number, nodes in enumerate(layout.layers[1:], 1):
        lines += ["", "outputs" if number == len(layout.layers) - 1 else f"layer {number}"]
        for node in nodes:
            head = f"  {names[node]:<{columns[0]}}  {topology.function_of(node):<{columns[1]}} "
            lines += _filled(head, cells[node] or [" nothing"], width, widest)
    if face.recurrent and any(link.backward for link in layout.connections):
        lines += ["", f"{_LOOP} closes a loop"]
    return "\n".join(line.rstrip() for line in lines)


def _cells(links: Sequence[Connection], names: dict[int, str], recurrent: bool) -> list[str]:
    """Return a word for each connection, the strongest first."""
    strongest = sorted(links, key=lambda link: (not link.enabled, -abs(link.weight)))
    cells = []
    for link in strongest[:_MOST]:
        name = names[link.source] + (f" {_LOOP}" if recurrent and link.backward else "")
        weight = _weight(link.weight)
        cells.append(f"{weight:>7} {name}" if link.enabled else f"{'(' + weight:>7} {name})")
    more = len(links) - _MOST
    return cells + ([f" and {more} weaker ones"] if more > 0 else [])


def _weight(weight: float) -> str:
    """Return a weight with its sign in six characters at most, with two digits behind the point if they can be seen."""
    text = f"{weight:+.2f}" if abs(weight) < 99.995 else f"{weight:+.0f}"
    if len(text) > 6 or float(text) == 0 != weight:
        text = f"{weight:+.0e}"
    return text


def _filled(head: str, cells: Sequence[str], width: int, widest: int) -> list[str]:
    """Return lines of cells of equal widths, below one another behind a head."""
    lines = [head]
    for number, cell in enumerate(cells):
        if number and len(lines[-1]) + len(cell) > width:
            lines.append(" " * len(head))
        lines[-1] += f"{cell:<{widest}} "
    return lines


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
