"""Random numbers of many lanes at once, where the lanes live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from .compiled.dispatch import compiled
from .tree import tree_map
from .types import Array

if TYPE_CHECKING:
    import torch

Drawn = TypeVar("Drawn")

HALF_POWER = 1.0 / sqrt(2.0)
"""Parts of CN(0, 1) over standard normals; hashes of scenes hold products with it to the last bit."""


class TensorGenerator:
    """PyTorch's generator of a device, with those names of ``numpy.random.Generator`` that scenarios draw by.

    Every draw has a leading axis of ``lanes``. The numbers are the device's own: a seed repeats them on the same
    device and number of lanes, and means another network than with NumPy.
    """

    def __init__(self, generator: torch.Generator, lanes: int, dtype: torch.dtype) -> None:
        self.generator = generator
        self.lanes = lanes
        self.dtype = dtype

    def _draw(
        self, sample: Callable[..., torch.Tensor], size: tuple[int, ...] | int | None, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        shape = () if size is None else (size,) if isinstance(size, int) else size
        kind = self.dtype if dtype is None else dtype
        return sample((self.lanes, *shape), generator=self.generator, dtype=kind, device=self.generator.device)

    def standard_normal(self, size: tuple[int, ...] | int | None = None) -> torch.Tensor:
        """Independent N(0, 1), (lanes, *size)."""
        import torch

        return self._draw(torch.randn, size)

    def complex_normal(self, *shape: int) -> torch.Tensor:
        """Independent CN(0, 1), (lanes, *shape)."""
        import torch

        return self._draw(torch.randn, shape, self.dtype.to_complex())

    def random(self, size: tuple[int, ...] | int | None = None) -> torch.Tensor:
        """Uniforms in [0, 1), (lanes, *size)."""
        import torch

        return self._draw(torch.rand, size)

    def uniform(self, low: float, high: float, size: tuple[int, ...] | int | None = None) -> torch.Tensor:
        """Uniforms in [low, high), (lanes, *size)."""
        return low + (high - low) * self.random(size)

    def completed(self, drawn: Drawn) -> Drawn:
        """A nest of NamedTuples with empty tensors, (lanes, 0), for the parts that nobody drew, which are NumPy's."""
        return tree_map(lambda leaf: self.random(0) if isinstance(leaf, np.ndarray) else leaf, drawn)


class LaneGenerators:
    """Generators of NumPy for lanes, each with a seed of its own, with those names that scenarios draw by.

    Every draw has a leading axis of lanes; lane i of seed s draws what ``default_rng(s)`` draws, or, as a part,
    ``default_rng((s, *part))``. Numbers are drawn in double precision and handed out in ``dtype``.
    """

    def __init__(self, seeds: np.ndarray, part: tuple[int, ...], dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._generators = [np.random.default_rng((seed, *part) if part else seed) for seed in seeds.tolist()]

    def standard_normal(self, size: tuple[int, ...] | int) -> np.ndarray:
        """Independent N(0, 1), (lanes, *size)."""
        return self._drawn("standard_normal", size).astype(self.dtype, copy=False)

    def complex_normal(self, *shape: int) -> np.ndarray:
        """Independent CN(0, 1), (lanes, *shape)."""
        parts = self._drawn("standard_normal", (*shape[:-1], 2 * shape[-1]))
        parts *= HALF_POWER
        return as_complex(parts.astype(self.dtype, copy=False))

    def random(self, size: tuple[int, ...] | int) -> np.ndarray:
        """Uniforms in [0, 1), (lanes, *size)."""
        return self._drawn("random", size).astype(self.dtype, copy=False)

    def _drawn(self, name: str, size: tuple[int, ...] | int) -> np.ndarray:
        shape = (size,) if isinstance(size, int) else size
        drawn = np.empty((len(self._generators), *shape))
        for generator, row in zip(self._generators, drawn, strict=True):
            getattr(generator, name)(out=row)
        return drawn


@compiled("generators")
def lane_generators(seeds: np.ndarray, /, *, part: tuple[int, ...], dtype: Any) -> LaneGenerators:
    """Generators of lanes by their seeds, (lanes,) uint64, and the numbers that name a part."""
    return LaneGenerators(seeds, part, dtype)


RandomSource: TypeAlias = np.random.Generator | TensorGenerator
"""What a scenario draws from: one lane of NumPy, or all lanes of a device."""
AnySource: TypeAlias = RandomSource | LaneGenerators
"""What the noise of estimates is drawn from: many lanes of NumPy too."""


def complex_normal(source: AnySource, *shape: int) -> Array:
    """Independent CN(0, 1) samples, (*shape,), of many lanes or a device (lanes, *shape)."""
    if not isinstance(source, np.random.Generator):
        return source.complex_normal(*shape)
    return as_complex_normal(source.standard_normal((*shape[:-1], 2 * shape[-1])))


def as_complex_normal(parts: Array) -> Array:
    """CN(0, 1) samples (..., n) of standard normals (..., 2 n), real and imaginary parts in turn."""
    return as_complex(parts * HALF_POWER)


def as_complex(parts: Array) -> Array:
    """Complex numbers (..., n) of real and imaginary parts in turn, (..., 2 n)."""
    if isinstance(parts, np.ndarray):
        return parts.view(np.result_type(parts, np.complex64))
    import torch

    return torch.view_as_complex(parts.unflatten(-1, (-1, 2)))


def spawn(source: RandomSource) -> Callable[..., RandomSource]:
    """Generators of their own, by the numbers that name them, for what a configuration, or a slot, may not draw.

    In NumPy they are seeded by one number of ``source``, whatever is drawn, so that a seed means the same users and
    channels whatever the estimator: losses by estimation and by allocation can be told apart. A device draws them all
    from one.
    """
    if isinstance(source, TensorGenerator):
        return lambda *_: source
    # `source.integers(2**63)` where the generator's words have 64 bits, as PCG64's, at an eighth of its time.
    seed = int(source.bit_generator.random_raw() >> 1)
    return lambda *part: np.random.default_rng((seed, *part) if part else seed)


def spawn_lanes(sources: Sequence[np.random.Generator], *, dtype: Any) -> Callable[..., LaneGenerators]:
    """:func:`spawn` of each lane's generator: generators that draw for all lanes, in a precision."""
    seeds = np.array([source.bit_generator.random_raw() >> 1 for source in sources], dtype=np.uint64)
    return lambda *part: lane_generators(seeds, part=part, dtype=dtype)
