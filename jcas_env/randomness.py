"""Random numbers of many lanes at once, where the lanes live."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from .tree import tree_map
from .types import Array

if TYPE_CHECKING:
    import torch

Drawn = TypeVar("Drawn")


class TensorGenerator:
    """PyTorch's generator of a device, with those names of ``numpy.random.Generator`` that scenarios draw by.

    Every draw has a leading axis of ``lanes``. The numbers are the device's own: a seed repeats them on the same
    device and number of lanes, and means another network than with NumPy.
    """

    def __init__(self, generator: torch.Generator, lanes: int, dtype: torch.dtype) -> None:
        self.generator = generator
        self.lanes = lanes
        self.dtype = dtype

    def _draw(self, sample: Callable[..., torch.Tensor], size: tuple[int, ...] | int | None) -> torch.Tensor:
        shape = () if size is None else (size,) if isinstance(size, int) else size
        return sample((self.lanes, *shape), generator=self.generator, dtype=self.dtype, device=self.generator.device)

    def standard_normal(self, size: tuple[int, ...] | int | None = None) -> torch.Tensor:
        """Independent N(0, 1), (lanes, *size)."""
        import torch

        return self._draw(torch.randn, size)

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


RandomSource: TypeAlias = np.random.Generator | TensorGenerator
"""What a scenario draws from: one lane of NumPy, or all lanes of a device."""


def complex_normal(source: RandomSource, *shape: int) -> Array:
    """Independent CN(0, 1) samples, (*shape,), of a device (lanes, *shape)."""
    return as_complex_normal(source.standard_normal((*shape[:-1], 2 * shape[-1])))


def as_complex_normal(parts: Array) -> Array:
    """CN(0, 1) samples (..., n) of standard normals (..., 2 n), real and imaginary parts in turn."""
    scaled = parts * (1.0 / sqrt(2.0))  # hashes of scenes hold it to the last bit
    if isinstance(scaled, np.ndarray):
        return scaled.view(complex)
    import torch

    return torch.view_as_complex(scaled.unflatten(-1, (-1, 2)))


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
