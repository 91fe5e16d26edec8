"""The report as JUnit XML: a suite per problem, a case per named array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

from pardiff.comparison.reconcile import ArrayResult
from pardiff.comparison.verdicts import Verdict
from pardiff.reporting.printable import printable
from pardiff.reporting.summary import Summary
from pardiff.reporting.text import finding_line


def render_junit(summaries: Sequence[Summary], broken: Sequence[tuple[str, str]] = ()) -> str:
    """JUnit XML.

    A failing array is a ``failure`` of the kind of its first finding, with all of its findings as text; an inconclusive
    one is ``skipped`` with its reason, and one with entries that were not evaluated an ``error``. Findings on several
    arrays, and on the run, are the suite's output.

    Parameters
    ----------
    summaries : sequence of Summary
    broken : sequence of (name, message)
        Problems that could not be run.
    """
    root = ElementTree.Element("testsuites", name="pardiff")
    for summary in summaries:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=printable(summary.name),
            time=f"{0.0 if math.isnan(summary.seconds) else summary.seconds:.3f}",
        )
        for array in summary.arrays:
            _case(suite, summary, array)
        _count(suite)
        others = [finding_line(finding) for finding in summary.findings if not finding["array"]]
        if others:
            ElementTree.SubElement(suite, "system-out").text = "\n".join(map(printable, others))
    for name, message in broken:
        suite = ElementTree.SubElement(root, "testsuite", name=printable(name))
        case = ElementTree.SubElement(suite, "testcase", classname=printable(name), name="run")
        ElementTree.SubElement(case, "error", message=printable(message), type="broken")
        _count(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _case(suite: ElementTree.Element, summary: Summary, array: ArrayResult) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=printable(summary.name), name=printable(array.name))
    message = printable(array.finding.message if array.finding else summary.headline)
    if array.verdict is Verdict.FAIL:
        kind = array.finding.kind if array.finding else "mismatch"
        failure = ElementTree.SubElement(case, "failure", message=message, type=kind)
        own = [finding["message"] for finding in summary.findings if finding["array"] == array.name]
        if len(own) > 1:
            failure.text = "\n".join(map(printable, own))
    elif array.counts["error"] or (array.counts["missing"] and summary.exit_status == 4):
        ElementTree.SubElement(case, "error", message=message, type="incomplete")
    elif array.verdict is Verdict.INCONCLUSIVE:
        ElementTree.SubElement(case, "skipped", message=message)


def _count(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
