"""The other editions of a chapter: what it says, said so that Colab, GitHub or JupyterLab render it.

Each guard looks at one chapter and what book/editions.py made of it; further down, each is shown to be able to
fail. How the editions look, and that they run, is for tests/places.
"""

import copy
import re
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import editions
import notebooks
import pytest
import yaml
from pybtex.database import parse_file
from test_notebooks import EXERCISE, LABEL, SOLUTION, code_cells, exercises, prose

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))
URL = notebooks.repository()
WORKS = parse_file(BOOK / "references.bib").entries
EQUATION = re.compile(r"\$\$(.+?)\$\$", re.S)
ALONE = re.compile(
    r"(?:\A|\n>?\n)(?:> )?\$\$([^\n$]+)\$\$(?=\n>?\n|\n:::|\Z)"
)  # in a quotation, a box, or neither
HEAD = re.compile(r"^`{3,}\{exercise\}.+\n:label:.+", re.M)
CITATION = re.compile(r"\{cite(?::t)?\}`([^`]+)`")
CITED = re.compile(r"\[[^][]+?(?:, \d{4}|\(\d{4}\))\]\(([^)]+)\)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^(```+|~~~+).*?^\1|(?<![}`])`[^`\n]+`", re.M | re.S)


@cache
def made(path, kind):
    """A chapter as it is committed, and its edition; whoever spoils one takes a copy."""
    source, edition = notebooks.read(path), editions.edition(path, kind)
    return SimpleNamespace(source=source, edition=edition, stem=path.stem, kind=kind)


def squeezed(texts):
    return [" ".join(text.split()) for text in texts]


def told(m):
    """The chapter's text as far as the edition should hold it."""
    return SOLUTION.sub("", prose(m.source)) if m.kind == "plain" else prose(m.source)


def other_code(m):
    before, after = ([c.source for _, c in code_cells(n)] for n in (m.source, m.edition))
    if before != after:
        yield "the code cells are not the chapter's, in its order"


def other_outputs(m):
    for (i, old), (_, new) in zip(code_cells(m.source), code_cells(m.edition)):
        pairs = zip(old.outputs, new.outputs)
        if len(old.outputs) != len(new.outputs) or any(
            (a.get("data"), a.get("text")) != (b.get("data"), b.get("text")) for a, b in pairs
        ):
            yield f"the outputs of cell {i} are not the chapter's"


def set_up_cell_elsewhere(m):
    if m.edition.cells[1].source != code_cells(m.source)[0][1].source:
        yield "the set-up cell is not the second cell, right after the words on what this file is"


def unsaid_origin(m):
    which = f"Chapter {int(m.stem[:2])} of" if m.stem[:2].isdigit() else "The first page of"
    first = m.edition.cells[0].source
    if which not in first or "book/editions.py" not in first:
        yield "the first cell does not say which chapter this is and what wrote it"
    if f"]({URL}/blob/main/book/{m.stem}.ipynb)" not in first:
        yield "the first cell has no link to its source"


def raw_markup(m):
    """Of what MyST has beside Markdown, JupyterLab's extension renders four directives, the others nothing."""
    text = CODE.sub("", prose(m.edition))
    text += "\n".join(["", *re.findall(r"^[`~:]{3,}\{.*", prose(m.edition), re.M)])
    if m.kind == "lab":
        text = re.sub(r"^(:::|```+)(\{(admonition|exercise|solution|code-block)\}.*)?$", "", text, flags=re.M)
    for found in re.findall(r":::.*|[`~]{3,}\{.*|\{[a-z:]+\}`|^\(\S+\)=.*|\{\{.*", text, re.M):
        yield f"raw markup: {found}"


def wrong_solutions(m):
    """The plain edition has none, the others have all of them, folded."""
    text, wanted = prose(m.edition), {} if m.kind == "plain" else exercises(m.source)
    if m.kind == "lab":
        folded = exercises(m.edition)
    else:
        bodies = re.findall(r"<details>\n<summary>.+?</summary>\n\n(.+?)\n\n</details>", text, re.S)
        found = [code for b in bodies for code in re.findall(r"^```python\n(.+?\n)```$", b, re.M | re.S)]
        folded = dict(zip(wanted, found)) if len(found) == text.count("<details") == len(wanted) else None
    if folded != wanted:
        yield f"not the {len(wanted)} solutions that should be there, folded"
    for label, code in exercises(m.source).items():
        if (code in text) != (label in wanted):
            yield f"the solution of {label} is {'missing' if label in wanted else 'there'}"


