"""A found function as an ordinary torch module: as an object, and as Python source that needs nothing but torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from evosparse.activations.expression import Expression, parse
from evosparse.activations.primitives import PUBLISHED, RANDOM, SLOPES, Primitive, PrimitiveSet
from evosparse.errors import StoreError

PUBLISHED_SET = PrimitiveSet(tuple(PUBLISHED.values()))


class Activation(nn.Module):
    """An activation function without parameters; ``rrelu`` draws its slopes in training, and has their mean after.

    Args:
        function: an expression, or its formula.
        primitives: of which it is made; by default the published ones.

    Raises:
        SpecError: the formula cannot be read.
    """

    def __init__(self, function: Expression | str, primitives: PrimitiveSet = PUBLISHED_SET) -> None:
        super().__init__()
        self.expression = parse(function, primitives.arities) if isinstance(function, str) else function
        self.primitives = primitives

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the function elementwise."""
        values: dict[Expression, torch.Tensor] = {}
        for part in self.expression.parts():
            if part.value is not None:
                values[part] = torch.full_like(x, part.value)
            elif not part.arguments:
                values[part] = x
            elif part.name == RANDOM:
                values[part] = functional.rrelu(values[part.arguments[0]], *SLOPES, training=self.training)
            else:
                function = self.primitives.named(part.name).function
                values[part] = function(*(values[argument] for argument in part.arguments))
        return values[self.expression]

    def extra_repr(self) -> str:
        """Return the formula."""
        return self.expression.formula


def source(functions: Mapping[str, Expression], primitives: PrimitiveSet, note: str = "") -> str:
    """Return a Python module with a torch module for each function; it needs nothing but torch.

    Args:
        functions: by the name of the class.
        primitives: of which they are made.
        note: goes into the text's first lines.

    Raises:
        StoreError: a user's primitive needs more than ``torch`` and ``functional``, its text cannot be found, or it
            computes something else by itself.
    """
    names = {part.name for expression in functions.values() for part in expression.parts() if part.arguments}
    used = [primitives.named(name) for name in sorted(names)]
    own = [primitive for primitive in used if primitive.source.startswith(f"{primitive.name}(")]
    for primitive in own:
        if not primitive.definition:
            what = f"expected the text of the primitive {primitive.name!r}"
            raise StoreError(f"{what}, found none: write it with def in a file")
    parts = [
        f'"""Activation functions{note and f", {note}"}."""',
        # The types that a user's primitive names need not be there.
        ("from __future__ import annotations\n\n" if own else "")
        + "import torch\nfrom torch import nn\nfrom torch.nn import functional",
        *(primitive.definition.rstrip() for primitive in own),
        *(_class(name, expression, primitives) for name, expression in functions.items()),
    ]
    text = "\n\n\n".join(parts) + "\n"
    x = torch.linspace(-3, 3, 32).view(1, 32)
    try:
        scope: dict[str, object] = {"__name__": "activations"}
        exec(compile(text, "activations", "exec", dont_inherit=True), scope)
        computed = {name: scope[name]().eval()(x) for name in functions}
    except Exception as error:
        raise _not_exported(own, f"{type(error).__name__}: {error}") from error
    for name, expression in functions.items():
        # A name of torch's may have meant something else where the primitive was written.
        if not torch.allclose(computed[name], primitives.evaluate(expression, x), rtol=0, atol=0, equal_nan=True):
            raise _not_exported(own, "their text alone computes something else")
    return text


def _not_exported(own: Sequence[Primitive], why: str) -> StoreError:
    names = ", ".join(primitive.name for primitive in own)
    return StoreError(
        f"the primitives {names} cannot be exported ({why}): write them with nothing but torch and functional"
        " (torch.nn.functional)"
    )


def _class(name: str, expression: Expression, primitives: PrimitiveSet) -> str:
    lines, names = [], {}
    for part in expression.parts():
        if part.value is None and not part.arguments:
            names[part] = "x"
            continue
        names[part] = f"x{len(lines) + 1}"
        call = f"torch.full_like(x, {part.value!r})"
        if part.arguments:
            call = primitives.named(part.name).source.format(*(names[argument] for argument in part.arguments))
        lines.append(f"        {names[part]} = {call}")
    head = f'class {name}(nn.Module):\n    """f(x) = {expression.formula}"""\n\n    def forward(self, x):'
    return "\n".join([head, *lines, f"        return {names[expression]}"])
