import numpy as np
import pytest

from pardiff.numerics.difference_table import difference_table_noise, has_single_precision

T = np.arange(9)


@pytest.mark.parametrize("scale", [1e-300, 1e-6, 1.0, 1e6, 1e300])
@pytest.mark.parametrize("sigma", [1e-14, 1e-9, 1e-4])
def test_known_noise_is_found(scale, sigma):
    """The standard deviation of noise that was added is found to within a factor of 4, at any scale."""
    found = []
    for seed in range(20):
        noise = sigma * np.random.default_rng(seed).normal(size=9)
        values = scale * (2 + 1e-5 * T + 1e-9 * T**2 + noise)
        found.append(difference_table_noise(values)[0] / scale)

    assert sigma / 4 <= np.nanmedian(found) <= 4 * sigma


def test_noise_at_a_zero():
    """Noise is found where fun is 0 at x0 because large numbers cancel."""
    values = 1e-9 * T + 1e-15 * np.random.default_rng(1).normal(size=9)

    assert 2e-16 < difference_table_noise(values)[0] < 5e-15


def test_advice():
    """Equal values ask for a larger spacing, a curve without noise for a smaller one."""
    assert difference_table_noise(np.ones(9))[1] == "larger"
    assert difference_table_noise(np.exp(T / 2))[1] == "smaller"
    assert difference_table_noise(np.full(9, np.nan))[1] == "smaller"


def test_float32_in_float64_clothes():
    """Values of float32 are known by their bits; round numbers alone are not enough of them."""
    values = np.random.default_rng(0).normal(size=30)

    assert has_single_precision(values.astype(np.float32).astype(float))
    assert not has_single_precision(values)
    assert not has_single_precision(np.array([1.0, 2.0, 2.0, 2.0]))
