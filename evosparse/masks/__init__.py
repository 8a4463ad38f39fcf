"""Sparse masks at initialisation: which weights of a network exist before it is trained."""

from evosparse.masks.examination import ExaminationSpec
from evosparse.masks.fitness import ScoreFitness, TrainedFitness
from evosparse.masks.genome import Mask, MaskLayer, MaskMismatch
from evosparse.masks.methods import NSGA2, Combined, Dissipating, Genetic, KStarts, Mutation
from evosparse.masks.problem import FitnessSpec, MaskSpec
from evosparse.masks.problem import MaskProblem as Problem
from evosparse.masks.starts import StartSpec
from evosparse.nets.sparsity import Distribution
from evosparse.masks.workbench import Workbench

__all__ = [
    "NSGA2", "Combined", "Dissipating", "Distribution", "ExaminationSpec", "FitnessSpec", "Genetic", "KStarts", "Mask",
    "MaskLayer", "MaskMismatch", "MaskSpec", "Mutation", "Problem", "ScoreFitness", "StartSpec",
    "TrainedFitness", "Workbench",
]  # fmt: skip
