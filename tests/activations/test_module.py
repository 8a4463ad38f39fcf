"""Found functions as torch modules: as objects and as exported source, equal to the genes to the last bit."""

from __future__ import annotations

import ast
import copy
import io
import pickle
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from activation_strategies import genomes, gradient, many, outputs, points, same
from hypothesis import given, settings
from torch import nn

from evosparse.activations.expression import Expression, X, parse
from evosparse.activations.genome import Genes
from evosparse.activations.module import PUBLISHED_SET, Activation, source
from evosparse.activations.primitives import PUBLISHED, SLOPES, PrimitiveSet, find_primitives
from evosparse.errors import SpecError, StoreError

ARITIES = PUBLISHED_SET.arities
POINTS = points()


def exported(text: str) -> Mapping[str, type[nn.Module]]:
    """Execute exported source where there is nothing but what it imports, and that is torch."""
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert all(name.split(".")[0] in ("torch", "__future__") for name in names)
    scope: dict[str, type[nn.Module]] = {}
    exec(compile(text, "exported", "exec", dont_inherit=True), scope)  # without what this file imports from the future
    return scope


def primitive(source_text: str, name: str, forgetful: Path) -> PrimitiveSet:
    """Return the published primitives and one of a user's, from a file of this text."""
    stem = f"file_with_{name}"
    (forgetful / f"{stem}.py").write_text(f"import torch\nfrom torch.nn import functional\n{source_text}")
    return PrimitiveSet((*PUBLISHED.values(), *find_primitives([f"{stem}.py:{name}"], forgetful)))


def test_a_thousand_random_genomes_survive_their_formula_module_and_export() -> None:
    everything = many(1000)
    for start in range(0, 1000, 100):
        some = {f"Function{number}": genes for number, genes in enumerate(everything[start : start + 100])}
        classes = exported(source({name: genes.expression for name, genes in some.items()}, PUBLISHED_SET))
        for name, genes in some.items():
            ours = outputs(genes, POINTS)
            assert same(Activation(str(genes.expression)).eval()(POINTS), ours)
            assert same(classes[name]().eval()(POINTS), ours)


@given(genomes())
@settings(max_examples=200, deadline=None)
def test_values_and_gradients_of_object_and_export_are_those_of_the_search(genes: Genes) -> None:
    values = outputs(genes, POINTS)
    slopes = gradient(partial(PUBLISHED_SET.evaluate, genes.expression), POINTS)
    module = exported(source({"Found": genes.expression}, PUBLISHED_SET))["Found"]().eval()
    for function in (Activation(genes.expression).eval(), module):
        assert same(function(POINTS), values) and same(gradient(function, POINTS), slopes)


@given(genomes())
@settings(max_examples=50, deadline=None)
def test_pickle_and_copy_give_the_same_function_back(genes: Genes) -> None:
    ours = Activation(genes.expression).eval()
    for again in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert again.expression == ours.expression and not again.training
        assert same(again(POINTS), ours(POINTS))


