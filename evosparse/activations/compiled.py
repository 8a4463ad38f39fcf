"""The functions of a whole population in one pass over its pre-activations, compiled for the processor.

Each function is a list of instructions that runs over blocks small enough for the nearest cache. Values and derivatives
come together (forward mode: a function of one variable has one derivative), so going backwards is one product. Every
number is computed from one pre-activation alone, in the same way wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from torch.autograd.function import FunctionCtx, once_differentiable

from evosparse.activations.expression import Expression
from evosparse.activations.noise import MEAN_SLOPE, slopes
from evosparse.activations.primitives import PUBLISHED, RANDOM, PrimitiveSet

_BLOCK = 256  # numbers that all instructions are applied to before the next ones are loaded
_LEAKY_SLOPE = 0.01

_CONSTANT, _RANDOM_SLOPE = 15, 16
_CODES: Mapping[str, int] = {name: code for code, name in enumerate(PUBLISHED)}
_LEAKY = _CODES["leaky_relu"]


def can_compile(primitives: PrimitiveSet) -> bool:
    """Whether all primitives are published ones: a user's are known to torch alone."""
    return all(PUBLISHED.get(primitive.name) is primitive for primitive in primitives.primitives)


@dataclass(frozen=True)
class Program:
    """A function as instructions, each of which writes the register of its own number plus one; register 0 is ``x``.

    Args:
        codes: (instructions, 3) int32: what to do, and the registers to read.
        values: (instructions,) float32: a slope or a constant.
        random: the instructions that apply ``rrelu``.
    """

    codes: np.ndarray
    values: np.ndarray
    random: tuple[int, ...]


def program(function: Expression) -> Program:
    """Translate a function."""
    codes, values, random, registers = [], [], [], {}
    for part in function.parts():
        if part.value is None and not part.arguments:
            registers[part] = 0
            continue
        value, code = 0.0, _CONSTANT
        if part.value is not None:
            value = part.value
        elif part.name == RANDOM:
            code, value = _LEAKY, MEAN_SLOPE
            random.append(len(codes))
        else:
            code, value = _CODES[part.name], _LEAKY_SLOPE
        read = [registers[argument] for argument in part.arguments] + [0, 0]
        codes.append((code, read[0], read[1]))
        values.append(value)
        registers[part] = len(codes)
    return Program(np.array(codes, np.int32).reshape(-1, 3), np.array(values, np.float32), tuple(random))


Joined = tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]
"""Instructions of all networks, their values, where each network's begin, and the seeds of their random slopes."""


