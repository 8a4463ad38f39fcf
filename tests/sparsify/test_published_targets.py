"""Targets of the published methods that need no experiment, under their ids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sparsify_registry import DATA, NETWORK, SIZE, cohort, examples, sparsified
from torch.nn.functional import cross_entropy

from evosparse.data import SearchData, Train
from evosparse.nets import InitialisationSpec, Network, NetworkSpec, TrainingSpec, build
from evosparse.sparsify import SNIP, Cohort, Han, LotteryTicket, Magnitude, Replicate, RigL
from evosparse.sparsify.pruning import magnitudes

LENET = (784, 300, 100, 10)


def lenet() -> Network:
    return build(NetworkSpec(name="lenet300"), (784,), 10)


def by_hand(rounds: int) -> list[int]:
    """Counts of LeNet-300-100 after rounds that remove 20 % of what is left, 10 % in the output layer."""
    counts = [before * after for before, after in zip(LENET[:-1], LENET[1:], strict=True)]
    for _ in range(rounds):
        counts = [count - round(rate * count) for count, rate in zip(counts, (0.2, 0.2, 0.1), strict=True)]
    return counts


@pytest.mark.parametrize(
    ("rounds", "percent"), [(3, 51.28), (7, 21.07), (9, 13.52), (11, 8.68), (15, 3.58), (18, 1.85), (20, 1.19)]
)
def test_lt1_the_ladder_has_the_published_counts(rounds: int, percent: float) -> None:
    network = lenet()
    assert sum(layer.size for layer in network.layers) == 266_200
    nobody = Train(np.zeros((2, 784), np.float32), np.arange(2))
    replicate = Replicate(0, 0.99)
    made = Cohort(network, nobody, nobody, [replicate], TrainingSpec(), InitialisationSpec(), 1)
    ladder = LotteryTicket().ladder(made, 0.99)
    assert list(ladder[rounds]) == by_hand(rounds)
    assert round(100 * sum(ladder[rounds]) / 266_200, 2) == percent
    # Asked for that sparsity, the ladder ends there and nowhere else.
    kept = sum(ladder[rounds])
    own = LotteryTicket().ladder(made, 1 - kept / 266_200)
    assert own == ladder[: rounds + 1]


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.777, 0.9, 0.98])
def test_the_last_round_of_a_ladder_removes_no_more_than_is_asked_for(sparsity: float) -> None:
    made = cohort((0,), sparsity)
    ladder = LotteryTicket().ladder(made, sparsity)
    assert sum(ladder[-1]) == round((1 - sparsity) * SIZE)
    for before, after in zip(ladder[:-1], ladder[1:], strict=True):
        assert all(0 <= new <= old for old, new in zip(before, after, strict=True)) and sum(after) < sum(before)


def test_rg1_counts_are_constant_to_the_unit_for_a_thousand_updates() -> None:
    exchanges, counts = 0, set()
    made = cohort((0,), epochs=1001, batch=27, optimizer="sgd", learning_rate=0.05)

    class Watched(RigL):
        def update(self, exchange: object, progress: float) -> None:
            nonlocal exchanges
            super().update(exchange, progress)
            exchanges += 1
            counts.update(tuple(map(len, own)) for own in made.connections)
            assert all(len(np.unique(part)) == len(part) for own in made.connections for part in own)

    sparsified(Watched(every=2, until=1.0, annealing="constant"), made)
    assert exchanges >= 1000 and len(counts) == 1


def scored(method: SNIP, data: object, numbers: tuple[int, ...] = (0,)) -> tuple[Cohort, list[list[np.ndarray]]]:
    made = cohort(numbers, data=data)
    made.begin(made.dense, 1)
    return made, [method.scores(made, number, made.connections[number], 1) for number in range(len(numbers))]


def test_sn2_scores_are_the_magnitude_of_weight_times_gradient() -> None:
    made, [scores] = scored(SNIP(), DATA)
    x, y = made.sample(0, 16, 1)
    module = NETWORK.module().double()
    module.load_state_dict({name: torch.tensor(value) for name, value in made.population.state(0).items()})
    cross_entropy(module(torch.tensor(x).double()), torch.tensor(y)).backward()
    for layer, own in zip(NETWORK.layers, scores, strict=True):
        parameter = module.get_parameter(layer.parameter)
        np.testing.assert_allclose(own, (parameter * parameter.grad).abs().detach().numpy().reshape(-1), atol=1e-6, rtol=1e-4)
        # And that is dL/dc at c = 1, of a loss at w * c.
    weights = {name: value.detach() for name, value in module.named_parameters()}
    gates = {layer.parameter: torch.ones(layer.shape, dtype=torch.float64, requires_grad=True) for layer in NETWORK.layers}
    gated = {name: value * gates[name] if name in gates else value for name, value in weights.items()}
    loss = cross_entropy(torch.func.functional_call(module, gated, (torch.tensor(x).double(),)), torch.tensor(y))
    for own, slope in zip(scores, torch.autograd.grad(loss, list(gates.values())), strict=True):
        np.testing.assert_allclose(own, slope.abs().numpy().reshape(-1), atol=1e-6, rtol=1e-4)


def blank(columns: int) -> SearchData:
    """Return examples of which the first inputs are always zero."""
    x = DATA.train.x.copy()
    x[:, :columns] = 0
    return SearchData(Train(x, DATA.train.y), DATA.validation, 3, (13,))


def test_sn3_inputs_that_are_zero_get_no_weights() -> None:
    for result in sparsified(SNIP(), cohort(data=blank(4))):
        read = np.unique(result.connections[0] % 13)
        assert read.min() >= 4 and len(read)


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.5, 0.8])
def test_sn4_counts_are_exact_with_most_scores_zero(sparsity: float) -> None:
    _, [scores] = scored(SNIP(), blank(12))
    zero = sum(int((own == 0).sum()) for own in scores)
    assert zero > 0.5 * SIZE
    for result in sparsified(SNIP(), cohort(sparsity=sparsity, data=blank(12))):
        assert sum(map(len, result.connections)) == round((1 - sparsity) * SIZE)


@pytest.mark.parametrize("method", [Han(), Magnitude()])
def test_ha3_survivors_are_not_set_back(method: Magnitude) -> None:
    trained: list[list[np.ndarray]] = []
    begun: list[list[np.ndarray]] = []

    class Watched(type(method)):
        def scores(self, made: Cohort, number: int, connections: list[np.ndarray], turn: int) -> list[np.ndarray]:
            state = made.population.state(number)
            trained.append([state[layer.parameter].reshape(-1) for layer in NETWORK.layers])
            return magnitudes(made, number)

    class Cut(Cohort):
        def begin(self, connections: object, epochs: int, *rest: object, **options: object) -> None:
            super().begin(connections, epochs, *rest, **options)
            if trained:
                begun.extend(
                    [self.population.weights(layer, number) for layer in range(3)] for number in range(len(self))
                )

    made = cohort((0, 1), kind=Cut)
    results = sparsified(Watched(**method.model_dump(exclude={"method"})), made)
    assert len(trained) == len(begun) == 2
    for whole, left, result in zip(trained, begun, results, strict=True):
        for every, survivors, places in zip(whole, left, result.connections, strict=True):
            assert np.abs(every[places] - survivors).max() == 0 if len(places) else not len(survivors)


def test_a_ticket_is_set_back_and_its_control_is_not() -> None:
    starts = {}
    for redraw in (False, True):

        class Watched(Cohort):
            def advance(self, epochs: int, *rest: object, **options: object) -> None:
                begun.append([self.population.weights(layer, 0) for layer in range(3)])
                super().advance(epochs, *rest, **options)

        begun: list[list[np.ndarray]] = []
        made = cohort((0,), kind=Watched, sparsity=0.5)
        [result] = sparsified(LotteryTicket(redraw=redraw), made)
        starts[redraw] = (begun[0], begun[-1], result.connections)
    first, last, places = starts[False]
    for whole, left, own in zip(first, last, places, strict=True):
        np.testing.assert_array_equal(whole[own], left)
    for own, other in zip(places, starts[True][2], strict=True):
        np.testing.assert_array_equal(own, other)
    assert not any(np.isin(new, whole).any() for new, whole in zip(starts[True][1], starts[True][0], strict=True))


def test_what_is_sampled_is_the_same_for_equal_replicates() -> None:
    first, second = cohort((0, 1)), cohort((1,))
    for purpose in (0, 1):
        x, y = first.sample(1, 20, purpose)
        other, labels = second.sample(0, 20, purpose)
        np.testing.assert_array_equal(x, other)
        np.testing.assert_array_equal(y, labels)
    assert not np.array_equal(first.sample(0, 20, 0)[0], first.sample(0, 20, 1)[0])
    assert len(first.sample(0, 1000)[0]) == 53 and examples(5, 0)[0].shape == (5, 13)
