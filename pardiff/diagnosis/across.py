"""What several failing arrays have in common."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pardiff.diagnosis.evidence import Evidence
from pardiff.diagnosis.finding import CERTAIN, LIKELY, POSSIBLE, Finding
from pardiff.diagnosis.names import name_factor
from pardiff.diagnosis.rules import Diagnosis

SAME = 1e-5
"""Relative difference of factors that are the same."""
ROUND = 1e-6
"""Relative difference of a norm from a round number."""
SIMPLE = frozenset({"sign", "factor", "transposed", "flipped", "absolute", "affine", "proportional"})
"""Kinds that explain two arrays each by itself, where a swap would be another explanation of the same."""
BROAD = 0.5
"""Share of an array that must fail for the fault to lie before it."""
MOST_PAIRS = 64
"""Failing arrays that are compared with each other, in pairs."""


@dataclass(frozen=True)
class Case:
    """A failing array with what was found for it alone."""

    evidence: Evidence
    diagnoses: Sequence[Diagnosis]
    norm: float
    """What holds for the whole analytical derivative."""


def across(
    cases: Sequence[Case],
    names: Sequence[str],
    failing: Sequence[str],
    passing: Sequence[str],
    norm: float,
    sizes: Mapping[int, str],
) -> list[Finding]:
    """Findings on several arrays.

    Parameters
    ----------
    cases : sequence of Case
        Arrays that fail and were diagnosed, in the order of the parameters.
    names : sequence of str
        All arrays, in that order.
    failing, passing : sequence of str
        Those that are wrong, and those that pass.
    norm : float
        Of the analytical derivative over all arrays.
    sizes : mapping of int to str
        Lengths of axes, by which factors are named.
    """
    if len(cases) < 2:
        return []
    upstream = _upstream(cases, names, passing)
    whole = {case.evidence.name for case in cases} == set(failing)
    factor = _common_factor(cases, len(failing) < len(names), norm, sizes) if whole else []
    if upstream and factor:  # one cause, of which the second is the shape
        number = float(factor[0].evidence["factor"])
        shape = "with the wrong sign" if abs(number + 1) < SAME else f"by the same factor, {number:.7g}"
        message = upstream[0].message.replace(" are wrong all over", " are wrong", 1)
        message = message.replace(" are wrong", f" are wrong, {shape},", 1)
        upstream = [replace(upstream[0], message=message, evidence={**upstream[0].evidence, "factor": number})]
        factor = []
    swapped = _swapped(cases)
    if {name for pair in swapped for name in pair.evidence["arrays"]} >= set(failing):  # which says it all
        upstream = []
    return [*swapped, *upstream, *factor]


def _swapped(cases: Sequence[Case]) -> list[Finding]:
    """Pairs of arrays that hold each other's derivatives."""
    found: list[Finding] = []
    used: set[str] = set()
    some = cases[:MOST_PAIRS]
    for i, one in enumerate(some):
        for other in some[i + 1 :]:
            p, q = one.evidence, other.evidence
            if {p.name, q.name} & used or {one.diagnoses[0].kind, other.diagnoses[0].kind} <= SIMPLE:
                continue
            for turned in (False, True):
                if not (_holds(p, q, turned) and _holds(q, p, turned)):
                    continue
                used |= {p.name, q.name}
                as_transposes = ", transposed" if turned else ""
                message = f"{p.name} and {q.name} are swapped: each has the derivative of the other{as_transposes}"
                evidence = {"arrays": [p.name, q.name], "transposed": turned}
                found.append(Finding("", "swapped", message, evidence, confidence=CERTAIN))
                break
    return found


def _holds(p: Evidence, q: Evidence, turned: bool) -> bool:
    """Whether the analytical derivative for p is the derivative of q."""
    d, u, known, axes = q.d, q.u, q.known, q.axes
    if turned:
        d, u, known, axes = d.T, u.T, known.T, axes[::-1]
        if d.ndim < 2:
            return False
    if p.a.shape != d.shape or not all(np.array_equal(i, j) for i, j in zip(p.axes, axes, strict=True)):
        return False
    told = p.known & known
    return bool(told.any()) and bool((p.fits(d, u) | ~told).all())


