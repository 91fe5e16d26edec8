"""The complex step: a derivative without a difference, and what can go wrong with it."""

from __future__ import annotations

import numpy as np

from pardiff.numerics.difference import Precision
from pardiff.numerics.stencils import FloatArray
from pardiff.numerics.tuning import CAUTION, OPERATIONS, REAL_PART


def complex_bar(
    derivative: FloatArray,
    deviation: FloatArray,
    size: float,
    precision: Precision,
    slope_noise: float,
    unit: FloatArray,
) -> FloatArray:
    r"""Error bar of :math:`\operatorname{Im} f(x + ih) / h`.

    Its truncation error, :math:`h^2 f''' / 6`, is nothing at h = 1e-20 [1]_; what is left is the rounding
    of the sums in fun. That was measured at the start, as the noise of the derivative along one line
    through x0 on which every parameter moves in proportion to its size.

    Parameters
    ----------
    derivative : ndarray, shape (k,)
    deviation : ndarray, shape (k,)
        ``|Re f(x + ih) - f(x)|``, which is rounding where f is analytic.
    size : float
        Size of fun at x0.
    slope_noise : float
        Noise of the derivative along that line, in the units of fun.
    unit : ndarray, shape (k,)
        How far that line goes in each parameter.

    Returns
    -------
    ndarray, shape (k,)
        Infinite where the real part has changed.

    References
    ----------
    .. [1] W. Squire, G. Trapp, Using complex variables to estimate derivatives of real functions,
       SIAM Rev. 40 (1998), 110-112.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        bar = CAUTION * (OPERATIONS * precision.eps * np.abs(derivative) + slope_noise / unit)
        agrees = deviation <= REAL_PART * precision.eps * size + CAUTION * precision.noise
        return np.asarray(np.where(agrees, bar, np.inf))
