import pytest

from pardiff.errors import InputError
from pardiff.problem.options import Options


def test_the_nearer_choice_wins():
    """A flag goes over a job file, which goes over what the problem pins."""
    merged = Options(rtol=1e-3).over(Options(rtol=1e-4, order=4).over(Options(order=2, atol=1.0)))

    assert (merged.rtol, merged.order, merged.atol) == (1e-3, 4, 1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "centrl"}, "did you mean 'central'?"),
        ({"order": 3}, "order: got 3 with method 'central'; expected one of 2, 4, 6, 8"),
        ({"method": "forward", "order": 8}, "expected one of 1, 2, 3, 4"),
        ({"order": 2.0}, "order: got 2.0; expected a whole number"),
        ({"abs_step": 0.0}, "abs_step: got 0.0; expected a positive number"),
        ({"rtol": -1.0}, "expected a non-negative number"),
        ({"rtol": float("nan")}, "expected a finite number"),
        ({"atol": "1"}, "expected a finite number"),
        ({"block_size": 0}, "expected at least 1"),
        ({"mode": "ful"}, "did you mean 'full'?"),
        ({"ordr": 2}, "unknown key 'ordr'; did you mean 'order'?"),
    ],
)
def test_bad_options(options, said):
    """Each bad option gets one sentence."""
    with pytest.raises(InputError) as caught:
        Options.from_mapping(options, "here")

    assert said in str(caught.value)
