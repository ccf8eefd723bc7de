"""book/references.bib: each work can be found from its entry, and its title is printed as it is written."""

import re
from pathlib import Path

import pytest
from pybtex.database import parse_file
from pybtex.plugin import find_plugin

BIB = Path(__file__).resolve().parents[2] / "book" / "references.bib"
ENTRIES = parse_file(BIB).entries
LINKS = {
    "doi": re.compile(r"10\.\d{4,9}/[^\s{}]+"),
    "eprint": re.compile(r"\d{4}\.\d{4,5}"),  # arXiv's
    "url": re.compile(r"https?://[^\s{}]+"),
}
each_entry = pytest.mark.parametrize("key", ENTRIES)


def shown(entry):
    """An entry's text as the book's style prints it."""
    (printed,) = find_plugin("pybtex.style.formatting", "plain")().format_entries([entry])
    return printed.text.render_as("text"), printed.text.render_as("html")


@each_entry
def test_every_work_has_a_link(key):
    fields = ENTRIES[key].fields
    given = {name: fields[name] for name in LINKS if name in fields}
    assert given and all(LINKS[name].fullmatch(value) for name, value in given.items())
    assert "arxiv" not in fields.get("note", "").lower() and "doi.org" not in fields.get("url", "")
    assert re.search(r'<a href="https?://\S+">', shown(ENTRIES[key])[1])


@each_entry
def test_titles_keep_their_capitals(key):
    """The style writes titles small; a name, in braces in the file, stays: VOC, MobileNetV3, 0.5MB."""
    title = re.sub(r"[{}]", "", ENTRIES[key].fields["title"])
    names = [word for word in re.split(r"[\s()]+", title) if re.search(r"\w[A-Z]", word)]
    text = shown(ENTRIES[key])[0]
    assert [name for name in names if name not in text] == []


def test_what_was_once_wrong():
    printed = " ".join(shown(entry)[0] for entry in ENTRIES.values())
    assert "<0.5MB model size" in printed
    assert (
        "Prior guided feature enrichment network for few-shot segmentation. IEEE Transactions on" in printed
    )
    assert "44(2):1050–1065, 2022" in printed


def test_years_of_journals_come_with_volumes():
    journals = {key: entry.fields for key, entry in ENTRIES.items() if entry.type == "article"}
    assert [key for key, fields in journals.items() if "volume" not in fields] == [
        "oquab2024dinov2"
    ]  # TMLR has none


def test_works_are_named_once():
    for name in ("title", "doi", "eprint"):
        values = [entry.fields[name].lower() for entry in ENTRIES.values() if name in entry.fields]
        assert len(values) == len(set(values))
