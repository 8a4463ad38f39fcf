"""Activation campaigns in Python: the fitness, its options, the examination, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evosparse import Campaign, Evaluation, Invalid, SeedKey, activations, fitness
from evosparse.activations.examination import ExaminationBench, Examiner, TripleTrial, train_to_the_end
from evosparse.activations.genome import Triple, given
from evosparse.activations.module import Activation
from evosparse.activations.primitives import primitive_of
from evosparse.data import DataSet, SearchData, merged
from evosparse.engine.fitness import Resources
from evosparse.errors import DataError, SpecError
from evosparse.nets import NetworkSpec, TrainingSpec

NETWORK = NetworkSpec(name="mlp", hidden=(8, 8, 8))
TRAINING = TrainingSpec(optimizer="adam", learning_rate=0.01, batch=50)
EXAMINATION = activations.ExaminationSpec(epochs=5, seeds=2)


def problem(data: DataSet, **options: object) -> activations.Problem:
    search = options.pop("search", activations.Coevolution(n=2))
    chosen = {"training": TRAINING, "examination": EXAMINATION} | options
    return activations.Problem(NETWORK, data, search, **chosen)


def prepared(made: activations.Problem) -> activations.TrainedFitness:
    made.stage.fitness.prepare(Resources(made.bench))
    return made.stage.fitness


def triple(made: activations.Problem, *formulas: str) -> Triple:
    genes = [given(formula, made.bench.roles, made.bench.primitives, "test").genes[0] for formula in formulas]
    return Triple(made.bench.roles, tuple(genes))


def keys(count: int) -> list[SeedKey]:
    return [SeedKey(0).child("evaluate", number) for number in range(count)]


def test_a_campaign_finds_functions_and_examines_them_beside_the_standard_ones(moons: DataSet, tmp_path: Path) -> None:
    with Campaign(problem(moons), 0, tmp_path / "run", evaluation=Evaluation(batch=4, workers=0)) as campaign:
        arms = {arm.name: arm for arm in campaign.run()}
        assert sum(campaign.logbook.select("candidates")) == 12 * 2 - 9 + 1
        assert arms.keys() == {"winner", "relu(x) everywhere", "leaky_relu(x) everywhere"}
        for arm in arms.values():
            assert len(arm.measures["test_accuracy"].values) == 2 and "test_accuracy_best" not in arm.measures
        best = campaign.hall_of_fame[0]
        baseline = campaign.store.candidate("0.0")
        assert best.outcome.measures["accuracy"] >= baseline.outcome.measures["accuracy"]


def test_fitness_is_that_of_networks_trained_alone(moons: DataSet) -> None:
    made = problem(moons)
    triples = [triple(made, "tanh(x)", "relu(x)", "max(x, 0.0)"), triple(made, "x", "x * x", "celu(x)")]
    together = prepared(made).evaluate(triples, keys(2))
    alone = [prepared(made).evaluate([own], [key])[0] for own, key in zip(triples, keys(2), strict=True)]
    assert together == alone
    for own, key, measures in zip(triples, keys(2), together, strict=True):
        curve = []
        for epochs in (1, 2, 3):
            population = made.bench.population([own], [made.bench.seeds(key)], 3)
            population.train(made.bench.train.x, made.bench.train.y, epochs)
            curve.append(population.accuracy(made.bench.validation.x, made.bench.validation.y)[0])
        assert measures == {"accuracy": max(curve), "accuracy_last": curve[-1]}


def test_the_accuracies_of_the_epochs_and_repeats_are_reduced_as_told(moons: DataSet) -> None:
    chosen = {}
    for reduce in ("max", "last", "mean"):
        made = problem(moons, fitness=activations.FitnessSpec(epochs=4, reduce=reduce, repeats=3))
        (chosen[reduce],) = prepared(made).evaluate([triple(made, "x", "tanh(x)", "x")], keys(1))
    assert chosen["max"]["accuracy"] >= chosen["mean"]["accuracy"]
    assert chosen["last"]["accuracy"] == chosen["last"]["accuracy_last"] == chosen["max"]["accuracy_last"]
    made = problem(moons, fitness=activations.FitnessSpec(epochs=4, reduce="last"))
    (key,) = keys(1)
    single = []
    for replicate in range(3):
        population = made.bench.population([triple(made, "x", "tanh(x)", "x")], [made.bench.seeds(key, replicate)], 4)
        population.train(made.bench.train.x, made.bench.train.y, 4)
        single.append(population.accuracy(made.bench.validation.x, made.bench.validation.y)[0])
    assert chosen["last"]["accuracy"] == pytest.approx(np.mean(single), abs=1e-15)


def test_shared_initial_weights_are_shared(moons: DataSet) -> None:
    apart, shared = problem(moons), problem(moons, fitness=activations.FitnessSpec(individual_weights=False))
    first, second = keys(2)
    assert apart.bench.seeds(first).weights != apart.bench.seeds(second).weights
    assert shared.bench.seeds(first) == shared.bench.seeds(second)
    assert apart.bench.seeds(first).order == apart.bench.seeds(second).order


def test_flawed_functions_and_divergence_are_outcomes_and_touch_no_other(moons: DataSet) -> None:
    made = problem(moons, training=TrainingSpec(optimizer="sgd", learning_rate=1000.0, batch=50))
    sound = triple(made, "tanh(x)", "hardtanh(x)", "tanh(x)")
    constant, diverging = triple(made, "x", "x - x", "x"), triple(made, "x * x", "x * x * x", "x * x")
    results = prepared(made).evaluate([constant, sound, diverging], keys(3))
    assert isinstance(results[0], Invalid) and "the hidden function x - x is constant" in results[0].reason
    assert isinstance(results[2], Invalid) and "diverged" in results[2].reason and "after epoch 1" in results[2].reason
    assert results[1] == prepared(made).evaluate([sound], keys(3)[1:2])[0]
    trained = problem(moons, fitness=activations.FitnessSpec(refuse_flawed=False))
    assert 0 <= prepared(trained).evaluate([constant], keys(1))[0]["accuracy"] <= 1


def test_a_primitive_without_a_slope_at_zero_can_be_trained_whatever_the_widths(moons: DataSet) -> None:
    primitives = activations.PrimitiveSet((primitive_of(root, "root"),))
    bench = replace(problem(moons).bench, primitives=primitives, computation="tensors")
    own = given("root(x)", bench.roles, primitives, "test")
    population = bench.train_networks([own], keys(1), 3)
    assert np.isfinite(population.logits(moons.test.x)).all()


def root(x: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(torch.abs(x))


def test_the_test_set_cannot_reach_a_search(moons: DataSet) -> None:
    made = problem(moons)
    with pytest.raises(DataError, match="expected the validation part as Validation, got Test"):
        SearchData(moons.search.train, moons.test, 2, (2,))
    with pytest.raises(TypeError, match="without a test set, got ExaminationBench"):
        made.stage.fitness.prepare(Resources(made.examination.data))
    blind = DataSet("moons", moons.search, replace(moons.test, y=1 - moons.test.y), moons.class_names, moons.spare)
    triples, own = [triple(made, "tanh(x)", "relu(x)", "celu(x)")], keys(1)
    assert prepared(problem(blind)).evaluate(triples, own) == prepared(made).evaluate(triples, own)


def test_the_examination_trains_on_train_and_validation_and_chooses_the_epoch_by_spare_examples(moons: DataSet) -> None:
    made = problem(moons, examination=activations.ExaminationSpec(epochs=6, seeds=1, published_trace=True))
    trial, key = TripleTrial("winner", 0, triple(made, "tanh(x)", "tanh(x)", "tanh(x)")), SeedKey(3).child("examine", 0)
    made.examination.fitness.prepare(Resources(made.examination.data))
    (measures,) = made.examination.fitness.evaluate([trial], [key])
    whole = merged(moons.search)
    assert len(whole) == 300
    tests, spares = [], []
    for epochs in range(1, 7):
        population = made.bench.population([trial.triple], [made.bench.seeds(key.root.child("examination"))], 6)
        population.train(whole.x, whole.y, epochs)
        tests.append(population.accuracy(moons.test.x, moons.test.y)[0])
        spares.append(population.accuracy(moons.spare.x, moons.spare.y)[0])
    assert measures == {
        "test_accuracy": tests[-1],
        "train_accuracy": population.accuracy(whole.x, whole.y)[0],
        "test_accuracy_selected": tests[int(np.argmax(spares))],
        "test_accuracy_best": max(tests),
    }
    network = train_to_the_end(made.examined, trial, key, 6)
    assert network.accuracy(moons.test.x, moons.test.y)[0] == tests[-1]


def test_without_spare_examples_only_the_last_epoch_is_reported(moons: DataSet) -> None:
    made = problem(DataSet("moons", moons.search, moons.test, moons.class_names))
    examiner = Examiner(2, published_trace=False)
    examiner.prepare(Resources(made.examination.data))
    (measures,) = examiner.evaluate([TripleTrial("winner", 0, triple(made, "x", "tanh(x)", "x"))], keys(1))
    assert measures.keys() == {"test_accuracy", "train_accuracy"}
    assert isinstance(made.examination.data, ExaminationBench) and made.examination.data.spare is None


def test_all_arms_of_a_replicate_share_their_seeds_and_replicates_do_not(moons: DataSet) -> None:
    made = problem(moons)
    examiner = made.examination.fitness
    examiner.prepare(Resources(made.examination.data))
    own = triple(made, "tanh(x)", "tanh(x)", "tanh(x)")
    trials = [TripleTrial("winner", 0, own), TripleTrial("other", 0, own), TripleTrial("winner", 1, own)]
    first, second, third = examiner.evaluate(trials, [SeedKey(0).child("examine", trial.replicate) for trial in trials])
    assert first == second != third


def test_the_examined_network_is_that_of_plain_torch(moons: DataSet) -> None:
    made = problem(moons)
    own = triple(made, "tanh(x)", "max(x, tanh(x))", "elu(x)")
    key = SeedKey(5).child("examine", 0)
    population = train_to_the_end(made.examined, TripleTrial("winner", 0, own), key, 2)
    plain = nn.Sequential(
        nn.Linear(2, 8), Activation("tanh(x)"), nn.Linear(8, 8), Activation("max(x, tanh(x))"),
        nn.Linear(8, 8), Activation("elu(x)"), nn.Linear(8, 2),
    )  # fmt: skip
    state = {name: torch.from_numpy(values) for name, values in population.state(0).items()}
    names = dict(zip(plain.state_dict(), state, strict=True))
    plain.load_state_dict({name: state[other] for name, other in names.items()})
    logits = plain(torch.from_numpy(moons.test.x.copy())).detach().numpy()
    np.testing.assert_allclose(population.logits(moons.test.x)[0], logits, rtol=1e-4, atol=1e-5)


def test_a_users_fitness_over_triples_drives_the_search(moons: DataSet, tmp_path: Path) -> None:
    @fitness(minimize="length")
    def short(genome, data):  # noqa: ANN001, ANN202
        return len(genome.describe()) + 0 * len(data.train)

    made = problem(moons, fitness=short, search=activations.Single(n=6))
    with Campaign(made, 0, tmp_path / "run", evaluation=Evaluation(batch=4, workers=0)) as campaign:
        campaign.run()
        assert campaign.hall_of_fame[0].genome.describe() == "x everywhere"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"training": TrainingSpec(kernel="packed")}, "training.kernel: packed gives all networks the same activation"),
        ({"functions": activations.FunctionsSpec(primitives=("tanh", "rellu"))}, "unknown primitive 'rellu'.*relu"),
        ({"functions": activations.FunctionsSpec(primitives=("rrelu",), rrelu="exclude")}, "got none"),
        ({"functions": activations.FunctionsSpec(primitives=("tanh", "tanh"))}, "got 'tanh' twice"),
        ({"search": activations.Coevolution(baseline="rellu(x)")}, "search.baseline: .rellu.x..: unknown primitive 'rellu'"),
        ({"search": activations.Standard(functions=("max(x)",))}, "search.functions: .*expected 2 arguments of max, got 1"),
        ({"examination": activations.ExaminationSpec(baselines=("x /",))}, "examination.baselines: expected a formula of x"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(moons: DataSet, options: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        problem(moons, **options)


def test_a_network_without_slots_is_refused(moons: DataSet) -> None:
    with pytest.raises(SpecError, match="expected places for activation functions"):
        activations.Problem(NetworkSpec(name="mlp", hidden=()), moons)


def test_a_fitness_with_several_objectives_is_refused(moons: DataSet) -> None:
    @fitness(maximize=("a", "b"))
    def two(genome):  # noqa: ANN001, ANN202
        return {"a": 1.0, "b": 2.0}

    with pytest.raises(SpecError, match="expected one objective for search method coevolution, got a, b"):
        problem(moons, fitness=two)


def test_the_campaign_records_how_functions_are_computed(moons: DataSet) -> None:
    made = problem(moons)
    assert made.spec.functions.computation == ("tensors" if torch.cuda.is_available() else "compiled")
    assert made.spec.training.kernel == "dense"
    assert "15 evaluations (equal budget), and the baseline" in made.notes[0]


def test_both_computations_give_close_results(moons: DataSet) -> None:
    results = []
    for computation in ("compiled", "tensors"):
        made = problem(moons, functions=activations.FunctionsSpec(computation=computation))
        own = [triple(made, "tanh(x)", "rrelu(x)", "max(elu(x), x * x)"), triple(made, "x", "softshrink(x)", "hardswish(x)")]
        results.append([measures["accuracy"] for measures in prepared(made).evaluate(own, keys(2))])
    np.testing.assert_allclose(*results, atol=0.03)
