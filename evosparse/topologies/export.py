"""A network for other programs: as JSON with all its genes, and as Python source that needs nothing but Python.

The source adds in the order in which `phenotype` adds, so that it gives the same values.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from evosparse.topologies.functions import FUNCTIONS
from evosparse.topologies.genome import BIAS, Topology
from evosparse.topologies.layout import needed

_WIDTH = 110  # columns of the source
_DEEPEST = 200  # terms of a sum in one expression; Python refuses expressions that are nested some thousand deep
_KINDS = ("input", BIAS, "output", "hidden")
_JSON_VALUES = ("campaign", "measures", "notes")  # of the metadata

# Names that the source has already, besides those of functions.
_TAKEN = ("INPUTS", "self", "inputs", "total", "exp", "math", "sys", "_")
_EXP = [
    "def exp(x):",
    '    """Return e to the power of x, which is infinite where it is too large for a number."""',
    "    try:",
    "        return math.exp(x)",
    "    except OverflowError:",
    "        return math.inf",
]
_MAIN = [
    'if __name__ == "__main__":',
    "    network = Network()",
    "    # The numbers of one input as arguments, or those of several in a row as lines of the standard input.",
    "    for line in [sys.argv[1:]] if len(sys.argv) > 1 else map(str.split, sys.stdin):",
    "        print(*network.activate(line))",
]


def to_json(topology: Topology, metadata: Mapping[str, str]) -> str:
    """Return a network as JSON: its interface, its nodes with their functions, and all genes of connections.

    Nodes and connections have ``expressed``, which is false for those that make no difference to the outputs.

    Args:
        topology: the network.
        metadata: goes into the text.
    """
    face = topology.interface
    used = needed(topology)
    nodes = []
    for node in (*range(face.fixed), *topology.hidden.tolist()):
        kind = _KINDS[sum(node >= end for end in (len(face.inputs), face.sources, face.fixed))]
        function = {"function": topology.function_of(node)} if node >= face.sources else {}
        nodes.append({"node": node, "name": face.name(node), "kind": kind, **function, "expressed": node in used})
    genes = ("innovation", "source", "target", "weight", "enabled")
    connections = [
        dict(zip(genes, values, strict=True)) | {"expressed": bool(values[-1]) and values[2] in used}
        for values in zip(*(getattr(topology, name).tolist() for name in genes), strict=True)
    ]
    functions = sorted({node["function"] for node in nodes if "function" in node})
    document = {
        "inputs": face.inputs,
        "outputs": face.outputs,
        "recurrent": face.recurrent,
        "sweeps": face.sweeps,
        "nodes": nodes,
        "connections": connections,
        "functions": {name: FUNCTIONS[name].source for name in functions},
        **metadata,
        **{name: json.loads(metadata[name]) for name in _JSON_VALUES if name in metadata},
    }
    return json.dumps(document, indent=2) + "\n"


def to_python(topology: Topology, metadata: Mapping[str, str]) -> str:
    """Return a Python module with a class ``Network``, which needs nothing but Python.

    ``Network().activate(inputs)`` returns the list of outputs; ``reset()`` forgets what a recurrent network has seen.
    Run as a program the module prints the outputs for the inputs that it is given.

    Args:
        topology: the network.
        metadata: of its campaign; ``evosparse``, ``uid`` and ``measures`` are named in the first lines.

    Raises:
        ValueError: the connections of a feed-forward network form a loop.
    """
    face = topology.interface
    order = _order(topology)
    used = sorted({topology.function_of(node) for node in order})
    functions = {name: f"{name}_" if hasattr(builtins, name) else name for name in used}
    names = _identifiers(topology, order, {*functions.values(), *_TAKEN, *keyword.kwlist, *dir(builtins)})
    head = [
        '"""A neural network that was found by evolution; it needs nothing but Python."""',
        "",
        *_note(topology, metadata),
        "",
        "import math",
        "import sys",
        "",
        *_filled("INPUTS = [", _listed(map(ascii, face.inputs)), "]"),
        *_filled("OUTPUTS = [", _listed(map(ascii, face.outputs)), "]"),
    ]
    parts = [head, _EXP] if any(" exp(" in f" {FUNCTIONS[name].source}" for name in used) else [head]
    parts += [[f"def {functions[name]}(x):", f"    return {_source(name)}"] for name in used]
    steps = [
        line
        for node in order
        for line in _step(topology, node, functions[topology.function_of(node)], names, 12 if face.recurrent else 8)
    ]
    parts += [_network(topology, order, names, steps), _MAIN]
    return "\n\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _order(topology: Topology) -> list[int]:
    """Return the nodes to compute, outputs first in a recurrent network, else each behind all that goes into it."""
    face = topology.interface
    used = sorted(node for node in needed(topology) if node >= face.sources)
    if face.recurrent:
        return used
    before = {node: [source for _, source in _incoming(topology, node) if source >= face.sources] for node in used}
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        raise ValueError("expected a feed-forward network, got a loop") from None


def _incoming(topology: Topology, node: int) -> list[tuple[float, int]]:
    """Return weight and source of each connection into a node, in the order of the genes."""
    which = topology.enabled & (topology.target == node)
    return list(zip(topology.weight[which].tolist(), topology.source[which].tolist(), strict=True))


def _identifiers(topology: Topology, order: Sequence[int], taken: set[str]) -> dict[int, str]:
    """Return a name for each input and node that Python can read, near to its own name and like no other."""
    names = {}
    for node in (*range(len(topology.interface.inputs)), *order):
        name = re.sub(r"-(?=\d)", " minus ", topology.interface.name(node))
        name = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_")
        # The values of the next sweep are called next_ and the name of the node.
        if not name or name[0].isdigit() or name.startswith("next_"):
            name = f"n{node}_{name}".strip("_")
        while name in taken:
            name += f"_{node}"
        taken.add(name)
        names[node] = name
    return names


def _note(topology: Topology, metadata: Mapping[str, str]) -> list[str]:
    facts = [topology.describe()]
    if "evosparse" in metadata:
        facts.append(f"found by evosparse {metadata['evosparse']}")
    named = {"candidate": "uid", "measures": "measures"}
    facts += [f"{name} {metadata[key]}" for name, key in named.items() if key in metadata]
    # A comment ends where its line does, and can be written in any encoding.
    return [f"# {' '.join(fact.encode('ascii', 'backslashreplace').decode().split())}" for fact in facts]


def _source(name: str) -> str:
    source = FUNCTIONS[name].source
    # The sine of infinity is an error in Python; elsewhere it is not a number.
    return f"{source} if math.isfinite(x) else math.nan" if "math.sin(" in source else source


def _network(topology: Topology, order: Sequence[int], names: Mapping[int, str], steps: Sequence[str]) -> list[str]:
    """Return the lines of the class."""
    face = topology.interface
    computed = [names[node] for node in order]
    lines = [
        "class Network:",
        '    """The network, which has seen nothing yet."""',
        "",
        "    def __init__(self):",
        "        self.reset()",
        "",
        "    def reset(self):",
        '        """Forget all inputs."""',
        f"        self.values = [0.0] * {len(order)}" if face.recurrent else "        # It remembers none.",
        "",
        "    def activate(self, inputs):",
        '        """Return a list of the OUTPUTS for a list of the INPUTS."""',
        "        if len(inputs) != len(INPUTS):",
        '            raise ValueError(f"expected {len(INPUTS)} inputs {INPUTS}, got {len(inputs)}")',
        *_filled("[", _listed(names[node] for node in range(len(face.inputs))), "] = map(float, inputs)", 8),
    ]
    if not face.recurrent:
        return [*lines, *steps, *_filled("return [", _listed(names[node] for node in face.output_nodes), "]", 8)]
    return [
        *lines,
        f"        for _ in range({face.sweeps}):",
        *_filled("[", _listed(computed), "] = self.values", 12),
        *steps,
        *_filled("self.values = [", _listed(f"next_{name}" for name in computed), "]", 12),
        f"        return self.values[:{len(face.outputs)}]",
    ]


def _step(topology: Topology, node: int, function: str, names: Mapping[int, str], indent: int) -> list[str]:
    """Return the lines that compute a node."""
    face = topology.interface
    result = f"next_{names[node]}" if face.recurrent else names[node]
    terms: list[str] = []
    for weight, source in _incoming(topology, node):
        factor = f" * {names[source]}" if source in names else ""  # the bias is 1
        terms.append(f"{'-' if weight < 0 else '+'} {abs(weight)!r}{factor}")
    if len(terms) <= _DEEPEST:
        return _filled(f"{result} = {function}(", _first(terms), ")", indent)
    lines = _filled("total = (", _first(terms[:_DEEPEST]), ")", indent)
    for start in range(_DEEPEST, len(terms), _DEEPEST):
        lines += _filled("total = (", ["total", *terms[start : start + _DEEPEST]], ")", indent)
    return [*lines, f"{' ' * indent}{result} = {function}(total)"]


def _first(terms: Sequence[str]) -> list[str]:
    """Return the terms of a sum as they are written at its beginning."""
    if not terms:
        return ["0.0"]
    return [terms[0].replace("- ", "-", 1).removeprefix("+ "), *terms[1:]]


def _listed(words: Iterable[str]) -> list[str]:
    *most, last = words
    return [*(f"{word}," for word in most), last]


def _filled(head: str, words: Sequence[str], tail: str, indent: int = 0) -> list[str]:
    """Return words between brackets: in one line, or as many of them in a line as have space."""
    margin = " " * indent
    line = f"{margin}{head}{' '.join(words)}{tail}"
    if len(line) <= _WIDTH:
        return [line]
    lines, inner = [margin + head], f"{margin}    "
    full = True
    for word in words:
        full = full or len(lines[-1]) + 1 + len(word) > _WIDTH
        if full:
            lines.append(inner + word)
        else:
            lines[-1] += f" {word}"
        full = False
    return [*lines, margin + tail]
