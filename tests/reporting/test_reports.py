"""Renderers: golden files, escaping, and pages that need nothing else."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import pardiff
from pardiff.reporting.html import render_html
from pardiff.reporting.junit import render_junit
from pardiff.reporting.markdown import render_markdown
from pardiff.reporting.terminal import render_terminal
from pardiff.reporting.write import RENDERERS
from pardiff.testing import plant, two_layers

GOLDEN = Path(__file__).parent / "golden"


def loss(x):
    return float(x["W"].sum() ** 2 + x["b"] @ x["b"])


def gradient(x):
    return {"W": np.full_like(x["W"], 2 * x["W"].sum()), "b": 2.5 * x["b"]}


@pytest.fixture(scope="module")
def summary():
    """An audit whose numbers are exact in binary, so that its reports do not depend on the machine."""
    x0 = {"W": np.array([[0.5, 0.25], [1.0, -1.0]]), "b": np.array([2.0, 4.0])}
    found = pardiff.gradcheck(loss, gradient, x0, abs_step=2.0**-10, rtol=1e-3).summary
    return replace(
        found, seconds=1.25, provenance={
            "created": "2026-01-01T00:00:00+00:00", "python": "3", "platform": "p", "host": "h", "cores": 2,
            "packages": {"pardiff": "0.1.0"},
        },
        workers=(replace(found.workers[0], worker="h:1", seconds=1.0),),
        baseline=replace(found.baseline, seconds=0.0, noise=0.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "render"),
    [("report.txt", render_terminal), ("report.md", render_markdown), ("junit.xml", lambda s: render_junit([s])),
     ("report.json", RENDERERS["json"])],
)  # fmt: skip
def test_golden(name, render, summary, request):
    """The reports of a fixed audit read as the golden files do."""
    text = render(summary)
    if not (GOLDEN / name).exists():  # pragma: no cover - first made by hand, then looked at and committed
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(text)

    assert text == (GOLDEN / name).read_text()


class Page(HTMLParser):
    """What a browser would find in a page."""

    VOID = ("meta", "br", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_self_contained(summary):
    """The page loads nothing: no address but within it, no script but its own; and its tags are balanced."""
    page = Page(render_html(summary))

    assert page.open == []
    assert not {"link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//)", render_html(summary))
    assert "FAIL" in " ".join(page.text)
    assert all("aria-label" in attributes for tag, attributes in page.tags if tag == "svg")


HOSTILE = "<script>alert(1)</script>"


@pytest.mark.parametrize("kind", RENDERERS)
def test_names_and_messages_are_escaped(kind):
    """Names of arrays and messages of errors are shown and do nothing."""

    name = f'{HOSTILE.replace("/", "")}"&|`\x1b[2J\n'

    def fun(x):
        if x[name][0] != 1.0:
            raise ValueError(f"{HOSTILE}\x1b]0;title\x07]]>")
        return float(x[name] @ x[name])

    result = pardiff.gradcheck(fun, {name: np.array([2.0, 7.0])}, {name: np.ones(2)})
    text = RENDERERS[kind](result.summary)

    assert result.counts["error"] == 1
    assert "\x1b" not in text
    if kind == "html":
        page = Page(text)
        assert [tag for tag, _ in page.tags].count("script") == 1
        assert HOSTILE in "".join(page.text)
    elif kind == "markdown":
        assert "<script" not in text
    elif kind == "junit":
        ElementTree.fromstring(text)
    else:
        assert json.loads(text)["arrays"][0]["name"] == name
    assert "\x1b" not in str(result)


def test_numbers_that_json_has_not():
    """Non-finite numbers are null in JSON."""
    result = pardiff.gradcheck(lambda x: float(x @ x), np.array([np.nan, 2.0]), np.ones(2))
    data = json.loads(RENDERERS["json"](result.summary))

    assert data["worst"][0]["analytical"] is None
    assert data["arrays"][0]["verdict"] == "FAIL"


@pytest.mark.parametrize("shape", [(), (1,), (300,), (3, 500), (2, 3, 4), (100, 100)])
def test_heat_maps_of_any_shape(shape):
    """Arrays of any shape have a map, of bounded size, that shows where the failing entry is."""
    x0 = {"w": np.ones(shape)}
    grad = {"w": np.full(shape, 2.0)}
    grad["w"].reshape(-1)[-1] = 5.0
    (picture,) = pardiff.gradcheck(lambda x: float(np.sum(x["w"] ** 2)), grad, x0).summary.maps

    assert len(picture.failing) <= 40
    assert len(picture.failing[0]) <= 80
    assert picture.failing[-1][-1] > 0
    assert np.sum(np.array(picture.failing) > 0) == 1


def test_reports_of_many_arrays_stay_small():
    """A report of 500 arrays, all failing, is under 2 MB."""
    x0 = {f"layer{i}": np.ones((2, 2)) for i in range(500)}
    grad = {name: np.full((2, 2), 3.0) for name in x0}
    result = pardiff.gradcheck(lambda x: float(np.sum(x["layer0"])), grad, x0)
    text = render_html(result.summary)

    assert len(text) < 2_000_000
    assert len(str(result).splitlines()) < 600


def test_findings_name_arrays_and_entries():
    """The report of a fault names the array and its entries."""
    text = str(pardiff.gradcheck(plant(two_layers(), (5, 7), -1.0)))

    assert "first/W[[1, 2], [1, 2]]" not in text
    assert "has the wrong sign; 2 of 12 entries are wrong, most of all first/W[" in text


def test_notebooks_show_the_report():
    """A result is a part of a page that closes what it opens and runs nothing."""
    text = pardiff.gradcheck(plant(two_layers(), (5, 7), -1.0))._repr_html_()
    page = Page(text)

    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert "has the wrong sign" in " ".join(page.text)


@pytest.mark.parametrize("render", [str, lambda result: render_markdown(result.summary)])
@pytest.mark.parametrize("arrays", [1, 3, 40])
def test_reports_are_brief(render, arrays):
    """In about twenty lines the verdict, what is wrong, and the worst entries, however many arrays there are."""
    x0 = {f"layer{i}": np.linspace(1, 2, 6).reshape(2, 3) for i in range(arrays)}
    result = pardiff.gradcheck(
        lambda x: float(sum(np.sum(v**3) for v in x.values())), lambda x: {k: -3 * v**2 for k, v in x.items()}, x0
    )
    lines = [line for line in render(result).splitlines() if line]

    assert len(lines) <= 22
    assert "FAIL" in lines[0]
    assert any("wrong sign" in line for line in lines)
