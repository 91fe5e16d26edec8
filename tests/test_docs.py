"""What the documentation says of options, words and links is so."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

import pardiff
from pardiff.cli import cli
from pardiff.problem.options import OptionKeywords, Options

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / ".github").glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
NAMES = [each.name for each in fields(Options)]


def rows(page):
    """Cells of the tables of a page, without their heads."""
    for line in (ROOT / page).read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def anchor_of(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_options_are_written_once():
    """The table, the keywords, the flags and the signature have the names of the fields, in their order."""
    signature = [name for name in inspect.signature(pardiff.gradcheck).parameters if name in NAMES]
    flags = [p.name for p in cli.commands["run"].params if isinstance(p, click.Option) and p.name in NAMES]

    assert list(OptionKeywords.__annotations__) == NAMES
    assert signature == flags == NAMES
    assert [row[0].strip("`") for row in rows("docs/options.md")][1:] == NAMES


def test_the_table_says_what_the_help_says():
    """Each option has the same sentences and the same default on the command line and in the docs."""
    table = {row[0].strip("`"): row[1:] for row in rows("docs/options.md")}
    for each in fields(Options):
        text, _, default = each.metadata["help"].partition("  [default: ")
        meaning, said = table[each.name]
        assert meaning.replace("\\|", "|") == text
        assert said == (default.removesuffix("]") or "not set")


def test_the_glossary_is_short():
    """At most thirty words, in one table, each of them once."""
    words = [row[0] for row in rows("docs/glossary.md")][1:]
    assert len(set(words)) == len(words) <= 30


def test_the_readme_is_short():
    """The README fits on a few screens: the rest is in the docs."""
    assert len((ROOT / "README.md").read_text().split()) < 900


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every link to a file or a heading of this project is there."""
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name}: no {target}"
        if anchor:
            headings = [anchor_of(line.lstrip("# ")) for line in file.read_text().splitlines() if line.startswith("#")]
            assert anchor in headings, f"{page.name}: no heading {target}"


def test_every_public_name_is_in_the_api_reference():
    """The API page has all that the package exports, and no more."""
    text = (ROOT / "docs" / "api.md").read_text()
    assert set(re.findall(r"pardiff\.(\w+)", text)) == set(pardiff.__all__) - {"__version__"}


def test_every_page_is_in_the_index():
    """Nobody has to guess that a page is there."""
    text = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in text
