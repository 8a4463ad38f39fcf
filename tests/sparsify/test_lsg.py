"""LSG: plain training where nothing is private, accounting, what is refused, and the same result by the same key."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sparsify_registry import DATA, NETWORK, OPTIMIZERS, bits, cohort, sparsified
from torch import nn

from evosparse.data import DataSpec
from evosparse.errors import SpecError
from evosparse.nets import NetworkSpec, TrainingSpec, inspect_module
from evosparse.nets.losses import total_loss
from evosparse.sparsify import LSG, METHODS, Dense, Problem
from evosparse.sparsify.api import sparsify
from evosparse.sparsify.base import as_method
from evosparse.sparsify.private import Sampling, accountant_is_there, epsilon_of, noise_multiplier_for

CARRIERS = pytest.mark.parametrize("carrier", ["none", "left", "both"])
PLAIN = {"clip": None, "noise_multiplier": 0.0, "support": "full", "rank": 10**6}
ACCOUNTED = pytest.mark.skipif(not accountant_is_there(), reason="the extra 'private' is not installed")


@CARRIERS
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_without_noise_bound_and_support_it_is_plain_training(carrier: str, optimizer: str) -> None:
    """LS1: sigma 0, C infinite, full rank and full support are plain training, the last smaller minibatch too."""
    options = {"weight_decay": 0.01, "schedule": {"name": "cosine"}} | OPTIMIZERS[optimizer]
    plain = sparsified(Dense(), cohort((0, 1), **options))
    private = sparsified(LSG(carrier=carrier, sampling="shuffle", **PLAIN), cohort((0, 1), **options))
    for one, other in zip(plain, private, strict=True):
        for name, value in one.state.items():
            np.testing.assert_allclose(other.state[name], value, atol=1e-5 if optimizer == "momentum" else 1e-4)


@CARRIERS
def test_poisson_minibatches_are_steps_of_torchs_sgd(carrier: str) -> None:
    """LS1 with Poisson sampling: the sum over a minibatch is divided by the expected size."""
    made = cohort((0,), optimizer="sgd", learning_rate=0.2)
    [result] = sparsified(LSG(carrier=carrier, **PLAIN), made)
    begun = cohort((0,))
    begun.begin(begun.dense, 1)
    module = NETWORK.module().eval()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in begun.population.state(0).items()})
    optimizer, sampling = torch.optim.SGD(module.parameters(), lr=0.2), Sampling("poisson", 53, 16)
    sizes = []
    for step in range(3 * sampling.steps):
        rows = sampling.rows(made.replicates[0].seeds.order, step)
        x, y = torch.from_numpy(DATA.train.x[rows]), torch.from_numpy(DATA.train.y[rows])
        optimizer.zero_grad()
        (total_loss("cross_entropy", module(x)[None], y) * len(rows) / 16).backward()
        optimizer.step()
        sizes.append(len(rows))
    assert len(set(sizes)) > 1
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(result.state[name], value, atol=1e-5)


@ACCOUNTED
def test_epsilon_is_the_accountants() -> None:
    """LS3, for q, sigma and the steps that were made."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    for _ in range(4 * 3):
        accountant.step(noise_multiplier=0.8, sample_rate=16 / 53)
    [result] = sparsified(LSG(noise_multiplier=0.8, delta=1e-3), cohort((0,), epochs=4))
    assert result.measures["epsilon"] == pytest.approx(accountant.get_epsilon(1e-3), rel=1e-9)
    assert result.measures["delta"] == 1e-3 and result.measures["noise_multiplier"] == 0.8


@ACCOUNTED
@pytest.mark.parametrize("epsilon", [0.5, 2.0, 20.0])
def test_the_noise_for_an_epsilon_is_the_least(epsilon: float) -> None:
    sigma = noise_multiplier_for(epsilon, 0.02, 300, 1e-5)
    assert 0.998 * epsilon <= epsilon_of(0.02, sigma, 300, 1e-5) <= epsilon
    [result] = sparsified(LSG(epsilon=epsilon), cohort((0,)))
    assert 0.998 * epsilon <= result.measures["epsilon"] <= epsilon and result.measures["noise_multiplier"] > 0


