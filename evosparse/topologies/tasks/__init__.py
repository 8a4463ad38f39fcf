"""The tasks that networks are evolved for: each is one file, with a section of a campaign file and what it stands for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evosparse.topologies.tasks.base import SOLVED, Task, Tasks, TaskSpec
from evosparse.topologies.tasks.custom import CustomSpec, task
from evosparse.topologies.tasks.driving.task import DrivingSpec
from evosparse.topologies.tasks.gymnasium import GymnasiumSpec
from evosparse.topologies.tasks.poles import DoublePoleSpec, SinglePoleSpec
from evosparse.topologies.tasks.supervised import SupervisedSpec
from evosparse.topologies.tasks.xor import XorSpec

AnyTask = Annotated[
    XorSpec
    | SinglePoleSpec
    | DoublePoleSpec
    | GymnasiumSpec
    | SupervisedSpec
    | DrivingSpec
    | CustomSpec,
    Field(discriminator="name"),
]

__all__ = [
    "SOLVED",
    "AnyTask",
    "CustomSpec",
    "DoublePoleSpec",
    "DrivingSpec",
    "GymnasiumSpec",
    "SinglePoleSpec",
    "SupervisedSpec",
    "Task",
    "TaskSpec",
    "Tasks",
    "XorSpec",
    "task",
]
