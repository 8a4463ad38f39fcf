"""Activation functions of a network's input, hidden and output layers, evolved by coevolution."""

from evosparse.activations.cgp import CGP, Grid
from evosparse.activations.examination import ExaminationSpec
from evosparse.activations.expression import Expression, parse
from evosparse.activations.fitness import FitnessSpec, TrainedFitness
from evosparse.activations.genome import Formula, Triple, everywhere
from evosparse.activations.methods import Coevolution, Cooperative, OneForTriple, Random, Single, Standard
from evosparse.activations.module import Activation, source
from evosparse.activations.primitives import PUBLISHED, Primitive, PrimitiveSet
from evosparse.activations.problem import ActivationProblem as Problem
from evosparse.activations.problem import ActivationSpec, FunctionsSpec
from evosparse.activations.tree import GeneticProgramming, Tree
from evosparse.activations.workbench import Workbench

__all__ = [
    "CGP", "PUBLISHED", "Activation", "ActivationSpec", "Coevolution", "Cooperative", "ExaminationSpec", "Expression",
    "FitnessSpec", "Formula", "FunctionsSpec", "GeneticProgramming", "Grid", "OneForTriple", "Primitive", "PrimitiveSet",
    "Problem", "Random", "Single", "Standard", "TrainedFitness", "Tree", "Triple", "Workbench", "everywhere",
    "parse", "source",
]  # fmt: skip