def test_without_an_accountant_noise_is_enough_and_epsilon_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    find = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr(
        "evosparse.sparsify.private.accountant.find_spec", lambda name: None if name == "opacus" else find(name)
    )
    [result] = sparsified(LSG(noise_multiplier=1.5), cohort((0,)))
    assert result.measures["noise_multiplier"] == 1.5 and not {"epsilon", "delta"} & result.measures.keys()
    assert any("pip install 'evosparse[private]'" in note for note in LSG().notes)
    told = r"Opacus is not installed; pip install 'evosparse\[private\]'"
    with pytest.raises(SpecError, match=told):
        sparsified(LSG(epsilon=1.0), cohort((0,)))
    with pytest.raises(SpecError, match=f"methods: lsg epsilon=1.0: epsilon: .*{told}"):
        Problem({"name": "mlp", "hidden": (4,)}, "iris", [LSG(epsilon=1.0)])


def test_without_noise_there_is_no_epsilon() -> None:
    [result] = sparsified(LSG(noise_multiplier=0.0), cohort((0,)))
    assert result.measures["noise_multiplier"] == 0 and "epsilon" not in result.measures
    assert any("nothing is private" in note for note in LSG(noise_multiplier=0.0).notes)


def test_it_says_that_it_is_a_reconstruction() -> None:
    assert "reconstruction" in LSG.__doc__ and all("reconstruction" in LSG(**own).notes[0] for own in ({}, PLAIN))
    assert any("reconstruction" in note for note in Problem({"name": "mlp", "hidden": (4,)}, "iris", ["lsg"]).notes)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"support": "raw_topk"}, "keeps privacy, got 'raw_topk'.*previous_noisy"),
        ({"sampling": "shuffle"}, "accountants assume that each example is drawn by itself"),
        ({"sampling": "shuffle", "epsilon": 1.0}, "accountants assume that each example is drawn by itself"),
        ({"clip": None}, "noise without a bound guarantees nothing"),
        ({"epsilon": 1.0, "noise_multiplier": 1.0}, "leave one out"),
    ],
)
def test_what_would_break_privacy_is_refused(parameters: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        LSG(**parameters)
    with pytest.raises(SpecError, match=told):
        as_method({"method": "lsg", **parameters})


def test_batch_normalisation_is_refused_before_anything_is_trained() -> None:
    def normed() -> nn.Module:
        return nn.Sequential(nn.Linear(13, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

    made = cohort((0,), network=inspect_module(normed, (13,), 3, "normed"))
    with pytest.raises(SpecError, match="BatchNorm1d at '1'"):
        LSG().sparsify(made)
    assert not hasattr(made, "population")


@pytest.mark.parametrize(
    "options",
    [
        {"carrier": "none", "support": "full"},
        {"carrier": "both", "rank": 3},
        {"support": "previous_noisy", "rank": 2},
        {"carrier": "none", "support": "previous_noisy", "carried": 0.9},
    ],
    ids=str,
)
def test_the_same_key_gives_the_same_network(options: dict[str, object]) -> None:
    training = {"optimizer": "sgd", "learning_rate": 0.1, "dropout": 0.3, "input_dropout": 0.2, "max_norm": 1.0}
    both = sparsified(LSG(**options), cohort((0, 1), **training))
    [alone] = sparsified(LSG(**options), cohort((1,), **training))
    [other] = sparsified(LSG(**options), cohort((1,), seed=1, **training))
    assert bits(both[1]) == bits(alone) != bits(other)
    assert all(np.linalg.norm(layer, axis=1).max() < 1.0001 for layer in alone.state.values() if layer.ndim > 1)


def test_an_empty_minibatch_is_a_step_of_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampling, "rows", lambda self, seed, step: np.empty(0, np.int64))
    training = {"optimizer": "sgd", "learning_rate": 1.0, "batch": 53, "epochs": 1, "input_dropout": 0.2}
    start = cohort((0,))
    start.begin(start.dense, 1)
    before = start.population.state(0)
    [still] = sparsified(LSG(noise_multiplier=0.0), cohort((0,), **training))
    [moved] = sparsified(LSG(noise_multiplier=2.0, carrier="none", support_density=0.4), cohort((0,), **training))
    for name, value in before.items():
        np.testing.assert_array_equal(still.state[name], value)
        steps = (moved.state[name] - value).ravel()
        assert np.count_nonzero(steps) == (round(0.4 * value.size) if value.ndim > 1 else value.size)
    every = np.concatenate([(moved.state[name] - value).ravel() for name, value in before.items()])
    assert 0.8 < every[every != 0].std() / (2.0 / 53) < 1.2


def test_a_low_rank_update_has_that_rank_and_the_last_layer_has_not() -> None:
    training = {"optimizer": "sgd", "learning_rate": 1.0, "batch": 53, "epochs": 1}
    start = cohort((0,))
    start.begin(start.dense, 1)
    before = start.population.state(0)
    for carrier, rank in (("left", 2), ("both", 4)):
        [result] = sparsified(LSG(carrier=carrier, rank=2), cohort((0,), **training))
        steps = {name: result.state[name] - value for name, value in before.items() if value.ndim > 1}
        ranks = {name: np.linalg.matrix_rank(step, tol=1e-4) for name, step in steps.items()}
        assert ranks == {"hidden1.weight": rank, "hidden2.weight": rank, "output.weight": 3}
        sizes = 2 * (11 * 13 + 7 * 11)
        assert result.measures["carrier_multiply_adds"] == 4 * sizes


def test_examples_that_overflow_drown_nothing() -> None:
    x = DATA.train.x.copy()
    x[:5] = 3e38
    data = type(DATA)(type(DATA.train)(x, DATA.train.y), DATA.validation, 3, (13,))
    [result] = sparsified(LSG(), cohort((0,), data=data))
    assert all(np.isfinite(value).all() for value in result.state.values())


@pytest.mark.parametrize("loss", ["squared_error", "sigmoid_squared_error"])
def test_squared_errors_can_be_trained_privately(loss: str) -> None:
    plain = sparsified(Dense(), cohort((0,), loss=loss, optimizer="sgd"))[0]
    private = sparsified(LSG(sampling="shuffle", **PLAIN), cohort((0,), loss=loss, optimizer="sgd"))[0]
    for name, value in plain.state.items():
        np.testing.assert_allclose(private.state[name], value, atol=1e-5)


def test_ones_own_convolutions_with_buffers_are_trained_and_learn() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor(0.5))
            self.body = nn.Sequential(
                nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                nn.Dropout(0.1), nn.Linear(72, 32), nn.ReLU(), nn.Linear(32, 10),
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x.flatten(1) * self.scale)

    method = LSG(rank=8, noise_multiplier=0.5, support_density=0.8)
    training = TrainingSpec(optimizer="sgd", learning_rate=2.0, batch=128)
    [private] = sparsify(Scaled(), "digits", method, epochs=10, training=training)
    assert private.measures["validation_accuracy"] > 0.6
    assert private.module().state_dict()["scale"] == 0.5


def test_the_experiment_runs_goes_on_and_reports(experiment: Callable[[str], ModuleType], tmp_path: Path) -> None:
    if not accountant_is_there():
        pytest.skip("the extra 'private' is not installed")
    script, file = experiment("lsg_paper"), tmp_path / "runs.jsonl"
    quick = {"epochs": 1, "data": DataSpec(name="digits"), "network": NetworkSpec(name="mlp", hidden=(12,))}
    names = [name for name in script.PAPER.arms if name.endswith("_2")]
    for seeds in (1, 2):
        assert len(list(script.PAPER.run(names, seeds, file, quick))) == 4
    rows = script.PAPER.rows(file)
    assert len(names) == 4 and all(row["further"]["epsilon"] <= 2 for row in rows)
    printed = "\n".join(script.report(rows))
    assert "reconstruction; the sparse part is a stand-in" in printed and printed.count("| RGP-left") == 2


def test_it_is_registered() -> None:
    assert METHODS["lsg"] is LSG and LSG.dense
