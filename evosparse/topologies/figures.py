"""Pictures of what was found: a network with its weights, and the species of a search over its generations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evosparse.pictures import new_figure, undated
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.layout import Connection, Layout, arrange

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POSITIVE, _NEGATIVE, _SILENT = "#2166ac", "#c0392b", "#b0b0b0"  # blue and red are told apart by all eyes
_BOX = 0.40  # inches: least height of a node
_SPACE = 0.22  # inches between two nodes of a column
_ROW = _BOX + _SPACE
_PORT, _LABELLED_PORT = 0.05, 0.12  # inches between the ends of two connections at a node, without and with weights
_PIXELS = 16_000  # of a picture's longer side at most
_HEAD = 0.09  # inches: length of an arrow's head
_DASHES = (0, (4, 1.5))
_LONGEST = 22  # characters of a name that is written in full
_FEW = 16  # connections whose weights can be written beside them


def draw_network(topology: Topology, path: Path, title: str = "", everything: bool = False) -> None:
    """Draw a network from its inputs at the left to its outputs at the right.

    Blue connections have positive weights, red ones negative weights, and thick ones great weights; dashed ones close
    a loop.

    Args:
        topology: the network.
        path: a picture file, of a format by its suffix; equal networks give equal files.
        title: drawn above; by default the numbers of nodes and connections.
        everything: whether to show disabled connections, and nodes that the outputs do not need, too.

    Raises:
        StoreError: matplotlib is not installed.
    """
    layout = arrange(topology, everything, lambda ends, connections: (_box(ends, connections) + _SPACE) / _ROW)
    with new_figure() as figure:
        pen = _Pen(figure, topology, layout)
        pen.draw_connections()
        pen.draw_nodes()
        pen.draw_legend(title or topology.describe())
        dpi = min(130, _PIXELS / max(figure.get_size_inches()))
        figure.savefig(path, dpi=dpi, bbox_inches="tight", pad_inches=0.15, metadata=undated(path))


def draw_species(history: Sequence[Mapping[int, int]], path: Path) -> None:
    """Draw the sizes of species over the generations, stacked.

    Args:
        history: for each generation, of which there is at least one, the size of each species by its number.
        path: a picture file, of a format by its suffix; equal histories give equal files.

    Raises:
        StoreError: matplotlib is not installed.
    """
    species = sorted({number for sizes in history for number in sizes})
    sizes = np.array([[generation.get(number, 0) for number in species] for generation in history], dtype=float)
    with new_figure() as figure:
        from matplotlib.colors import hsv_to_rgb

        figure.set_size_inches(8, 4.5)
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        # Steps of the golden ratio: neighbours differ much, and no two are alike.
        hues = np.arange(len(species)) * 0.618034 % 1.0
        colours = [hsv_to_rgb((hue, 0.3 + 0.15 * (place % 3), 0.9)) for place, hue in enumerate(hues)]
        edges = np.arange(len(history) + 1) - 0.5
        columns = np.vstack([sizes, sizes[-1:]]).T
        axes.stackplot(edges, columns, colors=colours, edgecolor="white", linewidth=0.4, step="post")
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, sizes.sum(axis=1).max(initial=1.0))
        axes.xaxis.get_major_locator().set_params(integer=True)
        _name_species(axes, sizes, species)
        axes.set_xlabel("generation")
        axes.set_ylabel("networks")
        axes.set_title(f"{len(species)} species")
        figure.savefig(path, dpi=130, metadata=undated(path))


def _name_species(axes: Axes, sizes: np.ndarray, species: Sequence[int]) -> None:
    tops = sizes.cumsum(axis=1)
    middles = tops - sizes / 2
    half = len(sizes) // 60  # generations that half of a number covers
    for place, number in enumerate(species):
        around = [sizes[max(at - half, 0) : at + half + 1, place].min() for at in range(half, len(sizes) - half)]
        generation = int(np.argmax(around)) + half
        # Numbers of species that are too thin for them would hide the others.
        if around[generation - half] >= 0.05 * tops[:, -1].max():
            axes.text(generation, middles[generation, place], str(number), ha="center", va="center", fontsize=8)


class _Pen:
    """Draws a layout in inches, downwards from its first row.

    Args:
        figure: an empty one.
        topology: what is drawn.
        layout: where.
    """

    def __init__(self, figure: Figure, topology: Topology, layout: Layout) -> None:
        self.topology = topology
        self.layout = layout
        self.names = {node: _short(topology.interface.name(node)) for node in layout.places}
        texts = [*self.names.values(), *(topology.function_of(node) for node in layout.places if self._computes(node))]
        self.width = 0.16 + 0.072 * max(len(text) for text in texts)
        self.labelled = len(layout.connections) <= _FEW
        self.port = _port(len(layout.connections))
        links = layout.connections
        ends = [Counter(link.source for link in links), Counter(link.target for link in links)]
        self.boxes = {node: _box(max(side[node] for side in ends), len(links)) for node in layout.places}
        self.x = self._columns()
        spans = [(height * _ROW, self.boxes[node] / 2) for node, (_, height) in layout.places.items()]
        spans += [(bend * _ROW, 0.1) for connection in layout.connections for bend in connection.bends]
        self.top = min(middle - half for middle, half in spans)
        self.bottom = max(middle + half for middle, half in spans)
        figure.set_size_inches(self.x[-1] + self.width, self.bottom - self.top)
        self.axes = figure.add_axes((0, 0, 1, 1))  # a unit of its data is an inch; what lies beyond is kept when saved
        self.axes.set(xlim=(-self.width / 2, self.x[-1] + self.width / 2), ylim=(self.bottom, self.top))
        self.axes.set_axis_off()
        self.greatest = max((abs(connection.weight) for connection in layout.connections), default=0.0) or 1.0

    def _computes(self, node: int) -> bool:
        return node >= self.topology.interface.sources

    def _columns(self) -> list[float]:
        """Return the middle of each column: the steeper the lines between two of them, the more space they need."""
        rise = [0.0] * (len(self.layout.layers) - 1)
        for link in self.layout.connections:
            way = [self.layout.places[link.source], *self._bends(link), self.layout.places[link.target]]
            for (column, height), (other, target) in zip(way[:-1], way[1:], strict=True):
                if column != other:
                    gap = min(column, other)
                    rise[gap] = max(rise[gap], abs(target - height) * _ROW)
        least = 1.1 if self.labelled else 0.6
        return np.cumsum([0.0, *(self.width + min(max(least, 0.35 + 0.45 * most), 2.2) for most in rise)]).tolist()

    def _bends(self, link: Connection) -> list[tuple[int, float]]:
        first, last = self.layout.places[link.source][0], self.layout.places[link.target][0]
        columns = range(first, last - 1, -1) if link.backward else range(first + 1, last)
        return list(zip(columns, link.bends, strict=True))

    def _at(self, node: int) -> tuple[float, float]:
        column, height = self.layout.places[node]
        return self.x[column], height * _ROW

    def draw_nodes(self) -> None:
        """Draw a box for each node, with its name and function."""
        from matplotlib.patches import FancyBboxPatch

        face = self.topology.interface
        for node, name in self.names.items():
            x, y = self._at(node)
            shape = FancyBboxPatch(
                (x - self.width / 2, y - self.boxes[node] / 2), self.width, self.boxes[node],
                clip_on=False, linewidth=0.8, edgecolor="#404040",
                boxstyle="round,pad=0,rounding_size=0.09", facecolor=_paper(face, node), zorder=4,
            )  # fmt: skip
            self.axes.add_patch(shape)
            style = {"ha": "center", "va": "center", "parse_math": False, "zorder": 5}
            lift = 0.07 if self._computes(node) else 0.0
            self.axes.text(x, y - lift, name, fontsize=8, fontweight="bold" if node < face.fixed else None, **style)
            if lift:
                self.axes.text(x, y + 0.1, self.topology.function_of(node), fontsize=6.5, color="#505050", **style)

    def draw_connections(self) -> None:
        """Draw all lines, the strongest last, and their weights if there are but few."""
        starts = self._ports([(link.source, self._next(link)) for link in self.layout.connections])
        stops = self._ports([(link.target, self._last(link)) for link in self.layout.connections])
        order = sorted(range(len(starts)), key=lambda place: abs(self.layout.connections[place].weight))
        for place in order:
            self._draw(self.layout.connections[place], starts[place], stops[place])

    def _next(self, link: Connection) -> float:
        return link.bends[0] if link.bends else self.layout.places[link.target][1]

    def _last(self, link: Connection) -> float:
        return link.bends[-1] if link.bends else self.layout.places[link.source][1]

    def _ports(self, ends: Sequence[tuple[int, float]]) -> list[float]:
        """Return where on the side of its node each connection ends: in the order of where they come from."""
        height = [0.0] * len(ends)
        for node in {node for node, _ in ends}:
            own = sorted((towards, place) for place, (end, towards) in enumerate(ends) if end == node)
            for row, (_, place) in enumerate(own):
                height[place] = self._at(node)[1] + self.port * (row - (len(own) - 1) / 2)
        return height

    def _draw(self, link: Connection, start: float, stop: float) -> None:
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path as Curve

        points, codes = self._curve(link, start, stop)
        colour = (_POSITIVE if link.weight >= 0 else _NEGATIVE) if link.enabled else _SILENT
        width = _width(abs(link.weight) / self.greatest) if link.enabled else 0.8
        dashes = _DASHES if link.backward and self.topology.interface.recurrent else "-"
        style = {"clip_on": False, "alpha": 0.85, "zorder": 2}
        line = PathPatch(
            Curve(points, codes), fill=False, edgecolor=colour, linewidth=width,
            linestyle=dashes if link.enabled else ":", capstyle="butt", **style,
        )  # fmt: skip
        self.axes.add_patch(line)
        x = points[-1][0]
        half = 0.03 + width / 144
        self.axes.add_patch(
            Polygon([(x, stop - half), (x + _HEAD, stop), (x, stop + half)], facecolor=colour, linewidth=0, **style)
        )
        if self.labelled:
            paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.9}
            style = {"fontsize": 6.5, "ha": "right", "va": "center", "bbox": paper, "zorder": 3}
            self.axes.text(x - 0.06, stop, f"{link.weight:+.2f}", color=colour, **style)

    def _curve(self, link: Connection, start: float, stop: float) -> tuple[list[tuple[float, float]], list[int]]:
        """Return points and codes of a line that is level at nodes and where it passes columns."""
        from matplotlib.path import Path as Curve

        side = self.width / 2
        way = -1 if link.backward else 1
        gates = [(self._at(link.source)[0] + side, start, 1)]
        for column, bend in self._bends(link):
            gates += [(self.x[column] - way * side, bend * _ROW, way), (self.x[column] + way * side, bend * _ROW, way)]
        gates.append((self._at(link.target)[0] - side - _HEAD, stop, 1))
        points, codes = [gates[0][:2]], [Curve.MOVETO]
        for (x, y, leaves), (u, v, arrives) in zip(gates[:-1], gates[1:], strict=True):
            pull = 0.3 if leaves != arrives else 0.5 * abs(u - x)
            points += [(x + leaves * pull, y), (u - arrives * pull, v), (u, v)]
            codes += [Curve.CURVE4] * 3
        return points, codes

    def draw_legend(self, title: str) -> None:
        """Write the title above, and below what colours mean and which inputs are not used."""
        from matplotlib.lines import Line2D

        face = self.topology.interface
        middle = self.x[-1] / 2
        words = {"ha": "center", "parse_math": False}
        self.axes.text(middle, self.top - 0.15, title, va="bottom", fontsize=10, **words)
        below = self.bottom + 0.15
        entries = [(_POSITIVE, "-", 1.5, "positive weight"), (_NEGATIVE, "-", 1.5, "negative weight")]
        if self.layout.connections:
            entries.append(("#404040", "-", _width(1.0), f"±{self.greatest:.3g}"))
        if face.recurrent and any(link.backward for link in self.layout.connections):
            entries.append(("#404040", _DASHES, 1.5, "closes a loop"))
        if not all(link.enabled for link in self.layout.connections):
            entries.append((_SILENT, ":", 1.5, "disabled"))
        lines = [
            Line2D([], [], color=colour, linestyle=style, linewidth=width, label=label)
            for colour, style, width, label in entries
        ]
        self.axes.legend(
            handles=lines, loc="upper center", bbox_to_anchor=(middle, below), bbox_transform=self.axes.transData,
            ncols=len(lines), fontsize=7, frameon=False, handlelength=2.6, borderaxespad=0,
        )  # fmt: skip
        unused = [face.name(node) for node in range(face.sources) if node not in self.layout.places]
        if unused:
            note = _short(f"not used: {', '.join(unused)}", 110)
            self.axes.text(middle, below + 0.35, note, va="top", fontsize=7, **words)


def _port(connections: int) -> float:
    return _LABELLED_PORT if connections <= _FEW else _PORT


def _box(ends: int, connections: int) -> float:
    """Return the height in inches of a node that has space for the ends of its connections."""
    return max(_BOX, 0.12 + _port(connections) * ends)


def _width(share: float) -> float:
    """Return the width in points of a line whose weight is a share of the greatest."""
    return 0.6 + 3.2 * share


def _paper(face: Interface, node: int) -> str:
    if node < face.sources:
        return "#e3e9ef"
    return "#fbeec2" if node < face.fixed else "white"


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
