"""From paper to code: what the ledger names is there, and nothing of the paper is missing in it."""

import re

import pytest
from ledger import BOOK, COLUMNS, main, problems, rows

TEXT = (BOOK / "appendix_ledger.md").read_text(encoding="utf-8")
# What the paper numbers, and the settings of its Sec. 4.1 (read from its text; a row names one or several).
NUMBERED = [f"Eq. {n}" for n in range(1, 8)] + [f"Fig. {n}" for n in range(1, 7)]
LINES = [f"Alg. 1, training {n}" for n in range(1, 9)] + [f"Alg. 1, testing {n}" for n in range(1, 4)]
TABLES = {
    1: ["OSLSM", "co-FCN", "SG-One", "PANet-init", "PANet"],
    2: ["FG-BG", "Fine-tuning", "OSLSM", "co-FCN", "PL", "A-MCG", "SG-One", "PANet-init", "PANet"],
    3: ["PL", "PANet"],
    4: ["A-MCG", "PANet"],
    5: ["PANet without PAR", "PANet"],
    6: ["dense", "scribble", "bounding box"],
}
SETTINGS = [
    "417",
    "0.9",
    "0.0005",
    "30,000",
    "batch of 1",
    "1e-3",
    "10,000",
    "flipping",
    "ILSVRC",
    "1,000",
    "SBD",
    "20$",
]


def test_all_that_is_named_is_there():
    assert problems(TEXT) == [] and main() == 0


@pytest.mark.parametrize("item", NUMBERED + LINES)
def test_what_the_paper_numbers_has_a_row(item):
    assert item in [row["paper"] for row in rows(TEXT)]


@pytest.mark.parametrize("table", TABLES)
def test_each_row_of_a_table_has_one(table):
    mine = [row["paper"].split(", ") for row in rows(TEXT) if row["paper"].startswith(f"Table {table}, ")]
    assert sorted(name for _, *names in mine for name in names) == sorted(TABLES[table])


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting_has_a_row(setting):
    section = TEXT.split("## Settings and protocol")[1].split("\n## ")[0]
    assert any(setting in row["what"] for row in rows(section))


@pytest.mark.parametrize(
    "code, chapter, test, says",
    [
        (
            "`prototypes.pool`",
            "{doc}`index`",
            "`test_parity::test_head`",
            "panet_lite has no prototypes.pool",
        ),
        ("`nothing`", "{doc}`index`", "`test_parity::test_head`", "panet_lite has no nothing"),
        ("`matching.match`", "{doc}`03_matching`", "`test_parity::test_head`", "there is no 03_matching"),
        ("`matching.match`", "chapter 4", "`test_parity::test_head`", "0 chapters are named, not one"),
        (
            "`matching.match`",
            "{doc}`index`",
            "`test_parity::test_tail`",
            "there is no test test_parity::test_tail",
        ),
        ("`matching.match`", "{doc}`index`", "-", "no test is named"),
        ("somewhere", "{doc}`index`", "`test_parity::test_head`", "no code is named"),
        (
            "not reproduced: dull",
            "{doc}`index`",
            "`test_parity::test_head`",
            "what is not reproduced has no test",
        ),
    ],
)
def test_what_is_wrong_is_said(code, chapter, test, says):
    row = f"| Eq. 8 | a sum | {code} | {chapter} | {test} |"
    assert problems(row) == [f"Eq. 8, a sum: {says}"]


def test_a_row_of_other_columns_is_no_row():
    with pytest.raises(ValueError):
        problems("| Eq. 8 | a sum | `matching.match` |")
    heads = re.findall(r"^\| paper .*\|$", TEXT, re.M)
    assert set(heads) == {f"| {' | '.join(COLUMNS)} |"} and len(heads) == TEXT.count(
        "\n|---|---|---|---|---|\n"
    )
