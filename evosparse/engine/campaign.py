"""The generation loop: ask, evaluate, tell, commit; and at the end the examination of what was found.

The loop knows nothing of what is evolved, and holds no random state: it can be killed anywhere and taken up again from
the last commit with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from deap import tools

from evosparse.engine.candidate import Candidate, Genome, Outcome, Status, expressed, has_phenotype, same_genome
from evosparse.engine.evaluate import Evaluator, InProcessEvaluator, Job
from evosparse.engine.listeners import Listener
from evosparse.engine.problem import Problem, kind
from evosparse.engine.results import Arm, TrialResult, summarise
from evosparse.engine.seeds import SeedKey, global_random
from evosparse.engine.spec import CampaignSpec, Evaluation, Stop, differences
from evosparse.engine.store import Generation, Header, Store, free_folder
from evosparse.errors import CampaignFailed, PluginError, StoreError

MakeEvaluator = Callable[..., Evaluator]  # of a stage, and the size of batches if it is not the campaign's

_LINE = ("generation", "candidates", "failed", "improved")  # the logbook's line, beside a chapter for each objective
_COMPLETE = "search complete"  # the search itself had nothing more to propose


class Campaign:
    """One search, from its first generation to the examination of its Hall of Fame, kept in one run directory.

    Args:
        problem: what is evolved, and how it is judged.
        seed: decides every random draw.
        out: a new run directory; by default ``runs/NAME``, with a number behind it when that exists.
        name: for tables and for the run directory.
        hall_of_fame: how many of the best candidates are kept (one objective; with several, the whole Pareto front is).
        stop: when the search ends.
        evaluation: batch size, patience, cache, workers.
        base: folder to which relative paths in the problem refer.

    Raises:
        StoreError: the run directory cannot be made.
        PluginError: an objective has a name that the logbook needs.
    """

    def __init__(
        self,
        problem: Problem,
        seed: int = 0,
        out: Path | str | None = None,
        *,
        name: str = "campaign",
        hall_of_fame: int = 10,
        stop: Stop = Stop(),
        evaluation: Evaluation = Evaluation(),
        base: Path | None = None,
    ) -> None:
        spec = CampaignSpec(
            name=name, kind=problem.kind, seed=seed, hall_of_fame=hall_of_fame, stop=stop, evaluation=evaluation,
            problem=problem.spec,
        )
        self._begin(spec, problem, Path(out) if out is not None else free_folder(Path("runs") / name), base)

    @classmethod
    def from_spec(cls, spec: CampaignSpec, out: Path | None = None, base: Path | None = None) -> Campaign:
        """Begin the campaign that a campaign file describes; relative paths in it refer to ``base``."""
        problem = kind(spec.kind).build(spec.problem, base)
        # The problem's own sections: where the file leaves a choice to it, they tell what it chose.
        spec = spec.model_copy(update={"problem": problem.spec})
        campaign = cls.__new__(cls)
        campaign._begin(spec, problem, out if out is not None else free_folder(Path("runs") / spec.name), base)
        return campaign

    @classmethod
    def resume(cls, folder: Path | str, spec: CampaignSpec | None = None, problem: Problem | None = None) -> Campaign:
        """Take up a campaign where its last commit left it.

        Args:
            folder: its run directory.
            spec: what it shall be now; it may differ in when to stop and in who evaluates, but not in what is searched.
            problem: for campaigns made in Python from objects that no campaign file can name.

        Raises:
            StoreError: the directory holds no campaign that can be continued, or the spec or the data are another's.
        """
        store = Store.open(Path(folder), write=True)
        try:
            campaign = cls.__new__(cls)
            campaign._continue(store, spec, problem)
        except BaseException:
            store.close()
            raise
        return campaign

    @property
    def generation(self) -> int:
        """Number of generations that are done."""
        return len(self.logbook)

    @property
    def last_generation(self) -> int:
        """Number of generations that there shall be in all, unless something else ends the search before."""
        return self.spec.stop.last_generation(self.problem.search.generations)

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.store.folder

    def run(
        self,
        generations: int | None = None,
        *,
        workers: int | None = None,
        address: str | None = None,
        listener: Listener = Listener(),
    ) -> list[Arm]:
        """Search until a stop criterion holds, then examine the Hall of Fame.

        Args:
            generations: overrides ``stop.generations``: how many there shall be in all.
            workers: overrides ``evaluation.workers``: number of Ray workers; 0 evaluates in this process.
            address: a Ray cluster to join; by default a local one is started.
            listener: is told of the progress.

        Returns:
            The arms of the examination: the winner and its baselines.

        Raises:
            CampaignFailed: nothing could be evaluated with success.
        """
        if generations is not None:
            stop = self.spec.stop.model_copy(update={"generations": generations})
            self.spec = self.spec.model_copy(update={"stop": stop})
        workers = self.spec.evaluation.workers if workers is None else workers
        listener.begin(self)
        try:
            self._run(workers, address, listener)
        finally:
            listener.end(self)
        return self.results()

    def results(self) -> list[Arm]:
        """Summarise the examination: the winner and its baselines; empty before it took place."""
        return summarise(self.store.trials())

    def close(self) -> None:
        """Let go of the run directory."""
        self.store.close()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, workers: int | None, address: str | None, listener: Listener) -> None:
        complete = self.store.reason == _COMPLETE
        if self.store.finished and (complete or self._stop_reason() is not None):
            return
        with self._evaluators(workers, address) as make:
            # Only now, because a cluster that cannot be reached is bad input, after which nothing may be written.
            if self.spec.document() != self.store.header.document:
                self.store.update_document(self.spec.document())
            self.problem.prepare(
                lambda stage: make(stage, 1), lambda done, total: listener.progress(self, done, total), self.spec.seed
            )
            reason = self._search(make, listener)
            self._examine(make, reason, listener)

    def _begin(self, spec: CampaignSpec, problem: Problem, folder: Path, base: Path | None) -> None:
        taken = [name for name in problem.stage.fitness.objectives if name in _LINE]
        if taken:
            raise PluginError(f"expected objectives other than {', '.join(_LINE)}, got {taken[0]!r}: give it another name")
        header = Header(
            document=spec.document(),
            data_hash=problem.data_hash,
            notes=tuple(problem.notes),
            base=str((base or Path.cwd()).resolve()),
            objectives=problem.stage.fitness.objectives,
        )
        self._set_up(Store.create(folder, header), spec, problem)

    def _continue(self, store: Store, spec: CampaignSpec | None, problem: Problem | None) -> None:
        stored = CampaignSpec.from_document(store.header.document, source=str(store.folder))
        if problem is None:
            problem = kind((spec or stored).kind).build((spec or stored).problem, Path(store.header.base))
        spec = stored if spec is None else spec.model_copy(update={"problem": problem.spec})
        changed = differences(stored, spec)
        if changed:
            lines = "\n  ".join(changed)
            raise StoreError(
                f"{store.folder}: a campaign can be continued with other stop criteria or workers, not with another search:"
                f"\n  {lines}\nundo these changes, or run a new campaign"
            )
        if problem.data_hash != store.header.data_hash:
            raise StoreError(
                f"{store.folder}: expected the data that the campaign began with (hash {store.header.data_hash[:12]}), "
                f"got other data (hash {problem.data_hash[:12]}): restore the data, or run a new campaign"
            )
        self._set_up(store, spec, problem)
        decode = problem.stage.genomes.from_bytes
        for row in store.generations():
            self.logbook.record(**row.record)
            self._seconds += row.seconds
        # From worst to best, because DEAP inserts before equals: so the stored order comes out again.
        for candidate in reversed(store.hall_of_fame(decode)):
            self.hall_of_fame.insert(candidate)
        if self.generation:
            problem.search.restore(store.state(decode))
        if spec.evaluation.cache:
            # Not for all genomes, because decoding each of a long campaign takes long.
            self._cache = store.outcomes(decode if has_phenotype(problem.stage.genomes) else None)

    def _set_up(self, store: Store, spec: CampaignSpec, problem: Problem) -> None:
        self.store = store
        self.spec = spec
        self.problem = problem
        self.logbook = tools.Logbook()
        several = len(problem.stage.fitness.objectives) > 1
        self.hall_of_fame = (
            tools.ParetoFront(similar=same_genome) if several else tools.HallOfFame(spec.hall_of_fame, similar=same_genome)
        )
        self._key = SeedKey(spec.seed)
        self._cache: dict[str, Outcome] = {}
        self._seconds = 0.0

    @contextmanager
    def _evaluators(self, workers: int | None, address: str | None) -> Iterator[MakeEvaluator]:
        """Give what makes an evaluator for a stage: in this process, or on a cluster that lives as long as the block."""
        policy = self.spec.evaluation.policy
        if workers == 0 and address is None:
            yield lambda stage, batch=policy.batch: InProcessEvaluator(stage, replace(policy, batch=batch))
            return
        from evosparse.engine.cluster import Cluster  # importing Ray takes a second that a run in this process saves

        with Cluster(workers, address, self.spec.evaluation.gpus_per_worker, self.problem.sources) as cluster:
            yield lambda stage, batch=policy.batch: cluster.evaluator(stage, replace(policy, batch=batch))

    def _search(self, make: MakeEvaluator, listener: Listener) -> str:
        """Run generations until there is a reason to stop, and return it."""
        reason = self._stop_reason()
        if reason is not None:
            return reason
        with make(self.problem.stage) as evaluator:
            while reason is None:
                reason = self._stop_reason() if self._generation(evaluator, listener) else _COMPLETE
        return reason

    def _generation(self, evaluator: Evaluator, listener: Listener) -> bool:
        """Run and commit one generation; false if the search had nothing more to propose."""
        start = time.perf_counter()
        number = self.generation
        key = self._key.child("ask", number)
        with global_random(key.child("deap")):
            candidates = self.problem.search.ask(key)
        if not candidates:
            return False
        for index, candidate in enumerate(candidates):
            candidate.generation = number
            candidate.uid = f"{number}.{index}"
        outcomes = self._outcomes(evaluator, [candidate.genome for candidate in candidates], listener)
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            candidate.judge(outcome, self.problem.stage.fitness.objectives)
        self.problem.search.tell(candidates)
        before = self._best()
        self.hall_of_fame.update([candidate for candidate in candidates if candidate.ok and candidate.contender])
        record = self._record(number, candidates, improved=self._best() != before)
        self.logbook.record(**record)  # which moves the statistics of each objective to a chapter
        seconds = time.perf_counter() - start
        self._seconds += seconds
        self.store.commit(
            Generation(
                number=number,
                candidates=candidates,
                hall_of_fame=list(self.hall_of_fame),
                state=self.problem.search.state(),
                record=record,
                seconds=seconds,
                evaluations=sum(not outcome.cached for outcome in outcomes),
            )
        )
        listener.generation(self, candidates)
        return True

    def _outcomes(self, evaluator: Evaluator, genomes: Sequence[Genome], listener: Listener) -> list[Outcome]:
        """Evaluate genomes, those that express the same once if the cache is on."""
        if not self.spec.evaluation.cache:
            return evaluator.evaluate([Job.of(genome, self.spec.seed) for genome in genomes], self._progress(listener, len(genomes)))
        keys = [expressed(genome) for genome in genomes]
        unknown: dict[str, Genome] = {}
        for key, genome in zip(keys, genomes, strict=True):
            if key not in self._cache:
                unknown.setdefault(key, genome)
        jobs = [Job.of(genome, self.spec.seed) for genome in unknown.values()]
        fresh = dict(zip(unknown, evaluator.evaluate(jobs, self._progress(listener, len(jobs))), strict=True))
        outcomes = []
        for key in keys:
            if key in self._cache:
                outcomes.append(_from_cache(self._cache[key]))
                continue
            outcomes.append(fresh[key])
            # What failed may have failed for want of time or memory: it is not remembered.
            if fresh[key].status in (Status.OK, Status.INVALID):
                self._cache[key] = fresh[key]
        return outcomes

    def _progress(self, listener: Listener, total: int) -> Callable[[int], None]:
        done = 0

        def report(new: int) -> None:
            nonlocal done
            done += new
            listener.progress(self, done, total)

        listener.progress(self, 0, total)
        return report

    def _record(self, number: int, candidates: Sequence[Candidate], improved: bool) -> Mapping[str, object]:
        """Return the logbook's line of one generation; it depends on nothing but what was found."""
        measured = [candidate for candidate in candidates if candidate.ok]
        record = {"generation": number, "candidates": len(candidates), "failed": len(candidates) - len(measured)}
        record["improved"] = improved
        if measured:
            statistics = tools.MultiStatistics(
                **{
                    name: tools.Statistics(lambda candidate, name=name: candidate.outcome.measures[name])
                    for name in self.problem.stage.fitness.objectives
                }
            )
            for name, function in (("min", np.min), ("mean", np.mean), ("max", np.max), ("sd", np.std)):
                statistics.register(name, lambda values, function=function: float(function(values)))
            record |= statistics.compile(measured)
        return record

    def _best(self) -> set[tuple[float, ...]]:
        """Return the best value of a single objective, or those of the whole front of several."""
        front = isinstance(self.hall_of_fame, tools.ParetoFront)
        return {member.fitness.wvalues for member in self.hall_of_fame[: None if front else 1]}

    def _stop_reason(self) -> str | None:
        """Return which stop criterion holds, if one does; it depends on nothing but what was committed."""
        stop = self.spec.stop
        if self.generation >= self.last_generation:
            complete = stop.generations is None and self.problem.search.generations is not None
            return _COMPLETE if complete else "generations"
        if stop.evaluations is not None and sum(self.logbook.select("candidates")) >= stop.evaluations:
            return "evaluations"
        if stop.target is not None and self._target_reached(stop.target):
            return "target"
        if stop.stagnation is not None and self.generation > stop.stagnation:
            if not any(self.logbook.select("improved")[-stop.stagnation :]):
                return "stagnation"
        if stop.wall_time is not None and self._seconds >= stop.wall_time:
            return "wall time"
        return None

    def _target_reached(self, target: float) -> bool:
        name, direction = next(iter(self.problem.stage.fitness.objectives.items()))
        values = [member.outcome.measures[name] for member in self.hall_of_fame]
        return any(value >= target if direction == "max" else value <= target for value in values)

    def _examine(self, make: MakeEvaluator, reason: str, listener: Listener) -> None:
        """Evaluate the trials of the Hall of Fame, which alone see the test set, and commit them."""
        if sum(self.logbook.select("failed")) == sum(self.logbook.select("candidates")):
            raise CampaignFailed(
                f"{self.folder}: no candidate was evaluated with success; 'evosparse show RUN 0.0' tells why the first failed"
            )
        trials = self.problem.trials(list(self.hall_of_fame))
        results = []
        if trials:
            with make(self.problem.examination) as evaluator:
                jobs = [self._trial_job(trial) for trial in trials]
                outcomes = evaluator.evaluate(jobs, self._progress(listener, len(jobs)))
            results = [
                TrialResult(trial.arm, trial.replicate, trial.describe(), outcome)
                for trial, outcome in zip(trials, outcomes, strict=True)
            ]
        self.store.finish(results, reason)

    def _trial_job(self, trial: object) -> Job:
        # Paired: all arms of a replicate share their seeds.
        return Job(trial.to_bytes(), self._key.child("examine", trial.replicate))


def _from_cache(outcome: Outcome) -> Outcome:
    return replace(outcome, cached=True, seconds=0.0)
