"""Parallel truly sparse training: Curci et al., "Truly Sparse Neural Networks at Scale", arXiv 2102.01732."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from evosparse.engine.crew import Crew, LocalCrew, Member, RayCrew
from evosparse.errors import SpecError
from evosparse.nets.shared import SharedPopulation, Values, matched
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.methods.set import SET
from evosparse.sparsify.together import Alone, Push, Work, averaged, parts
from evosparse.sparsify.together import Alone, Push, Work, averaged, parts


@method
class WASAP(SET):
    """WASAP-SGD: gradients arrive one by one, and each makes a step at once; see `together`.

    A gradient may be of values, and of connections, that are no longer; entries of removed connections are dropped. With
    one worker it is SET bit for bit.

    Attributes:
        workers: among which the training examples are shared out.
        together: share of the epochs that is phase 1.
        crew: ``local``, in this process, one gradient of each worker after the other; or ``ray``, in processes of their own.
        address: of a running Ray cluster; None starts one on this machine.

    Deviation: the average of the workers' networks is taken after each epoch of phase 2 and not of the last alone, so that the
    best epoch can be chosen among all.
    """

    method: Literal["wasap"] = "wasap"
    workers: int = Field(4, ge=1)
    together: float = Field(0.7, gt=0, le=1)
    crew: Literal["local", "ray"] = "local"
    address: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        if self.workers > 1 and self.crew == "ray":
            return ("wasap with several workers: gradients come in an order of their own each time, and so do results",)
        return ()

    @model_validator(mode="after")
    def _between_epochs(self) -> WASAP:
        if self.every is not None:
            raise ValueError("connections are exchanged after each epoch; leave 'every' out")
        return self

    def sparsify(self, cohort: Cohort) -> None:
        """Train with a crew of workers, in two phases."""
        cohort.begin(self.start(cohort), cohort.epochs, kind=SharedPopulation)
        if cohort.population.has_buffers:
            raise SpecError(f"{self.method}: expected a network without buffers such as running means, which nobody averages")
        with ExitStack() as stack:
            server = self.server()(self, cohort, self._hire(cohort, stack))
            cohort.advance(cohort.epochs, final=True, after_epoch=server.after_epoch, train=server.train)

    def server(self) -> Callable[[WASAP, Cohort, Crew], Server]:
        """Return who leads the crew."""
        return Server

    def _hire(self, cohort: Cohort, stack: ExitStack) -> Crew:
        # As `auto` might choose otherwise for a worker, it is told.
        training = cohort.training.model_copy(update={"kernel": cohort.population.kernel})
        work = Work(
            self, cohort.network, cohort.replicates, training, cohort.initialisation, cohort.epochs, cohort.device,
            cohort.connections,
        )  # fmt: skip
        shares = parts(cohort.train, self.workers)
        if self.crew == "local":
            return stack.enter_context(LocalCrew(work, shares))
        from evosparse.engine.cluster import Cluster

        cluster = stack.enter_context(Cluster(self.workers, self.address, process=Member))
        return stack.enter_context(RayCrew(cluster, work, shares))


class Server:
    """Leads a crew through both phases of a training; this one asynchronously.

    Args:
        method: with its parameters.
        cohort: whose population makes the steps.
        crew: the workers.
    """

    def __init__(self, method: WASAP, cohort: Cohort, crew: Crew) -> None:
        self.method, self.cohort, self.crew = method, cohort, crew
        size, batch = len(cohort.train.x), cohort.training.batch
        self.batches = [math.ceil(len(range(number, size, method.workers)) / batch) for number in range(method.workers)]
        self.border = max(1, round(method.together * cohort.epochs))
        self._names = [layer.parameter for layer in cohort.network.layers]
        self._sent = [0] * method.workers
        self._idle = list(range(method.workers))
        self._version, self._asked = 0, dict.fromkeys(range(method.workers), 0)  # the one that each worker was asked for
        self._connections = {0: cohort.connections}  # of each version that is still asked for
        self._alone: list[Alone] = []

    def train(self, epoch: int) -> None:
        """Train an epoch."""
        if epoch < self.border:
            self.gather(epoch)
            self.cohort.population.epochs_done = epoch + 1
        else:
            self._train_alone(epoch)

    def after_epoch(self, epoch: int) -> None:
        """Exchange connections in phase 1; later, workers do it themselves."""
        if epoch + 1 < self.border:
            self.method.after_epoch(self.cohort, epoch)
            self._version += 1
            self._connections[self._version] = self.cohort.connections

    def gather(self, epoch: int) -> None:
        """Make a step with each gradient that comes, until there were as many as minibatches."""
        steps = sum(self.batches)
        for number in self._idle:
            self.ask(number)
        self._idle = []
        for step in range(steps):
            number, gradients = self.answer()
            self.cohort.population.pull(gradients, epoch + step / steps)
            if step < steps - 1:
                self.ask(number)
            else:  # connections are exchanged first
                self._idle = [number]

    def ask(self, number: int) -> None:
        """Send the present values to a worker, for its next minibatch."""
        population = self.cohort.population
        epoch, minibatch = divmod(self._sent[number], self.batches[number])
        connections = self._connections[self._version]
        task = Push(self._version, connections, population.values(), epoch, minibatch, sum(self._sent))
        self._sent[number] += 1
        self._asked[number] = self._version
        self.crew.submit(number, task)

    def answer(self) -> tuple[int, Values]:
        """Wait for gradients, and return the worker's number and what they are for the connections that exist now."""
        number, (version, gradients) = self.crew.next()
        if version < self._version:
            before, after = self._connections[version], self._connections[self._version]
            gradients = matched(gradients, before, after, self._names)
        self._asked[number] = self._version
        for old in self._connections.keys() - {self._version, *self._asked.values()}:
            del self._connections[old]
        return number, gradients

    def _train_alone(self, epoch: int) -> None:
        cohort, workers = self.cohort, self.method.workers
        if not self._alone:
            for _ in range(workers - len(self._idle)):
                self.crew.next()  # gradients that come too late
            self._budgets = [list(map(len, own)) for own in cohort.connections]
            self._alone = [Alone(cohort.population.save(), cohort.allowed, epoch)] * workers
        for number, task in enumerate(self._alone):
            self.crew.submit(number, task)
        answers = dict(self.crew.next() for _ in range(workers))
        self._alone = [answers[number] for number in range(workers)]
        before, costs = cohort.connections, self._multiply_adds()
        connections, values = averaged([own.state for own in self._alone], self._budgets, self._names)
        cohort.population.assume(connections, values)
        if any(len(new) < len(old) for own, then in zip(connections, before) for new, old in zip(own, then)):
            # Units were removed, before this epoch.
            cohort.charge(3 * len(cohort.train.x) * (self._multiply_adds() - costs))
            cohort.forget_choice()

    def _multiply_adds(self) -> np.ndarray:
        return np.array([self.cohort.network.multiply_adds(own) for own in self.cohort.connections])