class CompiledActivations:
    """Activation functions of a population on the CPU, of published primitives alone (see `nets.Activations`).

    Args:
        functions: for each slot, the function of each network.
        seeds: of each network, for random slopes.
        always_random: draw random slopes in evaluation too.
    """

    def __init__(self, functions: Sequence[Sequence[Expression]], seeds: Sequence[int], always_random: bool) -> None:
        self._seeds = list(seeds)
        self._always_random = always_random
        made = {function: program(function) for own in functions for function in own}
        self._programs = [[made[function] for function in own] for own in functions]
        self._joined: dict[tuple[int, int, int, bool], Joined] = {}

    def apply(self, place: int, x: torch.Tensor, networks: slice, step: int | None) -> torch.Tensor:
        """Apply each network's own function (see `nets.Activations`)."""
        return _Compiled.apply(x.float(), *self._code(place, networks, x.shape[1:], step)).to(x.dtype)

    def differentiate(
        self, place: int, x: torch.Tensor, networks: slice, step: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values and derivatives of each network's own function (see `nets.Activations`)."""
        return _execute(x, *self._code(place, networks, x.shape[1:], step))

    def _code(
        self, place: int, networks: slice, shape: Sequence[int], step: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return instructions, their values, where each network's begin, and random slopes."""
        random = step is not None or self._always_random
        where = (place, networks.start, networks.stop, random)
        if where not in self._joined:
            self._joined[where] = _join(self._programs[place][networks], self._seeds[networks] if random else None)
        codes, values, starts, seeds = self._joined[where]
        noise = slopes(seeds, place, shape, step).flatten(1).numpy() if seeds else np.empty((0, 1), np.float32)
        return codes, values, starts, noise


class _Compiled(torch.autograd.Function):
    """Applies programs, and keeps their derivatives for the way back."""

    @staticmethod
    def forward(
        context: FunctionCtx,
        x: torch.Tensor,
        codes: np.ndarray,
        values: np.ndarray,
        starts: np.ndarray,
        noise: np.ndarray,
    ) -> torch.Tensor:
        out, derivative = _execute(x, codes, values, starts, noise)
        context.save_for_backward(derivative)
        return out

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, error: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (derivative,) = context.saved_tensors
        # In place: memory that is there already is faster than new one, and the graph is gone through once.
        return derivative.mul_(error), None, None, None, None


def _execute(
    x: torch.Tensor, codes: np.ndarray, values: np.ndarray, starts: np.ndarray, noise: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values and the derivatives of each network's function."""
    out, derivative = torch.empty_like(x), torch.empty_like(x)
    flat = [tensor.detach().view(len(x), -1).numpy() for tensor in (x, out, derivative)]
    registers = np.empty((2, int(np.diff(starts).max(initial=0)) + 1, _BLOCK), np.float32)
    _run(codes, values, starts, noise, registers, np.empty(_BLOCK, np.int32), *flat)
    return out, derivative


def _join(programs: Sequence[Program], seeds: Sequence[int] | None) -> Joined:
    """Put the instructions of all networks one after the other.

    Args:
        programs: of each network.
        seeds: of each network, where ``rrelu`` reads drawn slopes in place of their mean.
    """
    starts = np.cumsum([0, *(len(own.codes) for own in programs)], dtype=np.int64)
    codes = np.concatenate([own.codes for own in programs])
    values = np.concatenate([own.values for own in programs])
    drawn = list(dict.fromkeys(seeds)) if seeds is not None and any(own.random for own in programs) else []
    for start, own, seed in zip(starts, programs, seeds if drawn else ()):
        for instruction in own.random:
            codes[start + instruction, 0] = _RANDOM_SLOPE
            codes[start + instruction, 2] = drawn.index(seed)
    return codes, values, starts, drawn


def _compiled(function: Callable) -> Callable:
    try:
        return njit(cache=True, fastmath={"contract"}, error_model="numpy")(function)
    except RuntimeError:  # there is no folder that numba may write to: compile in each process
        return njit(fastmath={"contract"}, error_model="numpy")(function)


@_compiled
def _run(codes, values, starts, noise, registers, bits, x, out, derivative):  # noqa: ANN001
    """Run each network's program over its numbers.

    codes (instructions, 3), values (instructions,), starts (networks + 1,), noise (draws, numbers), registers
    (2, most, block) for values and derivatives, bits (block,) scratch; x, out, derivative (networks, numbers).
    """
    block = registers.shape[2]
    value, slope = registers[0], registers[1]
    for network in range(len(starts) - 1):
        first, last = starts[network], starts[network + 1]
        for start in range(0, x.shape[1], block):
            count = min(block, x.shape[1] - start)
            u, du = value[0], slope[0]
            # Views, in which indices count from zero: otherwise the compiler must expect negative ones.
            numbers, results, derivatives = x[network, start:], out[network, start:], derivative[network, start:]
            for i in range(count):
                u[i] = numbers[i]
            # The rest of the last block is computed too, so that every number goes through the same vector code.
            for i in range(count, block):
                u[i] = 0.0
            for i in range(block):
                du[i] = 1.0
            for instruction in range(first, last):
                code, a, b = codes[instruction]
                target = instruction - first + 1
                u, du, w, dw = value[a], slope[a], value[target], slope[target]
                if code < 5:
                    _binary(code, u, du, value[b], slope[b], w, dw)
                elif code == _CONSTANT:
                    for i in range(block):
                        w[i] = values[instruction]
                        dw[i] = 0.0
                elif code == _RANDOM_SLOPE:
                    for i in range(count, block):
                        w[i] = 0.0
                        dw[i] = 0.0
                    drawn = noise[b, start:]
                    for i in range(count):
                        factor = np.float32(1.0) if u[i] > 0 else drawn[i]
                        w[i] = u[i] * factor
                        dw[i] = du[i] * factor
                else:
                    _unary(code, values[instruction], u, du, w, dw, bits)
            w, dw = value[last - first], slope[last - first]
            for i in range(count):
                results[i] = w[i]
                derivatives[i] = dw[i]


@_compiled
def _binary(code, u, du, v, dv, w, dw):  # noqa: ANN001
    """Apply max, min, add, sub or mul to a block; where two are equal, max and min pass half of each gradient."""
    half = np.float32(0.5)
    if code == 0:
        for i in range(len(w)):
            w[i] = u[i] if u[i] > v[i] or u[i] != u[i] else v[i]
            both = half * (du[i] + dv[i])
            dw[i] = du[i] if u[i] > v[i] else dv[i] if v[i] > u[i] else both
    elif code == 1:
        for i in range(len(w)):
            w[i] = u[i] if u[i] < v[i] or u[i] != u[i] else v[i]
            both = half * (du[i] + dv[i])
            dw[i] = du[i] if u[i] < v[i] else dv[i] if v[i] < u[i] else both
    elif code == 2:
        for i in range(len(w)):
            w[i] = u[i] + v[i]
            dw[i] = du[i] + dv[i]
    elif code == 3:
        for i in range(len(w)):
            w[i] = u[i] - v[i]
            dw[i] = du[i] - dv[i]
    else:
        for i in range(len(w)):
            w[i] = u[i] * v[i]
            dw[i] = du[i] * v[i] + u[i] * dv[i]


@_compiled
def _unary(code, value, u, du, w, dw, bits):  # noqa: ANN001
    """Apply a function of one argument to a block."""
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    three, sixth = np.float32(3.0), np.float32(1.0 / 6.0)
    if code == 5:  # tanh
        _tanh(u, w, dw, bits)
        for i in range(len(w)):
            factor = one - w[i] * w[i]
            # Not the product: where the argument has overflowed, so may have its derivative.
            dw[i] = zero if factor == zero else du[i] * factor
    elif code == 6:  # relu
        for i in range(len(w)):
            w[i] = zero if u[i] <= zero else u[i]
            dw[i] = du[i] if u[i] > zero else zero
    elif code == 7:  # leaky_relu, and rrelu with its mean slope
        for i in range(len(w)):
            factor = one if u[i] > zero else value
            w[i] = u[i] * factor
            dw[i] = du[i] * factor
    elif code == 8 or code == 10:  # elu and celu, the same for alpha 1
        _exp(u, w, bits)
        for i in range(len(w)):
            factor = one if u[i] > zero else w[i]
            dw[i] = zero if u[i] < np.float32(-87.0) else du[i] * factor
        _expm1(u, w)
        for i in range(len(w)):
            w[i] = u[i] if u[i] > zero else w[i]
    elif code == 9:  # hardshrink, in two loops: in one the compiler finds no vector code
        for i in range(len(w)):
            w[i] = zero if abs(u[i]) <= half else u[i]
        for i in range(len(w)):
            dw[i] = zero if abs(u[i]) <= half else du[i]
    elif code == 11:  # hardtanh
        for i in range(len(w)):
            w[i] = -one if u[i] < -one else one if u[i] > one else u[i]
            dw[i] = du[i] if u[i] > -one and u[i] < one else zero
    elif code == 12:  # hardswish
        for i in range(len(w)):
            # At minus infinity this is NaN, as it is for torch.
            w[i] = zero * u[i] if u[i] <= -three else u[i] if u[i] >= three else u[i] * (u[i] + three) * sixth
            inner = (u[i] * np.float32(1.0 / 3.0) + half) * du[i]
            dw[i] = zero if u[i] <= -three else du[i] if u[i] >= three else inner
    else:  # softshrink: what is left of a number beyond the nearest one between the bounds
        for i in range(len(w)):
            inside = -half if u[i] < -half else u[i]
            inside = half if inside > half else inside
            w[i] = u[i] - inside
            dw[i] = zero if inside == u[i] else du[i]


@_compiled
def _exp(u, w, bits):  # noqa: ANN001
    """Write exp(u): a power of two by its bits, times a polynomial (Cephes, expf), to two units of the last place."""
    floats = bits.view(np.float32)
    for i in range(len(w)):
        # Beyond these bounds float32 is 0 or as good as infinite; a comparison with NaN is false, and NaN stays.
        x = np.float32(-87.0) if u[i] < np.float32(-87.0) else u[i]
        x = np.float32(88.0) if x > np.float32(88.0) else x
        n = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
        r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        w[i] = p * r * r + r + np.float32(1.0)
        bits[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
    for i in range(len(w)):
        w[i] = w[i] * floats[i]


@_compiled
def _expm1(u, w):  # noqa: ANN001
    """Make exp(u) in w to exp(u) - 1 where u is not positive; what stands elsewhere is not used."""
    for i in range(len(w)):
        x = u[i]
        # Near zero the difference would cancel: the series up to the seventh power.
        p = np.float32(1.0 / 5040.0)
        p = p * x + np.float32(1.0 / 720.0)
        p = p * x + np.float32(1.0 / 120.0)
        p = p * x + np.float32(1.0 / 24.0)
        p = p * x + np.float32(1.0 / 6.0)
        p = p * x + np.float32(0.5)
        near = p * x * x + x
        w[i] = near if x > np.float32(-0.5) else w[i] - np.float32(1.0)


@_compiled
def _tanh(u, w, scratch, bits):  # noqa: ANN001
    """Write tanh(u): 1 - 2 / (exp(2 |u|) + 1), and a polynomial near zero (Cephes, tanhf)."""
    one = np.float32(1.0)
    for i in range(len(w)):
        scratch[i] = np.float32(2.0) * abs(u[i])
    _exp(scratch, w, bits)
    for i in range(len(w)):
        x = u[i]
        s = x * x
        p = np.float32(-5.70498872745e-3)
        p = p * s + np.float32(2.06390887954e-2)
        p = p * s + np.float32(-5.37397155531e-2)
        p = p * s + np.float32(1.33314422036e-1)
        p = p * s + np.float32(-3.33332819422e-1)
        near = p * s * x + x
        far = one - np.float32(2.0) / (w[i] + one)
        far = -far if x < np.float32(0.0) else far
        w[i] = near if abs(x) < np.float32(0.625) else far
