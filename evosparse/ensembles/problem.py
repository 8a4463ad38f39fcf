"""The ensembles problem: from the sections of a campaign file to a search, its fitness and its examination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from evosparse.data import DataSet, DataSpec, load
from evosparse.engine.candidate import Candidate
from evosparse.engine.evaluate import Evaluator, InProcessEvaluator, Policy
from evosparse.engine.fitness import Fitness
from evosparse.engine.problem import Problem, Stage
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.examination import EnsembleTrial, ExaminationBench, ExaminationSpec, Examiner, baselines
from evosparse.ensembles.fitness import FitnessSpec
from evosparse.ensembles.fitting import Polls, Pool
from evosparse.ensembles.genome import Ensemble
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.members import find_members
from evosparse.ensembles.methods import UMDA, AnyMethod
from evosparse.ensembles.pool import OUT_OF_FOLD, PoolSpec
from evosparse.ensembles.protocol import approach_sections
from evosparse.ensembles.recorded import RecordedPool
from evosparse.ensembles.votes import VoteSpec
from evosparse.errors import SpecError
from evosparse.plugins import local_folders, reference_to
from evosparse.section import Section

RECONSTRUCTION = (
    "reconstruction: {approach} stands for one of 24 approaches that arXiv 2208.10996 speaks of; which they are is ours, and no "
    "agreement with the paper is claimed"
)


class EnsembleSpec(Section):
    """The sections of a campaign file about classifier ensembles.

    Attributes:
        data: where the examples come from; by default digits, and none where ``pool.predictions`` has the votes.
        approach: of CIF-E, ``C-I-F-E`` such as ``hetero-seeded-acc-umda``: stands for the sections pool, initialisation,
            fitness and search, and for a majority vote; whatever these sections say themselves comes first.
        pool: who may vote.
        initialisation: where the search begins.
        search: the method and its parameters.
        fitness: how ensembles are judged.
        vote: how an ensemble decides; by default weighted, which did best in ``experiments/papers/ensembles.md``.
        examination: what happens after the search.
    """

    data: DataSpec | None = None
    approach: str | None = None
    pool: PoolSpec = Field(default_factory=PoolSpec)
    initialisation: Initialisation = Field(default_factory=Initialisation)
    search: AnyMethod = Field(default_factory=UMDA)
    fitness: FitnessSpec = Field(default_factory=FitnessSpec)
    vote: VoteSpec = Field(default_factory=lambda: VoteSpec(rule="weighted"))
    examination: ExaminationSpec = Field(default_factory=ExaminationSpec)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("approach"), str):
            return value
        whole = dict(value)
        for section, meant in approach_sections(value["approach"]).items():
            given = whole.get(section, {})
            if isinstance(given, dict):
                whole[section] = {**meant, **given}
        return whole

    @field_validator("initialisation", mode="before")
    @classmethod
    def _bare_way(cls, value: Any) -> Any:
        return {"by": value} if isinstance(value, str) else value

    @field_validator("vote", mode="before")
    @classmethod
    def _bare_rule(cls, value: Any) -> Any:
        return {"rule": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> EnsembleSpec:
        if self.pool.predictions is not None and self.data is not None:
            raise ValueError("data: the votes come from pool.predictions, which need no examples: remove one of the two")
        if self.fitness.function is None and self.fitness.aim == "log_loss" and self.vote.rule != "soft":
            raise ValueError(f"fitness.aim: log_loss needs vote.rule: soft, got {self.vote.rule}: set it, or aim at accuracy")
        return self


class EnsembleProblem(Problem):
    """Which classifiers of a pool shall vote.

    Args:
        data: a name, a path, a `DataSpec`, or a data set in memory; None for digits, or where the pool is a file of votes.
        pool: the name of a set of members, or a `PoolSpec`.
        search: the method, such as `UMDA` or `Genetic`.
        initialisation: where it begins, such as ``accuracy``.
        fitness: an aim such as ``accuracy``, a `FitnessSpec`, or a user's marked function, class or instance of `Fitness`.
        vote: how an ensemble decides.
        examination: what happens after the search.
        base: folder of relative paths.

    Raises:
        BadInput: something does not fit.
    """

    kind: ClassVar[str] = "ensembles"

    def __init__(
        self,
        data: str | DataSpec | DataSet | None = None,
        pool: str | PoolSpec = PoolSpec(),
        search: AnyMethod = UMDA(),
        initialisation: str | Initialisation = Initialisation(),
        fitness: str | FitnessSpec | Fitness | Callable = FitnessSpec(),
        vote: str | VoteSpec = VoteSpec(rule="weighted"),
        examination: ExaminationSpec = ExaminationSpec(),
        base: Path | None = None,
    ) -> None:
        own = None if isinstance(fitness, (str, FitnessSpec)) else fitness
        spec = EnsembleSpec(
            data=DataSpec(name=data.name) if isinstance(data, DataSet) else data,
            pool=pool,
            initialisation=initialisation,
            search=search,
            fitness=fitness if own is None else FitnessSpec(function=reference_to(own)),
            vote=vote,
            examination=examination,
        )
        self._build(spec, data if isinstance(data, DataSet) else None, own, base)

    @classmethod
    def from_spec(cls, spec: EnsembleSpec, base: Path | None = None) -> EnsembleProblem:
        """Make the problem that the sections of a campaign file describe."""
        problem = cls.__new__(cls)
        problem._build(spec, None, None, base)
        return problem

    def _build(self, spec: EnsembleSpec, data: DataSet | None, own: Fitness | Callable | None, base: Path | None) -> None:
        users: list[object] = []
        inputs = {}
        if spec.pool.predictions is not None:
            self.pool: Pool | RecordedPool = RecordedPool(spec.pool.predictions, base)
            self.class_names, self.data_hash = self.pool.class_names, self.pool.hash
        else:
            data_spec = spec.data or DataSpec(name="digits")
            spec = spec.model_copy(update={"data": data_spec})
            data = load(data_spec, base) if data is None else data
            members = find_members(spec.pool.specs(), base)
            users += [member.make.function for member in members if hasattr(member.make, "function")]
            self.pool = Pool(spec.pool, members, data)
            self.class_names, self.data_hash = data.class_names, data.hash
            drives = data.search.train if spec.pool.judged_on == OUT_OF_FOLD else data.search.validation
            inputs = {"selection": drives.x.reshape(len(drives), -1), "test": data.test.x.reshape(len(data.test), -1)}
        self.spec = spec
        self.bench = Bench(lambda: self.polls.selection, spec.vote)
        if spec.pool.predictions is not None:
            self.bench.chamber  # refuses votes that cannot be counted by the rule
        self.search = spec.search.search(self.bench, spec.initialisation)
        fitness = spec.fitness.make(own, base)
        spec.search.check_fitness(fitness)
        self.stage = Stage(fitness, self.bench, Ensemble)
        self._features = bool(inputs)
        self.examination = Stage(Examiner(), ExaminationBench(lambda: self.polls, spec.vote, inputs), EnsembleTrial)
        self.notes = _notes(spec)
        users.append(getattr(fitness, "function", fitness))
        self.sources = local_folders(users)

    @property
    def polls(self) -> Polls:
        """The votes on all parts; members that have not been fitted yet are fitted in this process."""
        return self.pool.polls(lambda stage: InProcessEvaluator(stage, Policy()))

    def prepare(self, make: Callable[[Stage], Evaluator], progress: Callable[[int, int], None], seed: int) -> None:
        """Fit the pool's members, or find the votes that are remembered of them."""
        self.pool.find(make, progress)
        self.pool.polls(make)  # here, where it is told that there are none, and not where they are sent to a worker

    def trials(self, hall_of_fame: Sequence[Candidate]) -> list[EnsembleTrial]:
        """Return the winner's trial, and those of every other simple way to use the pool."""
        spec = self.spec.examination
        members = hall_of_fame[: spec.members]
        trials = []
        for number, member in enumerate(members, 1):
            arm = f"winner {number}" if len(members) > 1 else "winner"
            trials.append(EnsembleTrial(arm, 0, "vote", tuple(member.genome.chosen.astype(int).tolist())))
        winner = hall_of_fame[0].genome.chosen if hall_of_fame else None
        return trials + baselines(spec.baselines, self.polls, winner, spec.seeds, self._features)

    def expect_members(self, ensemble: Ensemble) -> None:
        """Refuse an ensemble of another pool (SpecError)."""
        names = tuple(np.array(self.bench.votes.names, dtype=object)[ensemble.chosen]) if (
            ensemble.pool == self.bench.members
        ) else ()
        if names != tuple(name for name, _ in ensemble.members):
            raise SpecError("the pool is not the one that the ensemble was chosen from: members are missing or have other names")


def _notes(spec: EnsembleSpec) -> tuple[str, ...]:
    how = f"search: {spec.search.method}, from {spec.initialisation.by}; vote: {spec.vote.rule}; judged on "
    where = "votes from a file" if spec.pool.predictions is not None else spec.pool.judged_on.replace("_", "-")
    notes = (how + where,)
    if spec.approach is not None:
        notes += (RECONSTRUCTION.format(approach=spec.approach),)
    if getattr(spec.search, "sampling", "") == "legacy_inverted":
        notes += ("sampling legacy_inverted: members are drawn with one minus their probability, as in a published library",)
    return notes


__all__ = ["EnsembleProblem", "EnsembleSpec"]
