"""The schedules of retraining are the published formulas, and each network can have a learning rate of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sparsify_registry import DATA, NETWORK, cohort

from evosparse.errors import SpecError
from evosparse.nets import InitialisationSpec, Population, ScheduleSpec, Seeds, TrainingSpec
from evosparse.nets.paced import PacedPopulation
from evosparse.sparsify import BIMP, IMP
from evosparse.sparsify.retraining import RetrainingSchedule, adaptive_start

STEPPED = ScheduleSpec(name="step", at=(10, 15), factor=0.1)
EPOCHS, STEPS = 20, 50


def rates(name: str, total: int, original: ScheduleSpec = STEPPED) -> list[float]:
    schedule = RetrainingSchedule(name, original, EPOCHS, STEPS)
    return [schedule.share(step / STEPS, total) for step in range(total * STEPS)]


def published(name: str, total: int, original: ScheduleSpec = STEPPED) -> list[float]:
    """The formulas, step by step, from the list of the first training's rates."""
    orig = [original.share(step / STEPS, EPOCHS) for step in range(EPOCHS * STEPS)]
    steps = total * STEPS
    if name == "ft":
        return [orig[-1]] * steps
    if name == "lrw":
        return orig[-steps:]
    warm = steps // 10
    rest = steps - warm
    main = {
        "clr": lambda j: orig[-1] + (orig[0] - orig[-1]) * (1 + math.cos(math.pi * j / rest)) / 2,
        "slr": lambda j: orig[int(j * len(orig) / rest)],
        "llr": lambda j: 1 - j / rest,
        "allr": lambda j: 1 - j / rest,
    }[name]
    return [(1 - math.cos(math.pi * j / warm)) / 2 for j in range(warm)] + [main(j) for j in range(rest)]


@pytest.mark.parametrize("original", [STEPPED, ScheduleSpec(name="linear"), ScheduleSpec(name="cosine")], ids=lambda own: own.name)
@pytest.mark.parametrize("total", [1, 3, 20])
@pytest.mark.parametrize("name", ["ft", "lrw", "clr", "slr", "llr", "allr"])
def test_schedules_are_the_published_formulas(name: str, total: int, original: ScheduleSpec) -> None:  # BI1
    np.testing.assert_allclose(rates(name, total, original), published(name, total, original), atol=1e-9)


def test_rewinding_further_than_the_first_training_is_refused_before_anything_is_trained() -> None:
    made = cohort()
    with pytest.raises(SpecError, match="lrw: expected at most the 3 epochs"):
        IMP(retraining="lrw", retrain_epochs=4).sparsify(made)
    assert made.epochs_trained == 0
    IMP(retraining="lrw", retrain_epochs=2, rounds=2).sparsify(made)  # two at a time
    assert made.epochs_trained == 3 + 2 + 2


@given(
    norm=st.floats(1e-3, 1e3), kept=st.floats(0, 1), removed=st.floats(0.01, 1), epochs=st.integers(1, 9), first=st.integers(1, 9)
)
def test_the_adaptive_start_keeps_within_its_clips(norm: float, kept: float, removed: float, epochs: int, first: int) -> None:
    start = adaptive_start(norm, norm * kept, removed, epochs, first)
    assert min(epochs / first, 1) <= start <= 1
    relative = math.sqrt(1 - kept**2) / math.sqrt(removed)
    assert start == pytest.approx(min(1, max(relative, min(epochs / first, 1))), abs=1e-6)