def _common_factor(cases: Sequence[Case], others: bool, norm: float, sizes: Mapping[int, str]) -> list[Finding]:
    """One factor in all arrays."""
    factors = []
    for case in cases:
        first = case.diagnoses[0]
        if len(case.diagnoses) > 1 or first.where or first.kind not in ("factor", "sign"):
            return []
        factors.append(float(first.numbers.get("factor", math.nan)))  # type: ignore[arg-type]
    middle = float(np.median(factors))
    if not all(abs(factor - middle) <= SAME * abs(middle) for factor in factors):
        return []
    of = "all arrays have" if not others else f"all {len(cases)} arrays that fail have"
    if abs(middle + 1) < SAME:
        cause = "" if others else ", as of a loss that is maximised, or a residual taken the other way round"
        message = f"{of} the wrong sign{cause}"
        return [Finding("", "common_factor", message, {"factor": -1.0}, confidence=CERTAIN)]
    known = name_factor(middle, sizes)
    text = known[0] if known else f"{middle:.7g}"
    round_norm = float(f"{norm:.1g}")
    if not others and abs(norm - round_norm) <= ROUND * round_norm:
        reason = f"the norm of the whole analytical derivative is {round_norm:g}: it is clipped, or normalised, to that"
        evidence = {"factor": middle, "norm": norm}
    else:
        means = "a mean in place of a sum" if abs(middle) < 1 else "a sum in place of a mean"
        reason = "" if others else f"perhaps of a scaled loss, or {means}"
        evidence = {"factor": middle}
    message = f"{of} the same factor, {text}{'; ' if reason else ''}{reason}"
    return [Finding("", "common_factor", message, evidence, confidence=CERTAIN)]


def layer_of(name: str) -> str:
    """The layer that an array belongs to: what is before the last slash, or a number at its end.

    >>> [layer_of(name) for name in ("hidden2/W", "W1", "b1", "scale")]
    ['hidden2', '1', '1', 'scale']
    """
    if "/" in name:
        return name.rpartition("/")[0]
    number = re.search(r"\d+$", name)
    return number.group() if number else name


def _upstream(cases: Sequence[Case], names: Sequence[str], passing: Sequence[str]) -> list[Finding]:
    """All arrays up to some layer are wrong and all behind it right, as if one layer's backward pass were wrong."""
    wrong = {case.evidence.name for case in cases}
    if len(wrong) + len(passing) < len(names) or not passing:
        return []
    if any(case.diagnoses[0].where or _share(case) < BROAD for case in cases):
        return []  # a fault of its own
    layers = list(dict.fromkeys(layer_of(name) for name in names))
    numbers = [int(layer) for layer in layers if layer.isdigit()]
    # parameters are given from the input to the loss, unless their numbers tell otherwise
    order, side = (-1, "before") if len(numbers) > 1 and numbers == sorted(numbers, reverse=True) else (1, "behind")
    bad = [all(name in wrong for name in names if layer_of(name) == layer) for layer in layers]
    good = [not any(name in wrong for name in names if layer_of(name) == layer) for layer in layers]
    states, ordered = list(zip(bad, good, strict=True))[::order], layers[::order]
    count = next((i for i, (is_bad, _) in enumerate(states) if not is_bad), len(states))
    if not 0 < count < len(states) or not all(is_good for _, is_good in states[count:]):
        return []
    first_right, last_wrong = (_named(ordered[i], names) for i in (count, count - 1))
    at_once = [name for name in names if layer_of(name) in ordered[:count]]
    near = at_once[-4:] if order > 0 else at_once[:4]  # those next to the fault
    many = f"{'…, ' if len(at_once) > 4 and order > 0 else ''}{', '.join(near)}"
    many += ", …" if len(at_once) > 4 and order < 0 else ""
    evidence = {"wrong": at_once, "right_from": ordered[count]}
    if {ordered[count], ordered[count - 1]} <= set(names):  # no layers, as far as names tell: perhaps side by side
        message = (
            f"{many} are wrong all over, and all arrays {side} them are right: look first at what their gradients "
            f"share on the way back to them, rather than at each array"
        )
        return [Finding("", "upstream", message, evidence, confidence=POSSIBLE)] if len(at_once) > 1 else []
    message = (
        f"all arrays up to {last_wrong} are wrong ({many}) and all {side} it are right: look at where the gradient is "
        f"carried back from {first_right} to {last_wrong}, the activation there included, rather than at each array "
        f"(if the two follow each other)"
    )
    return [Finding("", "upstream", message, evidence, confidence=LIKELY)]


def _share(case: Case) -> float:
    """Part of an array that fails."""
    known = int(np.count_nonzero(case.evidence.known))
    return int(np.count_nonzero(case.evidence.fail & case.evidence.known)) / max(1, known)


def _named(layer: str, names: Sequence[str]) -> str:
    """A layer by its name, or by those of its arrays where it is a number."""
    members = [name for name in names if layer_of(name) == layer]
    return layer if layer in members or not layer.isdigit() else ", ".join(members[:3])
