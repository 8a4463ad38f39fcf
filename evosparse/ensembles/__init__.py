"""Classifier ensembles: which members of a pool of trained classifiers shall vote, by the CIF-E protocol and UMDA."""

from evosparse.ensembles.bench import Bench
from evosparse.ensembles.classifier import CIFEClassifier
from evosparse.ensembles.diversity import Diversity
from evosparse.ensembles.examination import ExaminationSpec
from evosparse.ensembles.fitness import FitnessSpec, VoteFitness
from evosparse.ensembles.genome import Ensemble
from evosparse.ensembles.greedy import greedy_selection
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.members import LEARNERS, MemberSpec
from evosparse.ensembles.methods import CGA, NSGA2, PBIL, UMDA, Genetic, OnePlusLambda, Random
from evosparse.ensembles.pool import POOLS, PoolSpec, PredictionsSpec
from evosparse.ensembles.problem import EnsembleProblem as Problem
from evosparse.ensembles.problem import EnsembleSpec
from evosparse.ensembles.protocol import APPROACHES
from evosparse.ensembles.selection import Selection, select
from evosparse.ensembles.votes import Chamber, Votes, VoteSpec
from evosparse.ensembles.voting import VotingEnsemble, load

__all__ = [
    "APPROACHES", "CGA", "LEARNERS", "NSGA2", "PBIL", "POOLS", "UMDA", "Bench", "CIFEClassifier", "Chamber",
    "Diversity", "Ensemble", "EnsembleSpec", "ExaminationSpec", "FitnessSpec", "Genetic", "Initialisation",
    "MemberSpec", "OnePlusLambda", "PoolSpec", "PredictionsSpec", "Problem", "Random", "Selection", "VoteFitness",
    "VoteSpec", "Votes", "VotingEnsemble", "greedy_selection", "load", "select",
]  # fmt: skip