def test_the_adaptive_start_measures_what_the_cut_took() -> None:
    made, seen = cohort(epochs=4), []
    begin = made.begin

    def watched(*arguments: object, kind: object, **named: object) -> None:
        seen.extend(kind.args[0])
        begin(*arguments, kind=kind, **named)

    method = IMP(retraining="allr", retrain_epochs=1, round_epochs=100)
    assert method.begin(made, made.dense, None, 1) == 100
    made.advance(2)
    states = [made.population.state(number) for number in range(len(made))]
    kept = [method._kept(made, number, made.connections[number], 1) for number in range(len(made))]
    made.begin = watched
    method.begin(made, kept, states, 2)
    for number, (state, own) in enumerate(zip(states, kept, strict=True)):
        module = NETWORK.module()
        module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
        before = torch.cat([part.reshape(-1) for part in module.parameters()]).double()
        with torch.no_grad():
            for layer, indices in zip(NETWORK.layers, own, strict=True):
                mask = torch.zeros(layer.size)
                mask[torch.from_numpy(indices)] = 1
                module.get_parameter(layer.parameter).mul_(mask.view(layer.shape))
        after = torch.cat([part.reshape(-1) for part in module.parameters()]).double()
        share = 1 - sum(map(len, own)) / sum(layer.size for layer in NETWORK.layers)
        relative = ((before - after).norm() / before.norm()).item() / math.sqrt(share)
        assert 0.01 < relative < 1 and seen[number] == pytest.approx(relative, rel=1e-5)


@pytest.mark.parametrize("kernel", ["dense", "packed"])
@pytest.mark.parametrize(
    "training",
    [
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
        {"optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "rmsprop", "learning_rate": 0.01},
    ],
    ids=lambda own: own["optimizer"],
)
def test_each_network_trains_at_its_own_rate(kernel: str, training: dict[str, object]) -> None:
    factors = [1.0, 0.25, 0.6]
    connections = [[np.arange(0, layer.size, 2) for layer in NETWORK.layers]] * 3
    seeds = [Seeds(number, number, number) for number in range(3)]
    spec = TrainingSpec(batch=16, kernel=kernel, schedule="cosine", **training)
    rest = (InitialisationSpec(), 3, "cpu")
    together = PacedPopulation(factors, NETWORK, connections, seeds, spec, *rest)
    together.train(DATA.train.x, DATA.train.y, 3)
    for number, factor in enumerate(factors):
        own = spec.model_copy(update={"learning_rate": spec.learning_rate * factor})
        alone = Population(NETWORK, connections[:1], seeds[number : number + 1], own, *rest)
        alone.train(DATA.train.x, DATA.train.y, 3)
        for name, value in together.state(number).items():
            np.testing.assert_allclose(value, alone.state(0)[name], rtol=2e-4, atol=2e-5)


def test_bimp_trains_no_longer_than_other_methods() -> None:
    for rounds in (1, 2, 3):
        made = cohort(epochs=7)
        BIMP(rounds=rounds).sparsify(made)
        assert made.epochs_trained == 7


@pytest.mark.parametrize("kernel", ["dense", "packed"])
@pytest.mark.parametrize("training", [{"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "adam"}], ids=["momentum", "adam"])
def test_moments_of_what_is_left_go_on_where_that_is_asked_for(kernel: str, training: dict[str, object]) -> None:
    """At one constant rate, and one step an epoch, a retraining with its moments is a cut in the middle of a training."""
    options = {"kernel": kernel, "learning_rate": 0.02, "batch": len(DATA.train.x), **training}
    found = {}
    for choice in ("keep_masked", "reset"):
        made = cohort((0, 1), 0.6, epochs=8, **options)
        IMP(retraining="ft", momentum_at_prune=choice).sparsify(made)
        found[choice] = [made.population.state(number) for number in range(2)]
    whole = cohort((0, 1), 0.6, epochs=16, **options)
    whole.begin(whole.dense, 16)
    whole.advance(8)
    whole.cut(made.connections)
    whole.advance(8)
    for number in range(2):
        expected = whole.population.state(number)
        for name, value in expected.items():
            np.testing.assert_allclose(found["keep_masked"][number][name], value, rtol=1e-3, atol=1e-5)
        apart = [np.abs(found["reset"][number][layer.parameter] - expected[layer.parameter]).max() for layer in NETWORK.layers]
        assert min(apart) > 1e-3
