"""Causes that must not be made up, each from a claim that invites one."""

import numpy as np
import pytest
from test_misleading import linear

import pardiff
from pardiff.diagnosis.finding import CERTAIN


def told(d, claim, x0=None):
    return linear(np.asarray(d, dtype=float), np.asarray(claim, dtype=float), x0)[0]


@pytest.mark.parametrize("factor", [1.1, 0.8])
def test_a_factor_in_float16(factor):
    """It is a factor, to that precision."""
    d = np.random.default_rng(1).normal(size=(8, 8))
    first = told(d, (factor * d).astype(np.float16))[0]

    assert first.kind == "factor"
    assert "to the precision of float16" in first.message
    assert first.confidence != CERTAIN


def test_a_transpose_in_float16():
    d = np.random.default_rng(1).normal(size=(8, 8))
    assert told(d, d.T.astype(np.float16))[0].kind == "transposed"


def test_float16_itself():
    d = np.random.default_rng(1).normal(size=(8, 8))
    first = told(d, d.astype(np.float16))[0]
    assert first.kind == "precision"
    assert "float16" in first.message


def test_bfloat16():
    d = np.random.default_rng(1).normal(size=(8, 8))
    mantissa, exponent = np.frexp(d)
    first = told(d, np.ldexp(np.rint(mantissa * 256) / 256, exponent))[0]
    assert first.kind == "precision"
    assert "bfloat16" in first.message


@pytest.mark.parametrize("seed", range(5))
def test_whole_numbers_are_no_precision(seed):
    """Counts that are off by one to three."""
    d = np.arange(20.0, 32)
    found = told(d, d - np.random.default_rng(seed).integers(1, 4, 12))
    assert "precision" not in {finding.kind for finding in found}


def test_an_error_all_one_way_is_no_rounding():
    d = np.random.default_rng(1).normal(size=(8, 8))
    found = told(d, (1.004 * d).astype(np.float16))
    assert not any("right but for" in finding.message for finding in found)


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_few_samples_make_no_low_rank_fault(samples):
    """Every gradient of few samples is of low rank, and so is the difference of any two; the inputs are right."""
    rng = np.random.default_rng(samples)
    inputs, back, wrong = (rng.normal(size=(samples, 10)) for _ in range(3))
    first = told(inputs.T @ back, inputs.T @ wrong)[0]

    assert first.kind == "unstructured"
    assert f"its columns are combinations of those of the derivative, which is of rank {samples}" in first.message
    assert "the factor along the rows is right" in first.message


def test_one_sample_has_no_factors_of_its_own():
    rng = np.random.default_rng(0)
    inputs, back, wrong = (rng.normal(size=10) for _ in range(3))
    assert told(np.outer(inputs, back), np.outer(inputs, wrong))[0].kind == "unstructured"


def test_a_missing_product_is_one():
    """Where there are samples enough."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(10, 12))
    assert told(d, d - np.outer(rng.normal(size=10), rng.normal(size=12)))[0].kind == "low_rank"


def test_a_norm_that_is_held_fixed():
    """The residual is a multiple of x0 in each row, and no mean is involved."""
    rng = np.random.default_rng(0)
    x0, d = rng.normal(size=(6, 8)), rng.normal(size=(6, 8))
    first = told(d, d + rng.normal(size=(6, 1)) * x0, x0)[0]

    assert first.kind == "normalisation"
    assert "off by a multiple of x0 in each row" in first.message
    assert "mean" not in first.message.partition(";")[0]


def test_rows_that_are_wrong_have_no_factor():
    """Two rows are missing, and two are wrong in all columns."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(12, 4))
    claim = d.copy()
    claim[[4, 11]] = 0
    claim[[3, 7]] = rng.normal(size=(2, 4))
    found = told(d, claim)

    assert "slice_factor" not in {finding.kind for finding in found}
    assert ("zero", "x[[4, 11], :]") in {(finding.kind, finding.where) for finding in found}