@method
class WASSP(WASAP):
    """WASSP-SGD: in phase 1 all workers send gradients of the same values, and one step is made with their mean.

    Attributes:
        warmup: epochs in which the learning rate rises to ``workers`` times its value, for the larger batch.

    That the published code corrects the momentum by lr_new / lr_old is no step here: in torch's form the rate stands outside
    of the momentum, and the two are the same. Which worker is faster changes nothing.
    """

    method: Literal["wassp"] = "wassp"
    warmup: float = Field(5, gt=0)

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def server(self) -> Callable[[WASAP, Cohort, Crew], Server]:
        return SynchronousServer


class SynchronousServer(Server):
    """Waits for all workers before each step; for the arguments see `Server`."""

    method: WASSP

    def gather(self, epoch: int) -> None:
        """Make a step with each worker's next gradient, until who has most minibatches is through."""
        steps, workers = max(self.batches), self.method.workers
        for step in range(steps):
            for number in range(workers):
                self.ask(number)
            gradients = dict(self.answer() for _ in range(workers))
            progress = epoch + step / steps
            factor = (workers - 1) * min(progress / self.method.warmup, 1.0) + 1
            self.cohort.population.pull(_mean([gradients[number] for number in range(workers)]), progress, factor)


def _mean(gradients: list[Values]) -> Values:
    return {
        name: [np.mean(each, axis=0) for each in zip(*(own[name] for own in gradients), strict=True)]
        for name in gradients[0]
    }
