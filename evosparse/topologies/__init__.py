"""Network topologies: graphs and weights of networks evolved together by NEAT, and the tasks that they are for."""

from evosparse.topologies.batched import TorchNetworks
from evosparse.topologies.examination import ExaminationSpec
from evosparse.topologies.fitness import Bench, FitnessSpec, TaskFitness
from evosparse.topologies.functions import FUNCTIONS
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.methods import NEAT
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.problem import TopologyProblem as Problem
from evosparse.topologies.problem import TopologySpec
from evosparse.topologies.species import Distance
from evosparse.topologies.start import Start
from evosparse.topologies.tasks import (
    CustomSpec,
    DoublePoleSpec,
    DrivingSpec,
    GymnasiumSpec,
    SinglePoleSpec,
    SupervisedSpec,
    Task,
    Tasks,
    TaskSpec,
    XorSpec,
    task,
)  # fmt: skip

__all__ = [
    "FUNCTIONS", "NEAT", "Bench", "CustomSpec", "Distance", "DoublePoleSpec", "DrivingSpec",
    "ExaminationSpec", "FitnessSpec", "GymnasiumSpec", "Interface", "Networks", "Problem", "SinglePoleSpec", "Start",
    "SupervisedSpec", "Task", "TaskFitness", "TaskSpec", "Tasks", "TopologySpec", "Topology", "TorchNetworks", "XorSpec", "task",
]  # fmt: skip
