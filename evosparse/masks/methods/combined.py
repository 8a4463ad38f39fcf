"""K-starts and dissipating gradients one after the other, in either order; each removes the same share.

Haroon, "What to Prune and What Not to Prune at Initialization", arXiv 2209.02201. A reconstruction from its abstract; each
ambiguity is a parameter. With density d asked for:

    the first method cuts to sqrt(d) after E dense epochs
    training goes on for an epoch under its mask
    the second method cuts to d among the survivors
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.masks.fitness import ScoreFitness
from evosparse.masks.genome import Mask
from evosparse.masks.methods.base import RECONSTRUCTION, MaskSearch, Method, within
from evosparse.masks.methods.kstarts import layer_winner, random_masks
from evosparse.masks.operators import random_submask
from evosparse.masks.prelude import Accumulation, Change, Criterion, changes, dense_mask, keep_largest, run_phases
from evosparse.masks.workbench import Phase, Workbench
