"""A function of one variable as an expression: what every encoding stands for, and what people read and write.

`max(tanh(x), 0.1 * x)` is the printed form; reading it back gives the same expression.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from evosparse.errors import SpecError, nearest

VARIABLE = "x"
# Of these the order of arguments decides neither the value nor the derivative by each argument, to the last bit.
COMMUTATIVE = frozenset({"add", "mul", "max", "min"})

_SIGNS = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2)}
_OPERATORS: Mapping[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
_ATOM = 3  # binds more tightly than any sign
_DEEPEST = 100  # far beyond what any encoding makes; Python's stack is too short to print and hash much deeper ones
_SHOWN = 200  # characters of a formula in an error
LARGEST = 3.4028234663852886e38  # number of single precision, in which networks are computed


@dataclass(frozen=True)
class Expression:
    """The variable, a constant, or a primitive applied to expressions.

    Args:
        name: ``x``, the name of a primitive, or empty for a constant.
        arguments: of the primitive.
        value: of the constant.
    """

    name: str
    arguments: tuple[Expression, ...] = ()
    value: float | None = None

    def __str__(self) -> str:
        """Return the formula."""
        return self.formula

    @cached_property
    def formula(self) -> str:
        """The formula that `parse` reads."""
        if self.value is not None:
            return repr(self.value)
        if self.name in _SIGNS and len(self.arguments) == 2:
            sign, level = _SIGNS[self.name]
            left, right = self.arguments
            # Sums and products are not associative to the last bit: the right side keeps its parentheses.
            return f"{left._inside(level)} {sign} {right._inside(level + 1)}"
        return f"{self.name}({', '.join(map(str, self.arguments))})" if self.arguments else self.name

    @cached_property
    def canonical(self) -> Expression:
        """The same function with the arguments of commutative primitives in a fixed order."""
        arguments = tuple(argument.canonical for argument in self.arguments)
        if self.name in COMMUTATIVE:
            arguments = tuple(sorted(arguments, key=str))
        return Expression(self.name, arguments, self.value)

    def parts(self) -> Iterator[Expression]:
        """Yield every distinct expression inside, arguments before what they are arguments of, this one last."""
        yield from self._parts(set())

    def _parts(self, seen: set[Expression]) -> Iterator[Expression]:
        if self in seen:
            return
        for argument in self.arguments:
            yield from argument._parts(seen)
        seen.add(self)
        yield self

    def _inside(self, level: int) -> str:
        """Return the formula, in parentheses where it binds less tightly than what stands around it."""
        own = _SIGNS[self.name][1] if self.name in _SIGNS and len(self.arguments) == 2 else _ATOM
        return self.formula if own >= level else f"({self.formula})"


X = Expression(VARIABLE)


def constant(value: float) -> Expression:
    """Return a constant."""
    return Expression("", (), float(value) + 0.0)  # the two zeros are equal, and must be one expression


def parse(formula: str, arities: Mapping[str, int]) -> Expression:
    """Read a formula of ``x``, numbers, ``+``, ``-``, ``*`` and primitives.

    Args:
        formula: such as ``max(tanh(x), 0.1 * x)``.
        arities: number of arguments of each primitive by name.

    Raises:
        SpecError: it is no such formula.
    """
    try:
        return _read(ast.parse(formula.strip(), mode="eval").body, arities, formula, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        example = "write one such as max(tanh(x), 0.1 * x)"
        raise SpecError(f"expected a formula of x, got {_shown(formula)} ({type(error).__name__}): {example}") from None


def _read(node: ast.expr, arities: Mapping[str, int], formula: str, depth: int) -> Expression:
    if depth > _DEEPEST:
        expected = f"at most {_DEEPEST} primitives inside each other"
        raise SpecError(f"{_shown(formula)}: expected {expected}, got more: shorten it")
    if isinstance(node, ast.Name) and node.id == VARIABLE:
        return X
    number = _number(node)
    if number is not None:
        return constant(number)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _apply(_OPERATORS[type(node.op)], (node.left, node.right), arities, formula, depth)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _apply(node.func.id, tuple(node.args), arities, formula, depth)
    expected = "x, a number of single precision, +, -, * or a primitive with its arguments"
    raise SpecError(f"{_shown(formula)}: expected {expected}, got {_shown(ast.unparse(node))}: mend it")


def _apply(
    name: str, arguments: tuple[ast.expr, ...], arities: Mapping[str, int], formula: str, depth: int
) -> Expression:
    if name not in arities:
        raise SpecError(f"{_shown(formula)}: unknown primitive {_shown(name)}: {nearest(name, arities)}")
    if len(arguments) != arities[name]:
        expected = f"{arities[name]} argument{'s' * (arities[name] != 1)} of {name}"
        raise SpecError(f"{_shown(formula)}: expected {expected}, got {len(arguments)}: mend it")
    return Expression(name, tuple(_read(argument, arities, formula, depth + 1) for argument in arguments))


def _number(node: ast.expr) -> float | None:
    """Return the value of a number with or without a minus."""
    minus = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    plain = node.operand if minus else node
    if not isinstance(plain, ast.Constant) or type(plain.value) not in (int, float) or abs(plain.value) > LARGEST:
        return None
    return -float(plain.value) if minus else float(plain.value)


def _shown(text: str) -> str:
    """Return text for an error: quoted, on one line, and without its end where it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
