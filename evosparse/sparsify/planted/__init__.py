"""Planted tickets: small known networks hidden in large random ones, so that what a pruning method finds can be checked."""

from evosparse.sparsify.planted.benchmark import Benchmark, Verdict, by_protocol
from evosparse.sparsify.planted.data import PlantedData, Samples, draw_data
from evosparse.sparsify.planted.mother import Planted, draw_mother, mother_widths, plant
from evosparse.sparsify.planted.module import planted_module
from evosparse.sparsify.planted.network import Masks, ReluNetwork
from evosparse.sparsify.planted.score import MaskScore, paths, score_masks, score_outputs
from evosparse.sparsify.planted.targets import SHAPES, Task, Ticket, make_ticket

__all__ = [
    "SHAPES", "Benchmark", "MaskScore", "Masks", "Planted", "PlantedData", "ReluNetwork", "Samples", "Task", "Ticket",
    "Verdict", "by_protocol", "draw_data", "draw_mother", "make_ticket", "mother_widths", "paths", "plant",
    "planted_module", "score_masks", "score_outputs",
]  # fmt: skip
