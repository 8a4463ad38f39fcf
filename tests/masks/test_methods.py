"""The searches over masks: KS1 to KS3 and KS8 to KS10 of the paper's page, and that each method does what it says."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from evosparse import Campaign, Evaluation, SeedKey, Stop, masks
from evosparse.data import DataSet, DataSpec, load
from evosparse.masks.examination import MaskTrial, train_to_the_end
from evosparse.masks.genome import Mask, MaskLayer
from evosparse.masks.methods.dissipating import dissipate
from evosparse.masks.operators import random_mask
from evosparse.masks.prelude import Scores, changes, dense_mask, keep_largest, run_phases
from evosparse.masks.workbench import Phase
from evosparse.nets import InitialisationSpec, NetworkSpec, TrainingSpec

DATA = Path(os.environ.get("EVOSPARSE_DATA", "data"))
NETWORK = NetworkSpec(name="mlp", hidden=(12, 8))
TRAINING = TrainingSpec(optimizer="adam", learning_rate=0.01, batch=20)
EXAMINATION = masks.ExaminationSpec(epochs=4, seeds=2)
METHODS = {
    "kstarts": masks.KStarts(sparsity=0.7, k=6),
    "kstarts by weight": masks.KStarts(sparsity=0.7, k=6, judged_by="weight", scope="global", rewind=True),
    "kstarts by both": masks.KStarts(sparsity=0.7, k=6, judged_by="both", accumulate="sum_of_abs", epochs=2),
    "kstarts masked": masks.KStarts(sparsity=0.7, k=6, train_during="masked"),
    "kstarts by accuracy": masks.KStarts(sparsity=0.7, k=6, judged_by="accuracy", train_during="masked"),
    "kstarts by accuracy, dense": masks.KStarts(sparsity=0.7, k=6, judged_by="accuracy"),
    "dissipating": masks.Dissipating(sparsity=0.7),
    "dissipating, absolute": masks.Dissipating(sparsity=0.7, change="absolute", removed="freeze_at_initial"),
    "dissipating, threshold": masks.Dissipating(sparsity=0.7, rule="threshold", fraction=0.3, epochs=3),
    "combined": masks.Combined(sparsity=0.7, k=6),
    "combined, dissipating first": masks.Combined(sparsity=0.7, k=6, order="dissipating_first", judged_by="gradient"),
    "genetic": masks.Genetic(sparsity=0.7, population=6, k=8),
    "nsga2": masks.NSGA2(sparsity=(0.5, 0.9), population=8),
}


def problem(method: object, data: DataSet, **options: object) -> masks.Problem:
    return masks.Problem(NETWORK, data, method, training=TRAINING, examination=EXAMINATION, **options)


def run(method: object, data: DataSet, folder: Path, seed: int = 0, **options: object) -> Campaign:
    campaign = Campaign(
        problem(method, data, **options), seed, folder, stop=Stop(generations=3), evaluation=Evaluation(batch=4, workers=0)
    )
    campaign.run()
    return campaign


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_masks_of_exactly_the_asked_counts(name: str, blobs: DataSet, tmp_path: Path) -> None:
    method = METHODS[name]
    with run(method, blobs, tmp_path / "run") as campaign:
        members = list(campaign.hall_of_fame)
        arms = {arm.name: arm for arm in campaign.results()}
    assert members and all(arm.failed == 0 for arm in arms.values())
    for member in members:
        if name == "nsga2":
            assert 0.5 - 0.02 <= member.genome.sparsity <= 0.9 + 0.02
        elif name == "dissipating, threshold":
            assert all(count >= least for count, least in zip(member.genome.counts, counts_of(method, campaign), strict=True))
        else:
            assert member.genome.counts == counts_of(method, campaign)
    assert {"winner", "random", "dense", "dropout"} <= arms.keys()
    assert arms["dense"].measures["epochs_dense"].mean == 4
    for arm in arms.values():
        assert all(0 <= value <= 1 for value in arm.measures["test_accuracy"].values)


def counts_of(method: object, campaign: Campaign) -> tuple[int, ...]:
    return method.counts(campaign.problem.bench.network.layers, method.sparsity)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_resumes_to_the_same_digest(name: str, blobs: DataSet, tmp_path: Path) -> None:
    with run(METHODS[name], blobs, tmp_path / "whole") as campaign:
        expected = campaign.store.digest()
    with Campaign(
        problem(METHODS[name], blobs), 0, tmp_path / "parts", stop=Stop(generations=3), evaluation=Evaluation(batch=4)
    ) as campaign:
        campaign.run(1, workers=0)
    with Campaign.resume(tmp_path / "parts", problem=problem(METHODS[name], blobs)) as campaign:
        campaign.run(2, workers=0)
    with Campaign.resume(tmp_path / "parts", problem=problem(METHODS[name], blobs)) as campaign:
        campaign.run(3, workers=0)
        assert campaign.store.digest() == expected


def test_ks1_candidates_are_distinct_and_exact(blobs: DataSet) -> None:
    made = problem(masks.KStarts(sparsity=0.7, k=50), blobs)
    found = [candidate.genome for candidate in made.search.ask(SeedKey(5).child("ask", 0))]
    assert len({mask.key for mask in found}) == 50
    assert {mask.counts for mask in found} == {made.spec.search.counts(made.bench.network.layers, 0.7)}
    again = problem(masks.KStarts(sparsity=0.7, k=10), blobs).search.ask(SeedKey(5).child("ask", 0))
    assert [candidate.genome.key for candidate in again] == [mask.key for mask in found[:10]]


def gaussian(size: int, keep: int, seed: int) -> tuple[Scores, list[Mask]]:
    """Scores |w| of a Gaussian layer, and how masks are drawn on it."""
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(size=size))
    layer = MaskLayer("layer", (1, size), np.arange(size))
    return Scores([values], [None]), [random_mask([layer], (keep,), np.random.default_rng([seed, draw])) for draw in range(1000)]


@pytest.mark.parametrize(("size", "keep"), [(30_000, 3_000), (1_000, 200)])
def test_ks2_scores_of_random_masks_spread_as_derived(size: int, keep: int) -> None:
    scores, drawn = gaussian(size, keep, 1)
    sums = np.array([scores.of(mask)[0] for mask in drawn])
    values = scores.values[0]
    deviation = math.sqrt(keep * (1 - keep / size) * values.var() * size / (size - 1))
    assert sums.mean() == pytest.approx(keep * values.mean(), rel=0.01)
    assert sums.std() == pytest.approx(deviation, rel=0.1)
    assert values.std() / values.mean() == pytest.approx(0.7555, rel=0.05)


def test_ks3_the_best_of_k_gains_the_expected_maximum() -> None:
    expected = {10: 1.54, 100: 2.51}
    gains: dict[int, list[float]] = {k: [] for k in expected}
    for draw in range(20):
        scores, drawn = gaussian(2_000, 200, 100 + draw)
        sums = np.array([scores.of(mask)[0] for mask in drawn])
        for k, own in gains.items():
            own.append((sums[:k].max() - sums.mean()) / sums.std())
    assert {k: np.mean(own) for k, own in gains.items()} == pytest.approx(expected, rel=0.25)


def test_kstarts_takes_the_best_layer_of_all_starts(blobs: DataSet, tmp_path: Path) -> None:
    with run(METHODS["kstarts"], blobs, tmp_path / "run") as campaign:
        found = list(campaign.store.candidates(decode=Mask.from_bytes))
        bench = campaign.problem.bench
    starts, winner = found[:-1], found[-1]
    assert len(starts) == 6 and winner.generation == 1
    population = run_phases(bench, SeedKey(0), [Phase(None, 1)], "abs_of_sum")
    for number, layer in enumerate(winner.genome.layers):
        by_hand = [np.abs(population.gradients(number, 0))[start.genome.layers[number].indices].sum() for start in starts]
        assert np.array_equal(layer.indices, starts[int(np.argmax(by_hand))].genome.layers[number].indices)
        assert winner.outcome.measures[f"score.{layer.name}"] == pytest.approx(max(by_hand), rel=1e-5)


def test_keep_largest_is_exact_under_ties() -> None:
    layer = MaskLayer("layer", (4, 5), np.arange(20))
    kept = keep_largest([np.ones(20)], [7], Mask((layer,)))
    assert kept.layers[0].indices.tolist() == list(range(7))


@pytest.mark.parametrize("change", ["relative", "absolute"])
def test_dissipating_keeps_the_weights_that_moved_most(change: str, blobs: DataSet, tmp_path: Path) -> None:
    with run(masks.Dissipating(sparsity=0.7, change=change), blobs, tmp_path / "run") as campaign:
        winner = campaign.hall_of_fame[0].genome
        population = run_phases(campaign.problem.bench, SeedKey(0), [Phase(None, 1)])
    for layer, moved in zip(winner.layers, changes(population, change), strict=True):
        gone = np.setdiff1d(np.arange(layer.size), layer.indices)
        assert moved[layer.indices].min() >= moved[gone].max()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["blobs", *(["mnist"] if (DATA / "mnist.npz").is_file() else [])])
def test_ks8_weights_of_inputs_that_are_always_zero_dissipate(name: str, seed: int, blobs: DataSet) -> None:
    data = blobs if name == "blobs" else load(DataSpec(name=str(DATA / "mnist.npz"), limit=5000))
    train = data.search.train.x.reshape(len(data.search.train), -1)
    silent = ~train.any(axis=0)
    method = masks.Dissipating(sparsity=0.5)
    mask = dissipate(method, problem(method, data).bench, SeedKey(seed))
    first = mask.layers[0].to_bool()
    assert silent.any() and not first[:, silent].any() and first[:, ~silent].any()


def test_ks9_removed_weights_are_zero_after_the_whole_training(blobs: DataSet, tmp_path: Path) -> None:
    with run(METHODS["combined"], blobs, tmp_path / "run") as campaign:
        trial = campaign.problem.trial_of(campaign.hall_of_fame[0].genome)
        population = train_to_the_end(campaign.problem.bench, trial, SeedKey(0))
    for layer in trial.phases[-1].mask.layers:
        weights = population.state(0)[f"{layer.name}.weight"]
        assert np.count_nonzero(weights[~layer.to_bool()]) == 0
        assert np.count_nonzero(weights) <= layer.count


def test_frozen_weights_keep_their_initial_value(blobs: DataSet, tmp_path: Path) -> None:
    with run(METHODS["dissipating, absolute"], blobs, tmp_path / "run") as campaign:
        trial = campaign.problem.trial_of(campaign.hall_of_fame[0].genome)
        population = train_to_the_end(campaign.problem.bench, trial, SeedKey(0))
    bench = campaign.problem.bench
    initial = bench.population([None], [bench.seeds(SeedKey(0))], 1).state(0)
    for layer in trial.phases[-1].mask.layers:
        gone = ~layer.to_bool()
        name = f"{layer.name}.weight"
        assert np.array_equal(population.state(0)[name][gone], initial[name][gone])
        assert (population.state(0)[name][~gone] != initial[name][~gone]).any()


def test_ks10_the_output_says_reconstruction_and_what_it_cost(blobs: DataSet, tmp_path: Path) -> None:
    for name in ("kstarts", "dissipating", "combined"):
        with run(METHODS[name], blobs, tmp_path / name) as campaign:
            assert any("reconstruction" in note for note in campaign.store.header.notes)
            (winner, *_) = campaign.results()
            assert winner.measures["epochs_dense"].mean == 1
            assert campaign.store.candidate("0.0").outcome.measures


def test_the_best_children_of_a_genetic_search_never_get_worse(blobs: DataSet, tmp_path: Path) -> None:
    with run(METHODS["genetic"], blobs, tmp_path / "run") as campaign:
        best = [row.record["accuracy"]["max"] for row in campaign.store.generations()]
        population = campaign.problem.search.population
        children = list(campaign.store.candidates(2, Mask.from_bytes))
    assert len(population) == 6 and len(children) == 4
    assert population[0].fitness.values[0] == max(best)
    assert all(child.parents for child in children)


def test_the_front_of_nsga2_holds_no_dominated_mask(blobs: DataSet, tmp_path: Path) -> None:
    with run(METHODS["nsga2"], blobs, tmp_path / "run") as campaign:
        front = [(member.outcome.measures["accuracy"], member.genome.count) for member in campaign.hall_of_fame]
        everybody = [(c.outcome.measures["accuracy"], c.genome.count) for c in campaign.store.candidates(decode=Mask.from_bytes)]
    for accuracy, weights in front:
        assert not any(a >= accuracy and w <= weights and (a, w) != (accuracy, weights) for a, w in everybody)


def test_trials_survive_their_encoding(blobs: DataSet) -> None:
    made = problem(METHODS["kstarts"], blobs)
    mask = made.search.ask(SeedKey(0))[0].genome
    trial = MaskTrial("winner", 1, (Phase(None, 1), Phase(mask, 3)), 0.25)
    assert MaskTrial.from_bytes(trial.to_bytes()) == trial and trial.key == MaskTrial.from_bytes(trial.to_bytes()).key


def test_all_masks_share_their_initial_weights_unless_asked_otherwise(blobs: DataSet) -> None:
    plain = InitialisationSpec(mask_aware=False)
    for individual in (False, True):
        made = problem(METHODS["genetic"], blobs, initialisation=plain, individual_weights=individual)
        genomes = [candidate.genome for candidate in made.search.ask(SeedKey(0))[:2]]
        seeds = [made.bench.seeds(SeedKey(0).child("evaluate").child(mask.key)) for mask in genomes]
        population = made.bench.population(genomes, seeds, 1)
        first, second = (dict(zip(genomes[i].layers[0].indices, population.weights(0, i), strict=True)) for i in (0, 1))
        common = first.keys() & second.keys()
        assert common and all(first[index] == second[index] for index in common) is not individual


def test_dense_masks_are_dense(blobs: DataSet) -> None:
    assert dense_mask(problem(METHODS["kstarts"], blobs).bench).sparsity == 0