@pytest.mark.parametrize("size", [(20,), (5, 6)])
def test_random_values_at_random_places(size):
    """No condition on x0, and no part of the array, is found in it for sure, and what is named holds what fails."""
    for seed in range(15):
        rng = np.random.default_rng(seed)
        d = rng.normal(size=size)
        mask = rng.random(size) < 0.5
        first, *more = told(d, np.where(mask, rng.normal(size=size), d))
        assert CERTAIN not in {finding.confidence for finding in (first, *more)}
        if first.kind in ("slice", "mask"):
            assert first.evidence["explained"] >= 0.85 * mask.sum()


def test_what_is_not_explained_is_named():
    d = np.random.default_rng(6).normal(size=(12, 12))
    claim = d.T.copy()
    claim[3, 4], claim[2, 9] = 77.0, -5.0
    first = told(d, claim)[0]

    assert first.kind == "transposed"
    assert "does not explain x[2,9], x[3,4]" in first.message


def test_dust_has_no_factor():
    d = np.random.default_rng(1).normal(size=8)
    first = told(d, 1e-17 * d)[0]
    assert first.kind == "zero"
    assert "zero but for rounding" in first.message


def test_a_shift_is_not_a_roll():
    """The first that is shifted out is gone."""
    d = np.random.default_rng(1).normal(size=15)
    found = told(d, np.append(d[1:], 0.0))
    assert "shifted by 1 towards lower indices" in found[0].message


def test_a_wide_bar_does_not_make_all_the_same():
    """At 0 fun has a kink, whose bar is wide."""
    c = np.arange(1.0, 9)
    result = pardiff.gradcheck(
        lambda x: float((np.maximum(x, 0) * c).sum()),
        lambda x: (x > 0) * c + 0.5 * c * (x == 0),
        np.array([0.5, 1, -1, 2, -3, 1.5, 0.2, 0.0]),
    )
    assert not any("the same" in finding.message for finding in result.findings)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("size", [6, 8, 12, 60])
def test_right_but_for_rounding(dtype, size):
    """Few entries or many: rounding goes both ways, though not always evenly."""
    names = []
    for seed in range(10):
        d = np.random.default_rng(seed).normal(size=size)
        found = told(d, d.astype(dtype))
        names += [finding.kind for finding in found[:1]]
    assert names.count("precision") >= 0.8 * len(names)


def test_a_term_in_a_short_type():
    """It is in no few of the entries more than rounding explains."""
    rng = np.random.default_rng(0)
    x0, d = rng.normal(size=60), 0.01 * rng.normal(size=60)
    for finding in told(d, (d + 0.003 * x0).astype(np.float16), x0):
        assert "right but for" not in finding.message


def test_small_noise_lies_in_no_span():
    """The derivative is of low rank, and the claim is off by a little in all directions."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(10, 3)) @ rng.normal(size=(3, 10))
    for finding in told(d, d + 2e-4 * rng.normal(size=d.shape)):
        assert "combinations" not in finding.message


def test_what_is_right_is_no_evidence_in_a_partial_audit():
    """fun varies fast in half of the rows, where the first look is far off; the sign is wrong in row 3 alone."""
    rng = np.random.default_rng(0)
    k = np.where(np.arange(20) < 10, 1.0, 2000.0)[:, None]
    x0, phase = rng.normal(size=(20, 20)), rng.normal(size=(20, 20))

    def wrong(x):
        claim = np.cos(k * x + phase)
        claim[3] *= -1
        return claim

    for budget in (950, 1000, 1300, 2000):
        result = pardiff.gradcheck(lambda x: float((np.sin(k * x + phase) / k).sum()), wrong, x0, budget=budget)
        assert result.counts["fail"] > 0 or budget < 2000
        for finding in result.findings:
            assert finding.kind in ("sign", "incomplete", "test_point", "elements"), finding.message
