"""``python -m benchmarks.diagnosis [--half open|held] [--verbose]``."""

import argparse
import json
import math
import sys
import warnings

import numpy as np

import pardiff
from benchmarks.diagnosis.models import instances


def half(name):
    """The faults of a half."""
    if name == "held":
        from benchmarks.diagnosis.faults_held import FAULTS
    else:
        from benchmarks.diagnosis.faults_open import FAULTS
    return FAULTS


def part(text, shape):
    """The flat indices of a part of an array such as ``W[3, ::2]``."""
    _, _, inside = text.partition("[")
    index = []
    for item in inside.rstrip("]").split(","):
        ends = [int(end) if end.strip() else None for end in item.split(":")] if "..." not in item else ...
        index.append(ends if ends is ... else slice(*ends) if len(ends) > 1 else ends[0])
    return np.arange(math.prod(shape)).reshape(shape)[tuple(index)].ravel()


def same_part(text, other, shape):
    """Whether two texts stand for the same part of an array, as far as they can be read."""
    try:
        return np.array_equal(part(text, shape), part(other, shape))
    except (ValueError, TypeError, IndexError):
        return text == other


def judge(fault):
    """Whether a fault is seen (None: pardiff raised), its kind and its place named (None: not judged); the findings."""
    try:
        result = pardiff.gradcheck(fault.model.fun, fault.grad, fault.model.x0)
    except Exception as error:  # a traceback would tell of a fault that is held back
        location = None if fault.where is None else False
        return None, False, location, [pardiff.Finding(fault.array, "raised", repr(error))]
    failing = {array.name for array in result.arrays if array.verdict is pardiff.Verdict.FAIL or array.finding}
    seen = not result.passed and (fault.array in failing if fault.array else len(failing) > 1)
    said = [finding for finding in result.findings if finding.array == fault.array]
    if fault.array:
        said = said[:1]
    right = [finding for finding in said if finding.kind in fault.kinds]
    where = None
    if fault.where is not None:
        shape = next(array.shape for array in result.arrays if array.name == fault.array)
        where = any(same_part(str(getattr(finding, "where", "")), fault.where, shape) for finding in right)
    return seen, bool(right), where, said or list(result.findings)


def recall(name, verbose):
    """How many faults of a half are named for what they are."""
    faults = half(name)
    seen = named = placed = places = raised = 0
    for fault in faults:
        was_seen, was_named, where, said = judge(fault)
        raised += was_seen is None
        seen += bool(was_seen)
        named += was_named
        places += where is not None
        placed += bool(where)
        if verbose and not (was_seen and was_named and where is not False):
            got = "; ".join(
                f"{finding.array or 'run'}: {finding.kind} {getattr(finding, 'where', '')} {finding.message}"
                for finding in said
            )
            location = f" at {fault.where}" if fault.where else ""
            expected = f"{fault.array or 'run'}: {' or '.join(sorted(fault.kinds))}{location}"
            print(f"{fault.name} ({fault.model.name})\n  expected {expected}\n  got {got or 'nothing'}")
    return {
        "half": name,
        "faults": len(faults),
        "raised": raised,
        "seen": seen,
        "named": named,
        "share": round(named / len(faults), 4),
        "places judged": places,
        "places right": placed,
    }


def false_alarms(seeds):
    """How many arrays of right gradients have a finding or do not pass."""
    arrays = alarms = 0
    for model in instances(seeds):
        result = pardiff.gradcheck(model.fun, model.grad, model.x0)
        found = {finding.array for finding in result.findings}
        arrays += len(result.arrays)
        wrong = [a.name for a in result.arrays if a.name in found or a.verdict is not pardiff.Verdict.PASS]
        alarms += len(wrong)
        if wrong or "" in found:
            print(f"alarm: {model.name} {wrong}: {[finding.kind for finding in result.findings]}", file=sys.stderr)
    return {"correct arrays": arrays, "with a finding": alarms}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--half", choices=("open", "held"), default="open", help="the faults to plant")
    parser.add_argument("--seeds", type=int, default=2, help="right instances of each model and size")
    parser.add_argument("--verbose", action="store_true", help="a paragraph for each fault that was missed")
    arguments = parser.parse_args()
    if not arguments.verbose:
        warnings.simplefilter("ignore")
    print(json.dumps(recall(arguments.half, arguments.verbose)))
    alarms = false_alarms(arguments.seeds)
    print(json.dumps(alarms))
    sys.exit(bool(alarms["with a finding"]))


if __name__ == "__main__":
    main()
