"""NumPy's generator PCG64 for many lanes at once: the numbers of ``numpy.random.default_rng``, bit for bit.

NumPy calls a function for each random word, and makes a generator in as much time as a thousand normals take. Here the
words are made where they are used. The algorithms are NumPy's: ``SeedSequence`` turns seeds into states, PCG XSL RR
128/64 a state into words [O'Neill 2014], and the ziggurat words into normals [Marsaglia and Tsang 2000].
"""

from __future__ import annotations

from functools import cache
from math import exp, log1p, sqrt
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numba.np.random._constants import fi_double, ki_double, wi_double, ziggurat_nor_inv_r, ziggurat_nor_r

from .dispatch import Loop
from .waves import helper

MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
MASK, SIXTEEN, POOL = np.uint64(0xFFFFFFFF), np.uint64(16), 4
INIT_A, MULT_A, INIT_B, MULT_B = (np.uint64(word) for word in (0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED))
MIX_L, MIX_R = np.uint64(0xCA01F9DD), np.uint64(0x4973F715)
ZERO, ONE, EIGHT, ELEVEN, BITS, TOP, WORD = (np.uint64(n) for n in (0, 1, 8, 11, 63, 58, 32))
BYTE, FRACTION = np.uint64(0xFF), np.uint64(0x000FFFFFFFFFFFFF)
UNIFORM = 1.0 / 9007199254740992.0


