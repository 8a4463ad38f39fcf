"""Formulas: what is printed is read back as the same function, and what is no formula is refused without running it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from activation_strategies import genomes, gradient, outputs, points, same
from hypothesis import given, settings

from evosparse.activations.expression import LARGEST, Expression, X, constant, parse
from evosparse.activations.genome import Genes
from evosparse.activations.module import PUBLISHED_SET
from evosparse.errors import SpecError

ARITIES = PUBLISHED_SET.arities
POINTS = points()


@given(genomes())
@settings(max_examples=400, deadline=None)
def test_a_printed_formula_is_read_as_the_function_of_the_genes(genes: Genes) -> None:
    expression = genes.expression
    read = parse(str(expression), ARITIES)
    assert read == expression and str(read) == str(expression)
    assert same(PUBLISHED_SET.evaluate(read, POINTS), outputs(genes, POINTS))


@given(genomes())
@settings(max_examples=200, deadline=None)
def test_the_canonical_form_has_the_same_values(genes: Genes) -> None:
    canonical = genes.expression.canonical
    assert canonical.canonical == canonical == parse(str(canonical), ARITIES)
    assert same(PUBLISHED_SET.evaluate(canonical, POINTS), outputs(genes, POINTS))


@given(genomes(largest=1.0))
@settings(max_examples=200, deadline=None)
def test_both_forms_have_the_gradient_of_the_genes_but_for_rounding(genes: Genes) -> None:
    # Where x is used more than twice its gradient is a sum of parts, which every form adds in an order of its own: the
    # last bits of the largest part may differ. On these points and to this depth no part exceeds a few millions.
    x = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    expected = gradient(lambda x: outputs(genes, x), x)
    for form in (genes.expression, genes.expression.canonical):
        ours = gradient(partial(PUBLISHED_SET.evaluate, form), x)
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(
    ("formula", "other"),
    [
        ("max(tanh(x), x)", "max(x, tanh(x))"),
        ("min(relu(x), 0.5)", "min(0.5, relu(x))"),
        ("x + elu(x)", "elu(x) + x"),
        ("tanh(x * (0.1 + x))", "tanh((x + 0.1) * x)"),
    ],
)
def test_the_order_of_commutative_arguments_is_not_in_the_canonical_form(formula: str, other: str) -> None:
    first, second = parse(formula, ARITIES), parse(other, ARITIES)
    assert first != second and first.canonical == second.canonical


@pytest.mark.parametrize(
    ("formula", "other"), [("x - tanh(x)", "tanh(x) - x"), ("x + (x + tanh(x))", "x + x + tanh(x)"), ("0.1", "0.2")]
)
def test_different_functions_have_different_canonical_forms(formula: str, other: str) -> None:
    assert parse(formula, ARITIES).canonical != parse(other, ARITIES).canonical


@pytest.mark.parametrize(
    "formula",
    [
        "x", "0.1", "-2.0", "1e-05", "x - (x - x)", "x - x - x", "x * (x + x)", "x * x + x", "x + x * x", "x * (x * x)",
        "-0.5 * x", "x - -0.5", "max(tanh(x), 0.1 * x)", "tanh(x + 1.0) * max(x, x - 2.0)", "(x - x) * (x + -1.0)",
    ],
)  # fmt: skip
def test_a_formula_is_printed_with_the_parentheses_it_needs(formula: str) -> None:
    assert str(parse(formula, ARITIES)) == formula


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("  max( x,tanh( x ) ) ", "max(x, tanh(x))"),
        ("((x))", "x"),
        ("add(x, mul(x, 2))", "x + x * 2.0"),
        ("-(2)", "-2.0"),
        ("-0.0", "0.0"),
        ("(x\n + 1)", "x + 1.0"),
    ],
)
def test_the_same_formula_may_be_written_otherwise(written: str, printed: str) -> None:
    assert str(parse(written, ARITIES)) == printed


def test_every_part_comes_once_and_after_its_arguments() -> None:
    formula = "max(tanh(x) + 0.5, tanh(x) * tanh(x))"
    parts = list(parse(formula, ARITIES).parts())
    assert list(map(str, parts)) == ["x", "tanh(x)", "0.5", "tanh(x) + 0.5", "tanh(x) * tanh(x)", formula]
    for number, part in enumerate(parts):
        assert set(part.arguments) <= set(parts[:number])


def test_parts_of_a_function_that_doubles_itself_are_found_at_once() -> None:
    expression = X
    for _ in range(12):  # as deep as a grid can be: 4,096 uses of x
        expression = Expression("add", (expression, expression))
    assert len(list(expression.parts())) == 13 and str(expression).count("x") == 2**12


def test_constants_print_as_they_are() -> None:
    for value in (0.1, -1.5, 1e-300, 3.0, LARGEST, -LARGEST):
        assert parse(str(constant(value)), ARITIES) == constant(value) and constant(value).value == value


BAD = [
    ("", "expected a formula of x, got ''"),
    ("x +", "write one such as"),
    ("x; x", "write one such as"),
    ("x\nx", "write one such as"),
    ("x\0", "write one such as"),
    ("\ud800", "write one such as"),
    ("y = x", "write one such as"),
    ("x:=1", "write one such as"),
    ("9" * 5000, "write one such as"),
    ("tnah(x)", "unknown primitive 'tnah': did you mean 'tanh'?"),
    ("max(leakyrelu(x), x)", "did you mean 'leaky_relu'?"),
    ("__import__('os')", "unknown primitive '__import__'"),
    ("tanh(x, x)", "expected 1 argument of tanh, got 2"),
    ("max(x)", "expected 2 arguments of max, got 1"),
    ("max(x, x, x)", "expected 2 arguments of max, got 3"),
    ("tanh()", "expected 1 argument of tanh, got 0"),
    ("tanh(*x)", "got '*x'"),
    ("y", "got 'y'"),
    ("tanh", "got 'tanh'"),
    ("inf", "got 'inf'"),
    ("nan", "got 'nan'"),
    ("1e999", "a number of single precision"),
    ("-1e999 * x", "a number of single precision"),
    ("1e39 * x", "got '1e+39'"),
    ("1" + "0" * 400, "a number of single precision"),
    ("True", "got 'True'"),
    ("1j", "got '1j'"),
    ("'x'", "got \"'x'\""),
    ("tanh('x')", "got \"'x'\""),
    ("f'{x}'", "got \"f'{x}'\""),
    ("x / x", "got 'x / x'"),
    ("x ** 2", "got 'x ** 2'"),
    ("-x", "got '-x'"),
    ("x if x else x", "got 'x if x else x'"),
    ("x < x", "got 'x < x'"),
    ("[x]", "got '[x]'"),
    ("lambda: x", "got 'lambda: x'"),
    ("x.data", "got 'x.data'"),
    ("tanh(x).data", "got 'tanh(x).data'"),
    ("x.__class__()", "got 'x.__class__()'"),
    ("tanh(x)(x)", "got 'tanh(x)(x)'"),
    ("tanh(x=x)", "got 'tanh(x=x)'"),
    ("tanh(x, x=x)", "got 'tanh(x, x=x)'"),
    ("tanh(" * 101 + "x" + ")" * 101, "expected at most 100 primitives inside each other"),
    ("tanh(" * 5000 + "x" + ")" * 5000, "write one such as"),
    ("(" * 5000 + "x" + ")" * 5000, "write one such as"),
    ("--1", "got '--1'"),
    ("-" * 900 + "1", "expected "),
    ("x" + " + x" * 101, "expected at most 100 primitives inside each other"),
    ("x" + " + x" * 900, "expected at most 100 primitives inside each other"),
    ("x / (x" + " + x" * 900 + ")", "write one such as"),
]


@pytest.mark.parametrize(("formula", "told"), BAD, ids=lambda text: ascii(text[:30]))
def test_what_is_no_formula_is_refused_with_one_line(formula: str, told: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(formula, ARITIES)
    message = str(refused.value)
    assert told in message and message.isprintable() and len(message) < 700
    assert ascii(formula[:20])[1:-1] in message or repr(formula[:20])[1:-1] in message


def test_reading_a_formula_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls = [
        "__import__('pathlib').Path('made').touch()",
        "tanh(__import__('pathlib').Path('made').touch())",
        "open('made', 'w')",
        "(lambda: open('made', 'w'))()",
        "[open('made', 'w') for _ in 'x'][0]",
        "exec(\"open('made', 'w')\")",
    ]
    for formula in calls:
        with pytest.raises(SpecError):
            parse(formula, ARITIES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "formula",
    [
        "tanh(" * 100 + "x" + ")" * 100,
        "x" + " + x" * 100,
        "x - (" * 99 + "x - x" + ")" * 99,
        "max(x, " * 100 + "x" + ")" * 100,
    ],
    ids=["calls", "sum", "differences", "maxima"],
)
def test_the_deepest_formula_that_is_read_can_be_used(formula: str) -> None:
    expression = parse(formula, ARITIES)
    assert parse(str(expression), ARITIES) == expression and str(expression) == formula
    assert hash(expression.canonical) == hash(expression.canonical.canonical)
    assert PUBLISHED_SET.evaluate(expression, torch.zeros(1)).shape == (1,)