def wrong_equations(m):
    """In order, each on a line of its own between two dollars, with empty lines around: so all viewers find it."""
    before = squeezed(EQUATION.findall(told(m)))
    text = prose(m.edition)
    after = ALONE.findall(text)
    if before != squeezed(after) or text.count("$$") != 2 * len(after):
        yield f"{len(before)} equations became {len(after)}"


def citations_without_link(m):
    text = told(m)
    keys = [k.strip() for found in CITATION.findall(text) for k in found.split(",")]
    body, _, listed = prose(m.edition).partition("\n## References\n")
    targets = CITED.findall(body)
    if len(targets) != len(keys):
        yield f"{len(keys)} citations became {len(targets)} links"
    for key, target in zip(keys, targets):
        own = [WORKS[key].fields.get(name) for name in ("doi", "eprint", "url")]
        if not target.startswith(("http://", "https://")) or not any(o and o in target for o in own):
            yield f"{key} is linked to {target}"
    if len(re.findall(r"^- ", listed, re.M)) != len(set(keys)):
        yield f"{len(set(keys))} works are cited, the list has another number"


def exercises_without_title(m):
    text, number = prose(m.edition), m.stem[:2].lstrip("0")
    if m.kind == "lab":  # the extension counts them
        wanted = f"{number}.%s" if number.isdigit() else "%s"
        if f"\n    enumerator: {wanted}\n" not in m.edition.cells[0].source:
            yield "the exercises are not numbered by chapter"
        if HEAD.findall(text) != HEAD.findall(prose(m.source)):
            yield "the exercises' heads are not the chapter's"
        return
    for count, found in enumerate(EXERCISE.finditer(prose(m.source)), 1):
        title = f"**Exercise {number}.{count}: {found['head'].strip()}**"
        if text.count(title) != 1 or not found["head"].strip():
            yield f"{LABEL.search(found['body'])[1]} has no title {title}"


def figures_without_words(m):
    pairs = list(zip(code_cells(m.source), code_cells(m.edition)))
    for (_, old), (i, new) in pairs:
        mystnb = old.metadata.get("mystnb", {})
        caption = mystnb.get("figure", {}).get("caption")
        if caption and not re.match(
            rf"\*\*Figure [\d.]+\.\*\* {re.escape(caption)}$", m.edition.cells[i + 1].source
        ):
            yield f"behind cell {i} its caption is missing"
        for output in new.outputs:
            for kind in (k for k in output.get("data", {}) if k.startswith("image/")):
                alt = output.metadata.get(kind, {}).get("alt", "")
                if len(alt.split()) < 5 or mystnb.get("image", {}).get("alt", alt) != alt:
                    yield f"the picture of cell {i} does not have its alt text"


def unfolded_drawing(m):
    for i, cell in code_cells(m.edition):
        hidden = cell.metadata.get("cellView"), cell.metadata.get("jupyter", {}).get("source_hidden")
        if hidden != (("form", True) if "hide-input" in cell.metadata.get("tags", []) else (None, None)):
            yield f"cell {i} should be folded as its chapter's cell is, and is not"


def broken_links(m):
    text = prose(m.edition)
    for target in LINK.findall(text):
        home = f"{URL}/blob/main/"
        if target.startswith(home):
            found = (ROOT / target.removeprefix(home)).is_file()
        elif target.startswith("#"):
            found = f"\n## {target[1:]}\n" in text
        else:
            file = (ROOT / editions.FOLDERS[m.kind] / target).resolve()
            found = target.startswith(("http://", "https://")) or file.is_file() or BOOK / target in CHAPTERS
        if not found:
            yield f"{target} leads nowhere"