class CompiledGenerators:
    """As :class:`jcas_env.randomness.LaneGenerators`."""

    def __init__(self, seeds: np.ndarray, part: tuple[int, ...], dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._states = np.empty((len(seeds), 4), dtype=np.uint64)
        _seeded(np.zeros(0), seeds.astype(np.uint64), np.array(part, dtype=np.uint64), self._states)

    def standard_normal(self, size: tuple[int, ...] | int) -> np.ndarray:
        """Independent N(0, 1), (lanes, *size)."""
        return self._normals(size, 1.0)

    def complex_normal(self, *shape: int) -> np.ndarray:
        """Independent CN(0, 1), (lanes, *shape)."""
        parts = self._normals((*shape[:-1], 2 * shape[-1]), 1.0 / sqrt(2.0))
        return parts.view(np.result_type(parts, np.complex64))

    def _normals(self, size: tuple[int, ...] | int, scale: float) -> np.ndarray:
        out = self._empty(size)
        _normals(out.reshape((len(out), -1)), *_ziggurat(), np.array([scale]), self._states)
        return out

    def random(self, size: tuple[int, ...] | int) -> np.ndarray:
        """Uniforms in [0, 1), (lanes, *size)."""
        out = self._empty(size)
        _uniforms(out.reshape((len(out), -1)), self._states)
        return out

    def _empty(self, size: tuple[int, ...] | int) -> np.ndarray:
        shape = (size,) if isinstance(size, int) else size
        return np.empty((len(self._states), *shape), dtype=self.dtype)


def lane_generators_loop(seeds: np.ndarray, /, *, part: tuple[int, ...], dtype: Any) -> Any:
    """:func:`jcas_env.randomness.lane_generators`."""
    small = all(0 < number < 2**32 for number in part) and len(part) <= POOL - 2
    return CompiledGenerators(seeds, part, dtype) if small and seeds.size else NotImplemented


@cache
def _ziggurat() -> tuple[np.ndarray, ...]:
    """Tables of the ziggurat: acceptance, widths and densities of its layers."""
    return (
        np.asarray(ki_double, dtype=np.uint64),
        np.asarray(wi_double, dtype=float),
        np.asarray(fi_double, dtype=float),
    )


@helper
def _hashed(value, constant, factor):  # type: ignore[no-untyped-def]
    """SeedSequence's hash of a word, and its next constant."""
    following = (constant * factor) & MASK
    value = ((value ^ constant) * following) & MASK
    return value ^ (value >> SIXTEEN), following


@helper
def _pooled(seed, part, pool):  # type: ignore[no-untyped-def]
    """SeedSequence's pool (4,) of a seed, in as many words as it has, and of the numbers of ``part``."""
    pool[:] = ZERO
    pool[0] = seed & MASK
    pool[1] = seed >> WORD
    words = 1 if pool[1] == ZERO else 2
    for n in range(part.size):
        pool[words + n] = part[n]
    constant = INIT_A
    for n in range(POOL):
        pool[n], constant = _hashed(pool[n], constant, MULT_A)
    for source in range(POOL):
        for target in range(POOL):
            if source != target:
                value, constant = _hashed(pool[source], constant, MULT_A)
                mixed = (MIX_L * pool[target] - MIX_R * value) & MASK
                pool[target] = mixed ^ (mixed >> SIXTEEN)


@intrinsic
def _advanced(_, high, low, more_high, more_low):  # type: ignore[no-untyped-def]  # noqa: ARG001 (their types count)
    """State times the multiplier plus the increment, modulo 2^128, of numbers in two words."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        """One product and one sum of 128 bits, which LLVM knows."""
        wide, half = ir.IntType(128), ir.IntType(64)
        shift = ir.Constant(wide, 64)
        high, low, more_high, more_low = (builder.zext(argument, wide) for argument in arguments)
        state = builder.mul(builder.or_(builder.shl(high, shift), low), ir.Constant(wide, MULTIPLIER))
        state = builder.add(state, builder.or_(builder.shl(more_high, shift), more_low))
        parts = builder.trunc(builder.lshr(state, shift), half), builder.trunc(state, half)
        return context.make_tuple(builder, signature.return_type, parts)

    word = numba.types.uint64
    return numba.types.UniTuple(word, 2)(word, word, word, word), generate


@helper
def _word(high, low):  # type: ignore[no-untyped-def]
    """Random word of a state."""
    mixed, turn = high ^ low, high >> TOP
    return (mixed >> turn) | (mixed << ((ZERO - turn) & BITS))


def seed_lanes(_, seeds, part, states):  # type: ignore[no-untyped-def]
    """States of generators that are seeded with a number, or with a number and others that name a part."""
    pool, words = np.empty(POOL, np.uint64), np.empty(2 * POOL, np.uint64)
    for lane in range(seeds.size):
        _pooled(seeds[lane], part, pool)
        constant = INIT_B
        for n in range(2 * POOL):
            words[n], constant = _hashed(pool[n % POOL], constant, MULT_B)
        high, low = words[0] | (words[1] << WORD), words[2] | (words[3] << WORD)
        more_high, more_low = words[4] | (words[5] << WORD), words[6] | (words[7] << WORD)
        more_high = (more_high << ONE) | (more_low >> BITS)
        more_low = (more_low << ONE) | ONE
        # One step from zero leaves the increment, to which the seed is added.
        sum_low = more_low + low
        carry = ONE if sum_low < low else ZERO
        high, low = _advanced(more_high + high + carry, sum_low, more_high, more_low)
        states[lane, 0], states[lane, 1], states[lane, 2], states[lane, 3] = high, low, more_high, more_low


def draw_uniforms(out, states):  # type: ignore[no-untyped-def]
    """Uniforms in [0, 1)."""
    for lane in range(out.shape[0]):
        high, low, more_high, more_low = states[lane, 0], states[lane, 1], states[lane, 2], states[lane, 3]
        for n in range(out.shape[1]):
            high, low = _advanced(high, low, more_high, more_low)
            out[lane, n] = (_word(high, low) >> ELEVEN) * UNIFORM
        states[lane, 0], states[lane, 1] = high, low


def draw_normals(out, accept, width, density, scale, states):  # type: ignore[no-untyped-def]
    """Standard normals times ``scale`` (1,) by the ziggurat of 256 layers."""
    for lane in range(out.shape[0]):
        high, low, more_high, more_low = states[lane, 0], states[lane, 1], states[lane, 2], states[lane, 3]
        for n in range(out.shape[1]):
            while True:
                high, low = _advanced(high, low, more_high, more_low)
                word = _word(high, low)
                layer = np.int64(word & BYTE)
                sign = (word >> EIGHT) & ONE
                place = (word >> (EIGHT + ONE)) & FRACTION
                x = np.float64(place) * width[layer]
                x = -x if sign else x
                if place < accept[layer]:
                    break
                high, low = _advanced(high, low, more_high, more_low)
                uniform = (_word(high, low) >> ELEVEN) * UNIFORM
                if layer > 0:
                    if (density[layer - 1] - density[layer]) * uniform + density[layer] < exp(-0.5 * x * x):
                        break
                    continue
                beyond = -ziggurat_nor_inv_r * log1p(-uniform)
                high, low = _advanced(high, low, more_high, more_low)
                level = -log1p(-((_word(high, low) >> ELEVEN) * UNIFORM))
                while not level + level > beyond * beyond:
                    high, low = _advanced(high, low, more_high, more_low)
                    beyond = -ziggurat_nor_inv_r * log1p(-((_word(high, low) >> ELEVEN) * UNIFORM))
                    high, low = _advanced(high, low, more_high, more_low)
                    level = -log1p(-((_word(high, low) >> ELEVEN) * UNIFORM))
                x = ziggurat_nor_r + beyond
                x = -x if (place >> EIGHT) & ONE else x
                break
            out[lane, n] = x * scale[0]
        states[lane, 0], states[lane, 1] = high, low


_seeded = Loop(seed_lanes, "d1 u1 u1 U2")
_normals = Loop(draw_normals, "R2 u1 d1 d1 d1 U2")
_uniforms = Loop(draw_uniforms, "R2 U2")
