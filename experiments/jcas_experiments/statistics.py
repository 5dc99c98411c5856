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


def mean_and_interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half-width of its 95 % Student interval; NaN half-width for a single value."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))


def paired_ratio(
    values: np.ndarray, reference: np.ndarray | None, *, logarithmic: bool = False
) -> tuple[float | None, list[float] | None]:
    """Ratio of two paired means with a 95 % bootstrap interval over episodes.

    Of means of logarithms, the ratio of what they are logarithms of: exp(mean - mean), of geometric means. Of others it
    needs a zero from which both are counted: None to a mean that is not positive, unless both are costs, never positive
    (then less is better). No interval where the reference is zero in some episode, as a backlog may be, or where its
    mean is zero or of the other sign in some resample.
    """
    if reference is None:
        return None, None
    costs = values.max() <= 0 and reference.max() <= 0 and reference.mean() < 0
    if not (logarithmic or reference.mean() > 0 or costs):
        return None, None
    clear = []

    def statistic(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        """Ratio of the means of resamples, or of what logarithms stand for; notes whether every mean has its sign."""
        top, bottom = a.mean(axis=axis), b.mean(axis=axis)
        if logarithmic:
            return np.exp(top - bottom)
        sound = bottom * reference.mean() > 0
        clear.append(bool(np.all(sound)))
        return top / np.where(sound, bottom, 1.0)

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
    if not all(clear):
        return ratio, None
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


def number(value: float) -> str:
    """A number with two decimals; a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.2f}"


def span(interval: Sequence[float] | None) -> str:
    """Both ends of an interval; a dash where there is none."""
    return "-" if interval is None else f"{interval[0]:.3f} .. {interval[1]:.3f}"


def percent(share: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if share is None else f"{100.0 * share:.1f}"
