"""The noise of fun: how far its values scatter about a smooth function, from a few dozen of them."""

from __future__ import annotations

from math import factorial

import numpy as np

from pardiff.numerics.stencils import FloatArray


def difference_table_noise(values: FloatArray) -> tuple[float, str]:
    r"""Noise level of equally spaced values by the difference table of ECnoise.

    Differences of high order remove what is smooth and keep what is not:
    :math:`\sigma_k^2 = \gamma_k\, \mathrm{mean}\, (\Delta^k f)^2` with
    :math:`\gamma_k = (k!)^2 / (2k)!` are all about the same once they see noise alone [1]_. The paper's
    test that the values spread by less than a tenth is left out: a fun that is 0 at x0 by cancellation
    would never pass it, and the agreement of three orders is test enough.

    Parameters
    ----------
    values : ndarray, shape (m + 1,)
        fun at equally spaced points of a line.

    Returns
    -------
    sigma : float
        Standard deviation of the noise, in the units of fun; NaN where none was found.
    advice : {"", "smaller", "larger"}
        How the spacing should change where none was found.

    References
    ----------
    .. [1] J. J. Moré, S. M. Wild, Estimating computational noise, SIAM J. Sci. Comput. 33 (2011), 1292-1314.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sigma, _ = difference_table_noise(np.sin(1e-3 * np.arange(9)) + 2 + 1e-6 * rng.normal(size=9))
    >>> 0.3e-6 < sigma < 3e-6
    True
    """
    if not np.isfinite(values).all():
        return np.nan, "smaller"
    # an exact scaling, so that squares neither overflow nor vanish
    exponent = int(np.frexp(np.max(np.abs(values)))[1])
    table = np.ldexp(values, -exponent)
    sigmas, changing = [], []
    for order in range(1, len(values)):
        table = np.diff(table)
        if order == 1 and np.count_nonzero(table == 0) >= len(table) / 2:
            return np.nan, "larger"
        gamma = factorial(order) ** 2 / factorial(2 * order)
        sigmas.append(float(np.sqrt(gamma * np.mean(table**2))))
        changing.append(bool(table.min() < 0 < table.max()))
    for k in range(len(sigmas) - 2):
        three = sigmas[k : k + 3]
        if changing[k] and max(three) <= 4 * min(three):
            return float(np.ldexp(sigmas[k], exponent)), ""
    return np.nan, "smaller"


def has_single_precision(values: FloatArray) -> bool:
    """Whether all values, and there are several different ones, are numbers of float32.

    A random float64 is one with probability 2**-29; some that differ are no accident.
    """
    return len(np.unique(values[np.isfinite(values)])) >= 4 and is_single(values)


def is_single(values: FloatArray) -> bool:
    """Whether all finite values are numbers of float32."""
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        return bool((finite.astype(np.float32).astype(np.float64) == finite).all())