GUARDS = [
    other_code,
    other_outputs,
    set_up_cell_elsewhere,
    unsaid_origin,
    raw_markup,
    wrong_solutions,
    wrong_equations,
    citations_without_link,
    exercises_without_title,
    figures_without_words,
    unfolded_drawing,
    broken_links,
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
@pytest.mark.parametrize("kind", ["plain", "teacher", "lab"])
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_edition(path, kind, guard):
    assert not list(guard(made(path, kind)))


def test_cells_keep_their_names():
    """`panet_lite.check grade` knows a student's cells by them."""
    for path in CHAPTERS:
        names = [
            [c.id for c in notebooks.read(p).cells if c.cell_type == "code"]
            for p in (path, BOOK / "plain" / path.name)
        ]
        assert names[0] == names[1], path.stem


def test_committed_plain_editions_are_what_the_program_writes(capsys):
    assert editions.main(["check"]) == 0, capsys.readouterr().out


# ---- the guards themselves: each must be able to fail -------------------------------------------------


def cell_with(m, text):
    return next(c for c in m.edition.cells if text in c.source)


def replace(old, new):
    """Spoil the first cell of the edition that holds `old`."""

    def spoil(m):
        cell = cell_with(m, old)
        cell.source = cell.source.replace(old, new, 1)

    return spoil


def swap_cells(m):
    (i, _), (j, _) = code_cells(m.edition)[2:4]
    m.edition.cells[i], m.edition.cells[j] = m.edition.cells[j], m.edition.cells[i]


def drop_output(m):
    next(c for _, c in code_cells(m.edition) if c.outputs).outputs.pop()


def set_up_later(m):
    m.edition.cells.insert(3, m.edition.cells.pop(1))


def put(text):
    """Spoil the edition by a paragraph."""

    def spoil(m):
        m.edition.cells[2].source += f"\n\n{text}"

    return spoil


def tell_a_solution(m):
    code = next(iter(exercises(m.source).values()))
    put(f"```python\n{code}```\n")(m)


def drop_caption(m):
    m.edition.cells.remove(cell_with(m, "**Figure 3.2.**"))


def drop_alt(m):
    output = next(o for _, c in code_cells(m.edition) for o in c.outputs if "image/png" in o.get("data", {}))
    del output.metadata["image/png"]


def unfold(m):
    del m.edition.cells[1].metadata["cellView"]


@pytest.mark.parametrize(
    "spoil, guard",
    [
        (replace("print(", "print ("), other_code),
        (swap_cells, other_code),
        (drop_output, other_outputs),
        (set_up_later, set_up_cell_elsewhere),
        (replace("Chapter 3 of", "A chapter of"), unsaid_origin),
        (replace("[its source]", "its source ["), unsaid_origin),
        (put(":::{note}\nx\n:::"), raw_markup),
        (put("```{note}\nx\n```"), raw_markup),
        (put("{doc}`index`"), raw_markup),
        (put("(eq9)=\n"), raw_markup),
        (tell_a_solution, wrong_solutions),
        (replace(r"\tag{1}", ""), wrong_equations),
        (replace("\n>\n> $$p_c", "\n> $$p_c"), wrong_equations),
        (put("so\n$$\nx\n$$"), wrong_equations),
        (put("([Wang et al., 2019](https://example.org))"), citations_without_link),
        (replace("Zhang et al. (2020)](https:", "Zhang et al. (2020)](ftp:"), citations_without_link),
        (
            replace("](https://doi.org/10.1109/TCYB.2020", "](https://doi.org/10.1109/TCYB.2021"),
            citations_without_link,
        ),
        (replace("\n- Kaixin Wang", "\nKaixin Wang"), citations_without_link),
        (replace("**Exercise 3.2: ", "**Exercise 3.3: "), exercises_without_title),
        (drop_caption, figures_without_words),
        (replace("**Figure 3.2.** The", "**Figure 3.2.** A"), figures_without_words),
        (drop_alt, figures_without_words),
        (unfold, unfolded_drawing),
        (put("[a](12_more.ipynb)"), broken_links),
        (put(f"[a]({URL}/blob/main/book/appendix_no.md)"), broken_links),
        (put("[a](#Nowhere)"), broken_links),
    ],
)
def test_guard_sees_a_spoilt_edition(spoil, guard):
    spoilt = copy.deepcopy(made(BOOK / "03_prototypes.ipynb", "plain"))
    assert not [line for g in GUARDS for line in g(spoilt)]
    spoil(spoilt)
    assert list(guard(spoilt))


@pytest.mark.parametrize(
    "kind, spoil, guard",
    [
        ("teacher", replace("<details>", ""), wrong_solutions),
        ("lab", replace("\n:class: dropdown", ""), wrong_solutions),
        ("lab", replace("{exercise} The background", "{exercise} A background"), exercises_without_title),
        ("lab", replace("enumerator: 3.%s", "enumerator: 4.%s"), exercises_without_title),
        ("lab", put("{cite}`wang2019panet`"), raw_markup),
        ("lab", put("```{bibliography}\n```"), raw_markup),
    ],
)
def test_guard_sees_other_editions_spoilt(kind, spoil, guard):
    spoilt = copy.deepcopy(made(BOOK / "03_prototypes.ipynb", kind))
    assert not list(guard(spoilt))
    spoil(spoilt)
    assert list(guard(spoilt))


# ---- the program --------------------------------------------------------------------------------------


@pytest.fixture
def fork(tmp_path):
    """A book of two chapters and the appendices, at another address."""
    folder = tmp_path / "book"
    folder.mkdir()
    for path in (
        *BOOK.glob("*.md"),
        BOOK / "references.bib",
        BOOK / "03_prototypes.ipynb",
        BOOK / "11_full_scale.ipynb",
    ):
        shutil.copy(path, folder)
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    settings["repository"].update(url="https://github.com/someone/their-fork", branch="next")
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(settings))
    for chapter in folder.glob("*.ipynb"):
        notebooks.main(["setup", str(chapter)])
    return folder