def test_parameters_of_a_network_fit_the_same_network_with_exported_functions() -> None:
    genes = next(own for own in many(100) if len(str(own.expression)) > 20)
    classes = exported(source({"Found": genes.expression}, PUBLISHED_SET))
    ours = nn.Sequential(nn.Linear(3, 4), Activation(genes.expression), nn.Linear(4, 2))
    theirs = nn.Sequential(nn.Linear(3, 4), classes["Found"](), nn.Linear(4, 2))
    assert list(ours.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    theirs.load_state_dict(torch.load(file, weights_only=True))
    x = torch.linspace(-2, 2, 15).view(5, 3)
    assert same(ours.eval()(x), theirs.eval()(x))


def signs(expression: Expression, x: torch.Tensor) -> torch.Tensor:
    """Return on which sides of their kinks the arguments of all primitives are, and how large they are at most.

    Args:
        expression: the function.
        x: (points,) tensor.

    Returns:
        (sides + 1, points) tensor of whole numbers; the last row is 1 where an argument is large.
    """
    rows, large = [], torch.zeros_like(x, dtype=torch.bool)
    for part in expression.parts():
        values = [PUBLISHED_SET.evaluate(argument, x) for argument in part.arguments]
        large |= sum((value.abs() > 50 for value in values), torch.zeros_like(large)) > 0
        if len(values) == 2:
            rows.append(torch.sign(values[0] - values[1]))
        elif values:
            rows += [torch.sign(values[0] - kink) for kink in (-3, -1, -0.5, 0, 0.5, 1, 3)]
    return torch.stack([*rows, large.to(x.dtype)])


@given(genomes(largest=1.0))
@settings(max_examples=200, deadline=None)
def test_gradients_are_those_of_finite_differences_away_from_kinks(genes: Genes) -> None:
    x, near = torch.linspace(-1.9, 1.9, 23, dtype=torch.float64), 1e-4
    sides = [signs(genes.expression, x + step) for step in (-near, 0, near)]
    # Numbers beyond 50 are left out with the kinks: there the differences themselves are too rough.
    smooth = (sides[0] == sides[1]).all(0) & (sides[1] == sides[2]).all(0) & (sides[1][-1] == 0)
    function = Activation(genes.expression).eval()
    assert smooth.any()
    # A constant's gradient is zero by convention, which gradcheck would take for a missing one.
    constant = all(part.value is not None or part.arguments for part in genes.expression.parts())
    assert constant or torch.autograd.gradcheck(function, (x[smooth].requires_grad_(),), atol=1e-4)


@pytest.mark.parametrize("exporting", [False, True])
def test_rrelu_is_random_in_training_and_has_its_mean_slope_after(exporting: bool) -> None:
    expression = parse("rrelu(x)", ARITIES)
    module = exported(source({"Found": expression}, PUBLISHED_SET))["Found"]() if exporting else Activation(expression)
    x = torch.tensor([-1.0, 2.0]).repeat_interleave(500)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = module(x), module(x)
        torch.manual_seed(0)
        assert same(Activation(expression)(x), first)
    assert not torch.equal(first, second) and torch.equal(first[500:], x[500:])
    slopes = -first[:500]
    assert SLOPES[0] <= slopes.min() < 0.14 and 0.32 < slopes.max() <= SLOPES[1]
    module.eval()
    torch.testing.assert_close(module(x)[:500], torch.full((500,), -sum(SLOPES) / 2))


def test_a_module_shows_its_formula() -> None:
    assert repr(Activation("max(x, tanh(x))")) == "Activation(max(x, tanh(x)))"
    text = source({"Hidden": parse("x + 0.5", ARITIES)}, PUBLISHED_SET, "found by a test")
    assert '"""f(x) = x + 0.5"""' in text and text.startswith('"""Activation functions, found by a test."""\n')


def test_a_shared_part_is_computed_once_in_the_export() -> None:
    text = source({"Found": parse("(tanh(x) + x) * (tanh(x) + x)", ARITIES)}, PUBLISHED_SET)
    assert text.count("torch.tanh") == 1 and text.count("x1 + x\n") == 1


def test_a_bad_formula_makes_no_module() -> None:
    with pytest.raises(SpecError, match="unknown primitive 'swish'"):
        Activation("swish(x)")


def test_a_users_primitive_is_exported_with_its_source(forgetful: Path) -> None:
    text = "\n\ndef bent(x, slope=0.25):\n    # kept\n    return torch.where(x > 0, x, slope * functional.silu(x))\n"
    primitives = primitive(text, "bent", forgetful)
    expression = parse("max(bent(x), 0.1 * bent(tanh(x)))", primitives.arities)
    written = source({"Hidden": expression, "Output": parse("bent(x)", primitives.arities)}, primitives)
    assert written.count("def bent(x, slope=0.25):\n    # kept\n") == 1
    ours, theirs = Activation(expression, primitives).eval(), exported(written)["Hidden"]().eval()
    assert same(theirs(POINTS), ours(POINTS)) and same(gradient(theirs, POINTS), gradient(ours, POINTS))
    assert same(pickle.loads(pickle.dumps(ours))(POINTS), ours(POINTS))


def test_types_in_a_users_primitive_do_not_hinder_its_export(forgetful: Path) -> None:
    text = "from torch import Tensor\n\n\ndef typed(x: Tensor) -> Tensor:\n    return torch.sin(x)\n"
    primitives = primitive(text, "typed", forgetful)
    classes = exported(source({"Found": parse("typed(x)", primitives.arities)}, primitives))
    assert same(classes["Found"]()(POINTS), torch.sin(POINTS))


def test_a_users_primitive_that_a_function_does_not_use_is_not_exported(forgetful: Path) -> None:
    primitives = primitive("import math\n\n\ndef needy(x):\n    return x * math.pi\n", "needy", forgetful)
    assert "needy" not in source({"Found": parse("tanh(x)", primitives.arities)}, primitives)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("with_import", "import math\n\n\ndef with_import(x):\n    return x * math.pi\n", "name 'math' is not defined"),
        ("with_global", "HALF = 0.5\n\n\ndef with_global(x):\n    return x * HALF\n", "name 'HALF' is not defined"),
        (
            "with_default",
            "HALF = 0.5\n\n\ndef with_default(x, a=HALF):\n    return x * a\n",
            "name 'HALF' is not defined",
        ),
        (
            "with_other",
            "def helper(x):\n    return x * x\n\n\ndef with_other(x):\n    return helper(x)\n",
            "name 'helper' is not defined",
        ),
        (
            "in_closure",
            "def make(slope):\n    def in_closure(x):\n        return slope * x\n\n    return in_closure\n\n\n"
            "in_closure = make(0.5)\n",
            "name 'slope' is not defined",
        ),
        (
            "with_another_meaning",
            "class functional:\n    silu = torch.sin\n\n\n"
            "def with_another_meaning(x):\n    return functional.silu(x)\n",
            "their text alone computes something else",
        ),
    ],
)
def test_a_users_primitive_that_needs_more_than_torch_is_not_exported(
    name: str, text: str, told: str, forgetful: Path
) -> None:
    primitives = primitive(text, name, forgetful)
    expression = parse(f"tanh({name}(x))", primitives.arities)
    with pytest.raises(StoreError) as refused:
        source({"Found": expression}, primitives)
    message = str(refused.value)
    assert message.startswith(f"the primitives {name} cannot be exported (") and told in message
    assert message.endswith("write them with nothing but torch and functional (torch.nn.functional)")


def test_a_primitive_without_text_is_not_exported(forgetful: Path) -> None:
    text = "space = {'torch': torch}\nexec('def untold(x): return torch.sin(x)', space)\nuntold = space['untold']\n"
    primitives = primitive(text, "untold", forgetful)
    with pytest.raises(StoreError, match="expected the text of the primitive 'untold', found none: write it with def"):
        source({"Found": parse("untold(x)", primitives.arities)}, primitives)


@pytest.mark.parametrize("reference", ["torch.nn.functional:silu", "torch.nn.functional:mish"])
def test_a_function_of_torch_is_a_primitive_and_is_exported_by_its_name(reference: str) -> None:
    (primitive,) = find_primitives([reference])
    primitives = PrimitiveSet((primitive,))
    expression = Expression(primitive.name, (X,) * primitive.arity)
    x = torch.linspace(-3, 3, 101)
    found = exported(source({"Found": expression}, primitives))["Found"]()
    assert torch.equal(found(x), primitives.evaluate(expression, x))
