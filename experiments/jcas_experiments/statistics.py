"""Intervals over episodes, paired ratios, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_interval(values: np.ndarray) -> list[float] | list[None]:
    """95 % Student interval of a mean; nulls for a single value."""
    if len(values) < 2:
        return [None, None]
    if np.ptp(values) == 0:
        return [float(values[0]), float(values[0])]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return [float(low), float(high)]


def paired_ratio(
    values: np.ndarray, reference: np.ndarray | None, *, logarithmic: bool = False
) -> tuple[float | None, list[float] | None]:
    """Ratio of two paired means with a 95 % bootstrap interval over episodes.

    Of means of logarithms, the ratio of what they are logarithms of: exp(mean - mean), of geometric means. None to a
    mean of zero, as a backlog may have; no interval where it is zero in some episode.
    """
    if reference is None or (reference.mean() == 0 and not logarithmic):
        return None, None

    def statistic(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        top, bottom = a.mean(axis=axis), b.mean(axis=axis)
        return np.exp(top - bottom) if logarithmic else top / bottom

    ratio = float(statistic(values, reference))
    if (reference == 0).any() and not logarithmic:
        return ratio, None
    if len(values) < 2 or np.array_equal(values, reference):
        return ratio, None if len(values) < 2 else [ratio, ratio]
    result = stats.bootstrap(
        (values, reference),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return ratio, [float(result.confidence_interval.low), float(result.confidence_interval.high)]


def ratio_over_seeds(
    values: np.ndarray, reference: np.ndarray, *, logarithmic: bool = False, resamples: int = 2000
) -> tuple[float, list[float]]:
    r"""Ratio of a mean over training seeds and scenes to a paired reference, with a 95 % bootstrap interval over both.

    .. math:: \frac{\sum_{k,i} v_k w_i\, x_{ki}}{\sum_i w_i\, y_i}, \qquad
              K v \sim \mathrm{Mult}(K), \quad n w \sim \mathrm{Mult}(n)

    Seeds and scenes are drawn anew with replacement, the same scenes for both; exp of the difference for logarithms.

    Parameters
    ----------
    values : np.ndarray, shape (seeds, scenes)
        x.
    reference : np.ndarray, shape (scenes,)
        y.
    """
    seeds, scenes = values.shape
    rng = np.random.default_rng(0)
    v = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples) / seeds
    w = rng.multinomial(scenes, np.full(scenes, 1.0 / scenes), size=resamples) / scenes
    top, bottom = np.einsum("rk,ki,ri->r", v, values, w, optimize=True), w @ reference
    drawn = np.exp(top - bottom) if logarithmic else top / bottom
    top, bottom = values.mean(), reference.mean()
    ratio = np.exp(top - bottom) if logarithmic else top / bottom
    return float(ratio), [float(end) for end in np.quantile(drawn, (0.025, 0.975))]


def half_width(interval: Sequence[float | None]) -> str:
    """Half the width of an interval; a dash where there is none."""
    low, high = interval
    return "-" if low is None or high is None else f"{(high - low) / 2:.2f}"


def span(interval: Sequence[float] | None) -> str:
    """Both ends of an interval; a dash where there is none."""
    return "-" if interval is None else f"{interval[0]:.3f} .. {interval[1]:.3f}"


def percent(share: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if share is None else f"{100.0 * share:.1f}"
