"""The one line of the registry for topologies: how they are built from a campaign file, shown and exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evosparse.engine.candidate import Candidate
from evosparse.engine.problem import Kind
from evosparse.topologies.export import to_json, to_python
from evosparse.topologies.figures import draw_network
from evosparse.topologies.genome import Topology
from evosparse.topologies.problem import TopologyProblem, TopologySpec
from evosparse.topologies.text import draw_text

_COLUMNS = 96  # of the network as text, which the command line indents by four


class TopologyKind(Kind):
    """Which graph a network has, and which weights."""

    name = "topologies"
    Spec = TopologySpec
    genomes = Topology
    suffixes = (".json", ".py", ".png", ".svg")

    def build(self, spec: TopologySpec, base: Path | None = None) -> TopologyProblem:
        """Make the problem that the sections describe."""
        return TopologyProblem.from_spec(spec, base)

    def show(self, genome: Topology) -> Mapping[str, object]:
        """Return the numbers of nodes and connections, and the network as text."""
        return {
            "hidden": len(genome.hidden),
            "connections": genome.size,
            "disabled": len(genome.weight) - genome.size,
            "recurrent": genome.interface.recurrent,
            "network": draw_text(genome, _COLUMNS),
        }

    def export(
        self, problem: TopologyProblem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Write a candidate, in the form that the suffix names.

        ``.json``: all genes. ``.py``: Python source that needs nothing else. ``.png``, ``.svg``: the network as a
        picture.
        """
        genome: Topology = candidate.genome
        match path.suffix:
            case ".json":
                path.write_text(to_json(genome, metadata))
            case ".py":
                path.write_text(to_python(genome, metadata))
            case _:
                draw_network(genome, path)
        return {"file": str(path), "hidden": len(genome.hidden), "connections": genome.size}
