"""The constants that tune the numerics, each with its reason. Whoever changes one measures families of problems."""

from __future__ import annotations

# -- Noise of fun

POINTS = 9
"""Values on a line: eight orders of differences, as Moré and Wild recommend for deterministic functions."""

# -- Bars of a stencil

CAUTION = 2.0
"""Factor on the error of each value of fun; with a noise of two standard deviations that makes four."""
SHORTEST = 0.25
"""Part of the scale of x on which fun is expected to vary at the least, where nothing else is known."""
SMALLEST = 5e-324
"""Spacing of the smallest float64 numbers."""

# -- The step search: candidates and their bars

RATIO = 2.9
"""Growth of the step from level to level: large enough for few levels, small enough to hit the optimum. It is no
whole number, as the roots of a sine at one step would be its roots at all steps."""
SAFETY = 4.0
"""Factor on the truncation error estimated from two levels."""
DEPTHS = 3
"""Derivatives from one, two and three levels are looked at; the noise of more would not be worth their passes."""
EXTRAPOLATED = 0.5
"""Part of the change from one extrapolated value to the next that counts as its error: of a smooth function
the error is smaller by about forty."""
SETTLED = 0.1
"""Relative change from one level to the next up to which the expansion in powers of h is believed."""
REGULAR = 0.25
"""Relative deviation from the growth of changes that the expansion foretells, up to which it is believed."""
UNEXPLAINED = 10.0
"""Multiple of its rounding above which a change between levels has another cause."""
PLATEAU = 1.02
"""Ratio up to which differences of the slopes on the two sides of x are the same, as they are at a kink. Of
``|x|**1.5``, whose derivative exists, they grow by 1.73 from level to level."""
EVEN = 1.7
"""Growth of the difference of the slopes on the two sides, from level to level, below which fun is not smooth
there; of a smooth one it grows by the ratio."""
ORDINARY = 3.0
"""Multiple of an error that is not remarkable."""
WHOLE = 0.05
"""How far from a whole number a multiple may be."""
MULTIPLES = 64.0
"""Multiples of the spacing of values that tell anything: large ones are near a whole number by the thousand."""
LOWEST, SPREAD = 4, 300.0
"""Changes between the smallest steps that tell of noise, and the factor by which they spread at the most."""
SLOWEST = 0.01
"""Growth of changes, less one, at which a difference does not converge for any practical purpose."""

# -- The step search: where it climbs

DESCENTS = (0, 6, 12, 18)
"""Levels below the usual start at which the search begins again while truncation rules even there."""
PROBE = 2
"""Rungs below a start at which one more level is looked at, for what is narrower than the step there."""
DEEP = 0.01
"""Part of the first start below which levels tell of noise."""
DISSENT = 0.25
"""Part of the error bar by which a smaller step's derivative may be off, and still say the same."""
NOISIEST = 0.1
"""Noise, as a part of the largest value, from which fun is nothing else."""
TRENDLESS = 10.0
"""Multiple of what looks like noise along a coordinate up to which all changes are nothing else."""
AFAR = (0.8, 0.6)
"""Parts of the largest step at which fun is looked at to tell a threshold from coarse values."""

# -- The complex step

STEP = 1e-20
"""Its square is far below the machine epsilon, so that truncation vanishes, and ``STEP * derivative`` is far
above the smallest numbers."""
REAL_PART = 10.0
"""Machine epsilons by which the real part may differ from fun at x0: complex functions round differently."""
OPERATIONS = 8.0
"""Machine epsilons relative to the derivative that the arithmetic of a short fun costs."""

# -- Noise and precision of the values of fun

SPACINGS = 6
"""Spacings tried on a line."""
FIRST_SPACING = {8: 1e-10, 4: 1e-5, 2: 1e-3}
"""Relative spacing to begin with, by the bytes of the parameters: many units in their last place, but for
float16, of which a few are a long way."""
SINGLE = 2.0**-27
"""Relative noise that float32 has at the least: an eighth of its machine epsilon, for lucky roundings."""
FARTHEST = 1e-2
"""Relative spacing at the most: what fun does farther away says nothing of its noise here."""
BESIDE = 1e-3
"""Relative distance of the probe from x0: as far as room was made for."""
FEW = 30
"""Parameters below which one line has to do, since three would cost more passes than the gradient itself."""
WILD = 1e-4
"""Noise relative to fun above which it is doubted: few functions are so rough, and some vary that fast."""
REPEATS = 32
"""Calls at x0 by which a fun that is not deterministic is measured: the standard deviation to an eighth."""
CONFIDENCE = 0.99
"""Confidence with which the error bars of all parameters hold together, where fun is not deterministic."""
LOOKS = 32
"""Values of fun that the verdict on one parameter may rest on."""
LARGEST_EPS = 0.1
"""Relative noise of fun beyond which steps as large as x itself are of no more help."""
FINER = 1 / 16
"""Part of the parameters' machine epsilon below which measured noise shows that fun computes in a longer dtype."""
USUAL = 8.0
"""Noise of up to this many machine epsilons is the rounding of a function that is not noisy."""
UNIT = 1e-3
"""Part of the typical size below which the size of x says little about the scale on which fun varies."""

# -- Waves and verdicts

FAR = 0.25
"""Part of the scale of x at which one looks for any change of fun at all."""
TARGET = 0.1
"""Part of the relative tolerance at which the step search ends: enough for a verdict, and no pass more."""
ROUNDING = 4.0
"""Twice the rounding of a central difference of order 2, caution included, in units of the error of fun's values over
the step."""
FLOOR = 1e-3
"""Part of an array's root mean square below which an entry is compared with the array instead of itself."""
