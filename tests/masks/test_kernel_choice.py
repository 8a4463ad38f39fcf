"""Which kernel trains a campaign's masks is decided once, written down, and cannot change afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evosparse import Campaign, Evaluation, SeedKey, Stop, masks
from evosparse.data import DataSet
from evosparse.errors import SpecError, StoreError
from evosparse.masks import problem as module
from evosparse.masks.examination import MaskTrial
from evosparse.masks.workbench import Phase
from evosparse.nets import NetworkSpec, TrainingSpec

SPARSE, DENSER = masks.Genetic(sparsity=0.9, population=4, k=4), masks.Genetic(sparsity=0.2, population=4, k=4)


def made(data: DataSet, method: object = SPARSE, kernel: str = "auto", **training: object) -> masks.Problem:
    return masks.Problem(
        NetworkSpec(name="mlp", hidden=(12, 8)),
        data,
        method,
        training=TrainingSpec(batch=20, kernel=kernel, **training),
        examination=masks.ExaminationSpec(epochs=2, seeds=1),
    )


def begun(problem: masks.Problem, folder: Path) -> Campaign:
    return Campaign(problem, 3, folder, stop=Stop(generations=2), evaluation=Evaluation(batch=3, workers=0))


@pytest.mark.parametrize("kernel", ["packed", "dense", "csr"])
def test_the_kernel_is_recorded_and_auto_is_recorded_as_what_it_stands_for(
    kernel: str, blobs: DataSet, tmp_path: Path
) -> None:
    with begun(made(blobs, kernel="auto" if kernel == "packed" else kernel), tmp_path / "run") as campaign:
        campaign.run(1)
        assert campaign.store.header.document["training"]["kernel"] == kernel
    with Campaign.resume(tmp_path / "run", problem=made(blobs, kernel=kernel)) as campaign:
        assert campaign.run(2)


def test_the_densest_mask_of_a_search_decides(blobs: DataSet) -> None:
    # Widths are rounded up to 32 in the dense kernel, so that a network of these sizes is packed even when dense.
    def kernel(method: object) -> str:
        network = NetworkSpec(name="mlp", hidden=(320, 320))
        return masks.Problem(network, blobs, method).bench.training.kernel

    assert kernel(SPARSE) == "packed" and kernel(DENSER) == "dense"
    assert (
        kernel(masks.NSGA2(sparsity=(0.7, 0.99))) == "packed" and kernel(masks.NSGA2(sparsity=(0.3, 0.99))) == "dense"
    )
    assert kernel(masks.Combined(sparsity=0.9)) == "packed" and kernel(masks.Combined(sparsity=0.7)) == "dense"
    assert kernel(masks.Dissipating(sparsity=0.9)) == "packed"
    assert kernel(masks.Dissipating(sparsity=0.9, rule="threshold")) == "dense"


def test_another_kernel_is_another_campaign(blobs: DataSet, tmp_path: Path) -> None:
    with begun(made(blobs), tmp_path / "run") as campaign:
        campaign.run(1)
        spec = campaign.spec
    other = made(blobs, kernel="dense")
    with pytest.raises(StoreError, match='training.kernel: "packed" -> "dense"'):
        Campaign.resume(tmp_path / "run", spec.model_copy(update={"problem": other.spec}), other)


def test_a_rule_that_changes_later_changes_no_campaign(
    blobs: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "blobs.npz"
    everything = (blobs.search.train, blobs.search.validation, blobs.test)
    np.savez(data, x=np.concatenate([part.x for part in everything]), y=np.concatenate([part.y for part in everything]))
    digests = []
    for rule_changes in (False, True):
        folder = tmp_path / f"run {rule_changes}"
        with begun(masks.Problem(NetworkSpec(name="mlp", hidden=(12,)), str(data), SPARSE), folder) as campaign:
            campaign.run(1)
        if rule_changes:
            monkeypatch.setattr(module, "choose_kernel", lambda *_: "dense")
        with Campaign.resume(folder) as campaign:
            campaign.run(2)
            assert campaign.problem.bench.training.kernel == "packed"
            digests.append(campaign.store.digest())
    assert digests[0] == digests[1]


def test_masked_networks_are_packed_and_dense_ones_dense(blobs: DataSet) -> None:
    bench = made(blobs).bench
    (first, second) = (candidate.genome for candidate in made(blobs).search.ask(SeedKey(0))[:2])
    seeds = [bench.seeds(SeedKey(0))] * 2
    assert bench.population([first, second], seeds, 1).kernel == "packed"
    population = bench.population([None, None], seeds, 2)
    assert population.kernel == "dense"
    population.train(bench.train.x, bench.train.y, 1)
    bench.cut(population, [first, second])
    assert population.kernel == "packed"


def test_an_arm_of_the_examination_does_not_depend_on_the_arms_beside_it(blobs: DataSet) -> None:
    problem = made(blobs)
    mask = problem.search.ask(SeedKey(0))[0].genome
    trials = [MaskTrial("winner", 0, (Phase(mask, 2),)), MaskTrial("dense", 0, (Phase(None, 2),))]
    examiner = problem.examination.fitness
    examiner.prepare(type("Resources", (), {"data": problem.examination.data})())
    together = examiner.evaluate(trials, [SeedKey(0)] * 2)
    assert [examiner.evaluate([trial], [SeedKey(0)])[0] for trial in trials] == list(together)


@pytest.mark.parametrize(
    ("training", "told"),
    [({"kernel": "csr"}, "csr trains multilayer perceptrons alone"), ({"kernel": "packed"}, "nn.Sequential")],
)
def test_a_kernel_that_cannot_train_the_network_is_refused_at_once(
    training: dict[str, str], told: str, blobs: DataSet, tmp_path: Path
) -> None:
    (tmp_path / f"normalised_{training['kernel']}.py").write_text(
        "from torch import nn\n\n\ndef build(input_shape, classes):\n"
        "    return nn.Sequential(nn.Linear(10, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, classes))\n"
    )
    network = NetworkSpec(module=str(tmp_path / f"normalised_{training['kernel']}.py:build"))
    with pytest.raises(SpecError, match=told):
        masks.Problem(network, blobs, SPARSE, training=TrainingSpec(**training))
