"""evosparse: evolutionary search for small, sparse and unusual neural networks.

The public names; kinds of genome are subpackages, such as `evosparse.masks`.
"""

import importlib

from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.fitness import Fitness, Invalid, Resources, fitness
from evosparse.engine.problem import Kind, Problem, Stage
from evosparse.engine.search import Search, State
from evosparse.engine.seeds import SeedKey
from evosparse.engine.spec import CampaignSpec, Evaluation, Stop

__all__ = [
    "Campaign", "CampaignSpec", "Candidate", "Evaluation", "Fitness", "Invalid", "Kind", "Outcome", "Problem", "Resources", "Search",
    "SeedKey", "Stage", "State", "Status", "Stop", "fitness", "sparsify",
]  # fmt: skip


def __getattr__(name: str) -> object:
    # A package that can be called, imported when it is first used: it brings torch, which takes a second.
    if name == "sparsify":
        return importlib.import_module("evosparse.sparsify")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
