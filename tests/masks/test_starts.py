"""Searches over masks that begin with those of published methods: whose masks these are, exact totals, the same result however run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from console import Evosparse
from hypothesis import given
from hypothesis import strategies as st

from evosparse import Campaign, Evaluation, SeedKey, Stop, masks, sparsify
from evosparse.data import DataSet
from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.errors import BadInput, SpecError
from evosparse.masks.genome import Mask, MaskLayer
from evosparse.masks.operators import between, random_mask
from evosparse.masks.starts import Starts, filled
from evosparse.nets import InitialisationSpec, NetworkSpec, TrainingSpec
from evosparse.sparsify import Replicate
from evosparse.sparsify.cohort import Cohort

NETWORK = NetworkSpec(name="mlp", hidden=(12, 8))
TRAINING = TrainingSpec(optimizer="adam", learning_rate=0.01, batch=20)
EXAMINATION = masks.ExaminationSpec(epochs=2, seeds=2, baselines=("random",))
START = masks.StartSpec(methods=("snip", "magnitude", "rigl", "random"), epochs=2)
SEARCHES = {
    "genetic": masks.Genetic(sparsity=0.7, population=6, k=8, start=START),
    "nsga2": masks.NSGA2(sparsity=(0.5, 0.9), population=8, start=START),
    "kstarts": masks.KStarts(sparsity=0.7, k=6, judged_by="accuracy", train_during="masked", start=START),
}


def problem(search: object, data: DataSet) -> masks.Problem:
    return masks.Problem(NETWORK, data, search, training=TRAINING, examination=EXAMINATION)


def run(search: object, data: DataSet, folder: Path, workers: int = 0) -> str:
    evaluation = Evaluation(batch=4, workers=workers)
    with Campaign(problem(search, data), 3, folder, stop=Stop(generations=3), evaluation=evaluation) as campaign:
        campaign.run()
        return campaign.store.digest()


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_that_starts_from_methods_goes_on_to_the_same_digest(name: str, blobs: DataSet, tmp_path: Path) -> None:
    search = SEARCHES[name]
    expected = run(search, blobs, tmp_path / "whole")
    evaluation = Evaluation(batch=4, workers=0)
    with Campaign(problem(search, blobs), 3, tmp_path / "parts", stop=Stop(generations=3), evaluation=evaluation) as campaign:
        campaign.run(1)
    for generations in (2, 3):
        with Campaign.resume(tmp_path / "parts", problem=problem(search, blobs)) as campaign:
            campaign.run(generations)
            digest = campaign.store.digest()
            assert not campaign.problem.search.starts._found  # what was found before generation zero is not found again
    assert digest == expected


def test_workers_find_the_masks_that_this_process_finds(connected: None, blobs: DataSet, tmp_path: Path) -> None:
    search = SEARCHES["genetic"]
    assert run(search, blobs, tmp_path / "here") == run(search, blobs, tmp_path / "there", workers=1)


def test_generation_zero_is_shared_evenly_by_masks_of_exactly_the_asked_total(blobs: DataSet) -> None:
    made = problem(SEARCHES["genetic"], blobs)
    found = [candidate.genome for candidate in made.search.ask(SeedKey(3).child("ask", 0))]
    total = sum(made.spec.search.counts(made.bench.network.layers, 0.7))
    assert [mask.count for mask in found] == [total] * 8
    assert made.search.starts.labels == ["snip", "magnitude", "rigl", "random"] * 2
    assert len({mask.key for mask in found}) == 8

    front = problem(SEARCHES["nsga2"], blobs)
    totals = [sum(counts) for counts in front.search.first_counts]
    assert [candidate.genome.count for candidate in front.search.ask(SeedKey(3).child("ask", 0))] == totals


@pytest.mark.parametrize("method", ["snip", "magnitude", "rigl", "ncg"])
def test_the_first_mask_of_a_method_is_that_of_its_own_campaign(method: str, blobs: DataSet) -> None:
    search = masks.Genetic(sparsity=0.7, population=2, elites=1, start=masks.StartSpec(methods=(method,), epochs=2))
    made = problem(search, blobs)
    [first, second] = (candidate.genome for candidate in made.search.ask(SeedKey(3).child("ask", 0)))
    sparsity = 1 - first.count / first.size
    cohort = Cohort(
        made.bench.network, made.bench.train, made.bench.validation, [Replicate(0, sparsity, 3)], TRAINING,
        InitialisationSpec(), epochs=2,
    )  # fmt: skip
    sparsify.METHODS[method]().sparsify(cohort)
    for layer, own in zip(first.layers, cohort.connections[0], strict=True):
        np.testing.assert_array_equal(layer.indices, own)
    assert first.key != second.key


@pytest.mark.parametrize("method", ["i_spasp", "bernoulli_units"])
def test_what_whole_units_leave_of_the_budget_is_filled(method: str, blobs: DataSet) -> None:
    search = masks.Genetic(sparsity=0.7, population=2, elites=1, start=masks.StartSpec(methods=(method,), epochs=2))
    made = problem(search, blobs)
    first, _ = (candidate.genome for candidate in made.search.ask(SeedKey(3).child("ask", 0)))
    assert first.count == sum(made.spec.search.counts(made.bench.network.layers, 0.7))
    cohort = Cohort(
        made.bench.network, made.bench.train, made.bench.validation, [Replicate(0, 1 - first.count / first.size, 3)], TRAINING,
        InitialisationSpec(), epochs=2,
    )  # fmt: skip
    sparsify.METHODS[method]().sparsify(cohort)
    assert sum(map(len, cohort.connections[0])) < first.count
    for layer, own in zip(first.layers, cohort.connections[0], strict=True):
        assert np.isin(own, layer.indices).all()


@given(seed=st.integers(0, 99), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), share=st.floats(0, 1))
def test_filling_keeps_what_is_there(seed: int, sizes: list[int], share: float) -> None:
    rng = np.random.default_rng(seed)
    before = [np.flatnonzero(rng.random(size) < share) for size in sizes]
    total = int(rng.integers(sum(map(len, before)), sum(sizes) + 1))
    after = filled(before, sizes, total, rng)
    assert sum(map(len, after)) == total
    for own, new, size in zip(before, after, sizes, strict=True):
        assert np.isin(own, new).all() and (np.diff(new) > 0).all() and (new < size).all()


@pytest.mark.parametrize(("method", "epochs"), [("snip", 0), ("magnitude", 2), ("rigl", 2)])
def test_finding_a_mask_costs_no_training_that_does_not_change_it(method: str, epochs: int, blobs: DataSet) -> None:
    start = masks.StartSpec(methods=(method,), epochs=2)
    starts = Starts(start, problem(masks.Genetic(), blobs).bench, [40])
    starts.candidates(SeedKey(0))
    assert starts.total_costs["start_epochs"] == epochs and starts.total_costs["start_multiply_adds"] > 0


def test_children_of_different_distributions_keep_the_total(blobs: DataSet) -> None:
    made = problem(SEARCHES["genetic"], blobs)
    for candidates in [run_generation(made, 0), run_generation(made, 1), run_generation(made, 2)]:
        assert len({candidate.genome.count for candidate in candidates}) == 1
    assert len({candidate.genome.counts for candidate in candidates}) > 1


def run_generation(made: masks.Problem, number: int) -> list[Candidate]:
    """Judge all equally, so that whom the search chooses does not hang on the last bits of what the methods trained."""
    candidates = made.search.ask(SeedKey(3).child("ask", number))
    for index, candidate in enumerate(candidates):
        candidate.uid, candidate.generation = f"{number}.{index}", number
        candidate.judge(Outcome(Status.OK, {"accuracy": 0.5}), {"accuracy": "max"})
    made.search.tell(candidates)
    return candidates


def test_the_examination_has_the_methods_own_masks_and_states_what_the_start_cost(blobs: DataSet, tmp_path: Path) -> None:
    with Campaign(
        problem(SEARCHES["genetic"], blobs), 3, tmp_path / "run", stop=Stop(generations=2), evaluation=Evaluation(workers=0)
    ) as campaign:
        arms = {arm.name: arm for arm in campaign.run()}
        assert any("start_multiply_adds" in note for note in campaign.store.header.notes)
    assert list(arms) == ["winner", "random", "start snip", "start magnitude", "start rigl", "start random"]
    assert len({arm.measures["weights"].mean for arm in arms.values()}) == 1
    # Two masks of each: SNIP and random pruning train nothing, the others two epochs.
    assert arms["winner"].measures["start_epochs"].mean == 2 * (0 + 2 + 2 + 0)
    assert arms["start rigl"].measures["start_epochs"].mean == 2


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4), st.floats(0, 1), st.integers(0, 2**32), st.data()
)
def test_between_keeps_an_exact_total_within_the_parents(
    shapes: list[tuple[int, int]], share: float, seed: int, data: st.DataObject
) -> None:
    layers = [MaskLayer(f"l{number}", shape, np.arange(0)) for number, shape in enumerate(shapes)]
    rng = np.random.default_rng(seed)
    sizes = [layer.size for layer in layers]
    total = data.draw(st.integers(0, sum(sizes)))

    def draw() -> Mask:
        chosen = np.bincount(rng.permutation(np.repeat(np.arange(len(sizes)), sizes))[:total], minlength=len(sizes))
        return random_mask(layers, chosen.tolist(), rng)

    first, second = draw(), draw()
    counts = between(first, second, share)
    assert sum(counts) == total
    for count, one, other in zip(counts, first.counts, second.counts, strict=True):
        assert min(one, other) - 1 <= count <= max(one, other) + 1
    assert between(first, first, share) == first.counts
    wanted = data.draw(st.integers(0, sum(sizes)))
    changed = between(first, second, share, wanted)
    assert sum(changed) == wanted and all(0 <= count <= size for count, size in zip(changed, sizes, strict=True))


@pytest.mark.parametrize(
    ("search", "told"),
    [
        (lambda: masks.Genetic(start=["snap"]), "snip"),
        (lambda: masks.Genetic(start=["dense"]), "leaves a mask"),
        (lambda: masks.Genetic(start=[]), "at least one"),
        (lambda: masks.Genetic(start=3), "start"),
        (lambda: masks.KStarts(start=["snip"]), "scope to 'global'"),
    ],
)
def test_a_start_that_cannot_be_is_refused(search: object, told: str) -> None:
    with pytest.raises((BadInput, ValueError), match=told):
        search()


def test_a_method_that_leaves_another_number_of_weights_is_refused(blobs: DataSet, tmp_path: Path) -> None:
    start = masks.StartSpec(methods=({"method": "snip", "scope": "layer", "distribution": {"output_floor": 1.0}},))
    search = masks.Genetic(sparsity=0.7, population=4, start=start)
    with Campaign(problem(search, blobs), 0, tmp_path / "run", evaluation=Evaluation(workers=0)) as campaign:
        with pytest.raises(SpecError, match="search.start: expected a mask of"):
            campaign.run(1)


def test_equal_names_get_numbers_and_short_forms_are_sections() -> None:
    spec = masks.Genetic(start=["snip", {"method": "snip", "examples": 30}, "snip"]).start
    assert spec.labels == ("snip", "snip examples=30", "snip 2") and spec.epochs == 10
    assert masks.Genetic(start="snip").start == masks.Genetic(start={"methods": ["snip"]}).start


@pytest.mark.parametrize(
    ("start", "told"), [("[snap]", "did you mean 'snip'"), ("[dense]", "removes no weights"), ("[{method: snip, exampels: 3}]", "'examples'")]
)
def test_a_campaign_file_with_a_bad_start_is_refused_in_one_line(
    start: str, told: str, tmp_path: Path, evosparse: Evosparse
) -> None:
    file = tmp_path / "started.yaml"
    file.write_text("name: started\nkind: masks\ndata: wine\nsearch: {method: genetic}\n")
    said = evosparse("run", file, "--set", f"search.start={start}", "--out", tmp_path / "run")
    assert said.code == 2 and told in said.err and "search.start" in said.err and len(said.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


OWN = """
from evosparse.sparsify import Pruning
from typing import Literal


class Last(Pruning):
    method: Literal["last"] = "last"

    def scores(self, cohort, number, connections, turn):
        return [own.astype(float) for own in connections]
"""


def test_a_users_own_method_can_be_a_start_and_is_found_again(forgetful: Path, evosparse: Evosparse) -> None:
    (forgetful / "own_start.py").write_text(OWN)
    (forgetful / "started.yaml").write_text(
        "name: started\nkind: masks\ndata: wine\nnetwork: {name: mlp, hidden: [8]}\nstop: {generations: 1}\n"
        "search: {method: genetic, population: 4, start: ['own_start.py:Last', random], distribution: {distribution: er}}\n"
        "evaluation: {workers: 0}\nexamination: {epochs: 1, seeds: 1, baselines: []}\n"
    )
    said = evosparse("run", forgetful / "started.yaml", "--out", forgetful / "run", "--quiet")
    assert said.code == 0 and "start last" in said.out
    assert evosparse("resume", forgetful / "run", "--generations", 2, "--workers", 0, "--quiet").code == 0