def test_a_fork_gets_its_own_links(fork):
    assert editions.main(["plain"], fork) == 0
    text = (fork / "plain" / "11_full_scale.ipynb").read_text(encoding="utf-8")
    assert URL not in text
    assert "https://github.com/someone/their-fork/blob/next/book/appendix_data.md" in text
    assert "https://colab.research.google.com/github/someone/their-fork/blob/next/book/plain/11_full" in text


def test_check_sees_what_plain_would_change(fork, capsys):
    assert editions.main(["plain"], fork) == editions.main(["check"], fork) == 0
    file = fork / "plain" / "03_prototypes.ipynb"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("Somebody hands you", "I hand you"), encoding="utf-8")
    assert (
        editions.main(["check"], fork) == 1
        and "plain/03_prototypes.ipynb is not what" in capsys.readouterr().out
    )
    file.unlink()
    assert editions.main(["check"], fork) == 1
    assert editions.main(["plain"], fork) == 0 and file.read_text(encoding="utf-8") == text  # always the same
    (fork / "11_full_scale.ipynb").unlink()
    assert editions.main(["check"], fork) == 1 and (fork / "plain" / "11_full_scale.ipynb").exists()
    assert editions.main(["plain"], fork) == 0 and not (fork / "plain" / "11_full_scale.ipynb").exists()


def test_a_readers_work_is_kept(fork, capsys):
    assert editions.main(["lab"], fork) == 0
    file = fork.parent / "lab" / "03_prototypes.ipynb"
    text = file.read_text(encoding="utf-8")
    file.write_text("mine", encoding="utf-8")
    assert editions.main(["lab"], fork) == 0 and "03_prototypes.ipynb is kept" in capsys.readouterr().out
    assert file.read_text(encoding="utf-8") == "mine"
    file.unlink()
    assert editions.main(["lab"], fork) == 0 and file.read_text(encoding="utf-8") == text


def test_the_teachers_edition_is_written_beside_the_built_book(fork):
    assert editions.main(["teacher"], fork) == 0
    written = sorted(p.name for p in (fork.parent / "_build" / "editions" / "teacher").iterdir())
    assert written == ["03_prototypes.ipynb", "11_full_scale.ipynb"] and not (fork / "plain").exists()


@pytest.mark.parametrize(
    "text, word", [(":::{tableau}\nx\n:::", "{tableau}"), ("See {numref}`fig`.", "{numref}")]
)
def test_what_the_program_does_not_know_is_named(fork, text, word):
    path = fork / "03_prototypes.ipynb"
    notebook = notebooks.read(path)
    notebook.cells[0].source += f"\n\n{text}"
    path.write_text(notebooks.dump(notebook), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"03_prototypes: .*{word} is not known to book/editions.py"):
        editions.edition(path, "plain")
