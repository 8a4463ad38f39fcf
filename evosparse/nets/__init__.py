"""Whole populations of masked networks, trained at once; a mask arrives as the flat indices of existing weights."""

from evosparse.nets.architectures import Connections, Layer, MultilayerPerceptron, Network, multilayer_perceptron
from evosparse.nets.choice import KernelName, choose_kernel, expect_fitting
from evosparse.nets.device import choose_device, configured
from evosparse.nets.initial import InitialisationSpec
from evosparse.nets.inspection import inspect_module
from evosparse.nets.optimize import ScheduleSpec, TrainingSpec
from evosparse.nets.population import Evaluation, Population
from evosparse.nets.randomness import Seeds
from evosparse.nets.slots import ROLES, Activations, Role, Slot
from evosparse.nets.spec import NetworkSpec, build

__all__ = [
    "ROLES",
    "Activations",
    "Connections",
    "Evaluation",
    "InitialisationSpec",
    "KernelName",
    "Layer",
    "MultilayerPerceptron",
    "Network",
    "NetworkSpec",
    "Population",
    "Role",
    "ScheduleSpec",
    "Seeds",
    "Slot",
    "TrainingSpec",
    "build",
    "choose_device",
    "choose_kernel",
    "configured",
    "expect_fitting",
    "inspect_module",
    "multilayer_perceptron",
]
