"""Write the book's other editions from its chapters: `python book/editions.py plain|teacher|lab|check`.

plain    book/plain/*.ipynb, for Colab, GitHub and students: Markdown that every viewer knows, no solutions
teacher  _build/editions/teacher/*.ipynb, the same with the solutions, folded
lab      lab/*.ipynb, for JupyterLab and Notebook 7 with jupyterlab-myst, which folds the solutions; what is
         there already is kept, it may be a reader's work
check    change nothing; print a line for each file of book/plain that `plain` would change

There is one source, the committed chapter (book/*.ipynb). Code cells and outputs are the source's; what a
viewer does not know of directives, roles and targets becomes Markdown.
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import notebooks
import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.plugin import find_plugin

LIMIT = 500_000  # bytes, as for a chapter
NUMBERED = re.compile(r"\d\d_")
OPTIONS = re.compile(r"\A(?::[\w-]+:[^\n]*\n?)*")
NOTES = {
    "plain": "the plain edition, for Colab, GitHub and students; the solutions are with the source",
    "teacher": "the teacher's edition: each solution is folded below its exercise",
    "lab": "the edition for JupyterLab: each solution is folded below its exercise",
}
FOLDERS = {"plain": "book/plain", "teacher": "_build/editions/teacher", "lab": "lab"}
# Only the paper's equations have numbers, and exercises are numbered as on the page.
NUMBERING = "---\nnumbering:\n  equation: false\n  exercise:\n    enumerator: {}\n---\n\n"


@dataclass(frozen=True)
class Book:
    """The folder of the chapters, and what _config.yml beside it says about the repository."""

    folder: Path

    @property
    def settings(self) -> dict:
        """What `_config.yml` says, as a dictionary."""
        return yaml.safe_load((self.folder.parent / "_config.yml").read_text(encoding="utf-8"))

    @property
    def chapters(self) -> list[Path]:
        """The notebooks, in the order of their numbers."""
        return sorted(self.folder.glob("*.ipynb"))

    def address(self, name: str = "") -> str:
        """Where the repository shows a file of the book."""
        repository = self.settings["repository"]
        return f"{repository['url']}/blob/{repository['branch']}/{repository['path_to_book']}/{name}"

    def colab(self, name: str) -> str:
        """Where Colab opens one."""
        host = self.settings["launch_buttons"]["colab_url"]
        return self.address(name).replace("https://github.com", f"{host}/github", 1)

    @cache  # noqa: B019  a handful of books in a process, and each small
    def works(self) -> BibliographyData:
        """The entries of `references.bib`, by their keys."""
        return parse_file(self.folder / "references.bib")

    def title(self, name: str) -> str:
        """The first heading of a page, named as {doc} names it."""
        page = self.folder / f"{name}.md"
        chapter = page.with_suffix(".ipynb")
        text = page.read_text(encoding="utf-8") if page.exists() else notebooks.read(chapter).cells[0].source
        return re.search(r"^# (.+)$", text, re.M)[1]


@dataclass
class Chapter:
    """One chapter on its way into an edition."""

    book: Book
    stem: str
    kind: str  # of the edition: plain, teacher or lab
    exercises: dict[str, str] = field(default_factory=dict)  # label -> "Exercise 3.2: its title"
    cited: list[str] = field(default_factory=list)

    def numbered(self, count: int | str) -> str:
        """As the page numbers exercises and figures: by chapter."""
        return f"{int(self.stem[:2])}.{count}" if NUMBERED.match(self.stem) else str(count)


@cache
def parser() -> MarkdownIt:
    """The parser of the built page, with the same extensions."""
    extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "tasklist"]
    return create_md_parser(MdParserConfig(enable_extensions=set(extensions)), RendererHTML)


def directive(token: Token) -> tuple[str, str, dict[str, str], str] | None:
    """Of a fence: the directive's name, argument, options and body; None where it is no directive."""
    opening = re.match(r"\{([\w-]+)\}\s*(.*)", token.info.strip())
    if token.type not in ("fence", "colon_fence") or not opening:
        return None
    head = OPTIONS.match(token.content)[0]
    options = dict(line[1:].split(":", 1) for line in head.splitlines())
    return opening[1], opening[2], {k: v.strip() for k, v in options.items()}, token.content[len(head) :]


# ---- what stands for each role and directive ---------------------------------------------------------


def names(entry: Entry) -> str:
    """Snell; Simonyan and Zisserman; Wang et al."""
    people = entry.persons["author"]
    last = [" ".join(str(part) for part in (*p.rich_prelast_names, *p.rich_last_names)) for p in people]
    return f"{last[0]} et al." if len(last) > 2 else " and ".join(last)


def link_to(entry: Entry) -> str:
    """Where to read a work: its DOI, its number at arXiv, or its address; tests/book/test_references.py holds that it has one."""
    for name, where in (("doi", "https://doi.org/"), ("eprint", "https://arxiv.org/abs/")):
        if name in entry.fields:
            return where + entry.fields[name]
    return entry.fields["url"]


def cite(chapter: Chapter, keys: str, in_text: bool) -> str:
    """Links to the works that `keys` names, 'Authors (year)' in a text and '(Authors, year)' behind it."""
    links = []
    for key in (key.strip() for key in keys.split(",")):
        entry = chapter.book.works().entries[key]
        if key not in chapter.cited:
            chapter.cited.append(key)
        year = entry.fields["year"]
        text = f"{names(entry)} ({year})" if in_text else f"{names(entry)}, {year}"
        links.append(f"[{text}]({link_to(entry)})")
    return ", ".join(links) if in_text else f"({'; '.join(links)})"


def page_link(chapter: Chapter, name: str) -> str:
    """To a chapter: the notebook beside this one. To a page that is no notebook: the source of it."""
    stem = Path(name).stem
    if (chapter.book.folder / f"{stem}.ipynb").exists():
        return f"{stem}.ipynb"
    return f"../book/{stem}.md" if chapter.kind == "lab" else chapter.book.address(f"{stem}.md")


def role(chapter: Chapter, name: str, content: str) -> str:
    """The Markdown that stands for {name}`content` where no Sphinx reads it."""
    if name in ("cite", "cite:t"):
        return cite(chapter, content, in_text=name == "cite:t")
    if name == "ref":
        return chapter.exercises[content].replace("Exercise", "exercise", 1)
    if name == "doc":
        text, target = re.fullmatch(r"(?:(.*\S)\s*<)?([^<>]+)>?", content, re.S).groups()
        return f"[{text or chapter.book.title(target)}]({page_link(chapter, target)})"
    raise ValueError(f"{chapter.stem}: the role {{{name}}} is not known to book/editions.py; teach it there.")


def box(title: str, body: str) -> str:
    """A quotation under a bold title. Tables and code interrupt it: not every viewer draws them inside."""
    text = f"**{title}**\n\n{body}".splitlines()
    lines = [f"> {line}".rstrip() for line in text]
    for token in parser().parse("\n".join(text)):
        if token.level == 0 and token.type in ("table_open", "fence"):
            start, end = token.map
            lines[start - 1 : end + 1] = ["", *text[start:end], ""]
    return "\n".join(lines)


def works(chapter: Chapter) -> str:
    """The works that the chapter cites, as a list."""
    style = find_plugin("pybtex.style.formatting", "plain")()
    backend = find_plugin("pybtex.backends", "markdown")()
    entries = [chapter.book.works().entries[key] for key in chapter.cited]
    lines = []
    for entry in style.format_entries(style.sort(entries)):
        text = re.sub(r"\\([.():!-])", r"\1", " ".join(entry.text.render(backend).split()))
        target = link_to(chapter.book.works().entries[entry.key])
        lines.append(f"- {text}" if target in text else f"- {text} [{target}]({target})")
    return "\n".join(lines)


def block(chapter: Chapter, token: Token) -> str:
    """What stands for a target, an equation or a directive."""
    if token.type == "myst_target":
        return ""
    if token.type == "math_block":  # on one line, it can stand in a quotation as well
        return f"$${' '.join(line.strip() for line in token.content.strip().splitlines())}$$"
    name, argument, options, body = directive(token)
    if chapter.kind == "lab" and name != "bibliography":
        head = token.content[: len(token.content) - len(body)]
        inside = body.rstrip() if name == "code-block" else "\n" + plain(body, chapter)
        return f"{token.markup}{plain(token.info, chapter)}\n{head}{inside}\n{token.markup}"
    if name == "admonition":
        return box(plain(argument, chapter), plain(body, chapter))
    if name == "exercise":
        return box(chapter.exercises[options["label"]], plain(body, chapter))
    if name == "solution":
        number = chapter.exercises[argument].split(":")[0].lower()
        source = chapter.book.address(f"{chapter.stem}.ipynb")
        if chapter.kind == "plain":
            return (
                f"*[The solution of {number}]({source}) is in the chapter's source, and folded on its page.*"
            )
        summary = f"<summary><b>Solution of {number}</b></summary>"
        return f"<details>\n{summary}\n\n{plain(body, chapter)}\n\n</details>"
    if name == "code-block":
        return f"```{argument}\n{body.strip(chr(10))}\n```"
    if name == "bibliography":
        return works(chapter)
    raise ValueError(
        f"{chapter.stem}: the directive {{{name}}} is not known to book/editions.py; teach it there."
    )


def plain(text: str, chapter: Chapter) -> str:
    """A Markdown text without directives, roles and targets; equations with empty lines around them."""
    lines = text.splitlines()
    tokens = parser().parse(text)
    for token in (t for t in tokens if t.type == "inline"):
        start, end = token.map
        said = "\n".join(lines[start:end])
        for child in token.children:
            if child.type == "myst_role":
                name = child.meta["name"]
                said = said.replace(f"{{{name}}}`{child.content}`", role(chapter, name, child.content), 1)
            elif child.type == "link_open" and child.attrs["href"].endswith(".md"):
                href = child.attrs["href"]
                said = said.replace(f"]({href})", f"]({page_link(chapter, href)})")
        lines[start:end] = said.split("\n")
    pieces, at = [], 0
    for token in (t for t in tokens if t.level == 0 and t.map):
        if token.type in ("myst_target", "math_block") or directive(token):
            start, end = token.map
            pieces += ["\n".join(lines[at:start]), block(chapter, token)]
            at = end
    pieces.append("\n".join(lines[at:]))
    return "\n\n".join(piece.strip("\n") for piece in pieces if piece.strip())


# ---- a chapter's cells -------------------------------------------------------------------------------


def find_exercises(chapter: Chapter, notebook: NotebookNode) -> None:
    """Number the exercises in their order."""
    for cell in (c for c in notebook.cells if c.cell_type == "markdown"):
        for token in parser().parse(cell.source):
            name, title, options, _ = directive(token) or ("", "", {}, "")
            if name == "exercise":
                number = chapter.numbered(len(chapter.exercises) + 1)
                chapter.exercises[options["label"]] = f"Exercise {number}: {title}"


def code_cell(cell: NotebookNode) -> NotebookNode:
    """The cell with its words where viewers look for them: alt text at the picture, folding in the metadata."""
    alt = cell.metadata.pop("mystnb", {}).get("image", {}).get("alt")
    for output in cell.outputs:
        for kind in (k for k in output.get("data", {}) if k.startswith("image/")):
            if alt:
                output.metadata.setdefault(kind, {}).setdefault("alt", alt)
    if "hide-input" in cell.metadata.get("tags", []):
        cell.metadata.update(cellView="form", jupyter={"source_hidden": True})  # Colab, JupyterLab
    return cell


def first_words(chapter: Chapter) -> str:
    """Which chapter of which book this is, and who wrote the file."""
    which = f"Chapter {int(chapter.stem[:2])}" if NUMBERED.match(chapter.stem) else "The first page"
    settings, source = chapter.book.settings, f"{chapter.stem}.ipynb"
    words = f"{which} of [{settings['title']}]({settings['repository']['url']}), {NOTES[chapter.kind]}."
    if chapter.kind == "plain":
        words += f" [Open it in Colab]({chapter.book.colab(f'plain/{source}')})."
    words += (
        f" A program, `book/editions.py`, wrote this file from [its source]({chapter.book.address(source)})."
    )
    head = NUMBERING.format(chapter.numbered("%s")) if chapter.kind == "lab" else ""
    return f"{head}*{words} The next cell makes the notebook ready: run it first.*"


def edition(path: Path, kind: str) -> NotebookNode:
    """One edition of a chapter. Its cells keep their names, by which `panet_lite.check grade` knows them."""
    notebook = notebooks.read(path)
    chapter = Chapter(Book(path.parent), path.stem, kind)
    find_exercises(chapter, notebook)
    setup = notebook.cells.pop(notebooks.first_code_cell(notebook))
    cells, figures = [new_markdown_cell(first_words(chapter), id=f"{path.stem}-edition"), setup], 0
    for cell in notebook.cells:
        caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption")
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source, chapter)
        cells.append(cell)
        if caption:
            figures += 1
            words = f"**Figure {chapter.numbered(figures)}.** {plain(caption, chapter)}"
            cells.append(new_markdown_cell(words, id=f"{cell.id}-caption"))
    notebook.cells, names = cells, [cell.id for cell in cells]
    notebooks.normalise(notebook, path.stem)
    for cell, name in zip(notebook.cells, names, strict=True):
        cell.id = name
    notebook.cells = [code_cell(c) if c.cell_type == "code" else c for c in notebook.cells]
    return notebook


def write(folder: Path, kind: str) -> None:
    """All chapters' editions of one kind. What has no chapter goes, but for the folder in which a reader works."""
    target = folder.parent / FOLDERS[kind]
    target.mkdir(parents=True, exist_ok=True)
    for path in Book(folder).chapters:
        file = target / path.name
        if kind == "lab" and file.exists():
            print(f"{file.name} is kept as it is; remove it to have the chapter afresh")
            continue
        text = notebooks.dump(edition(path, kind))
        file.write_text(text, encoding="utf-8")
        if len(text.encode()) > LIMIT:
            print(f"{file.name}: {len(text.encode()):,} bytes, more than {LIMIT:,}")
    for old in target.glob("*.ipynb") if kind != "lab" else []:
        if not (folder / old.name).exists():
            old.unlink()


def findings(folder: Path) -> list[str]:
    """What is wrong with book/plain: one line for each file."""
    written = {path.name: path.read_text(encoding="utf-8") for path in (folder / "plain").glob("*.ipynb")}
    wanted = {path.name: notebooks.dump(edition(path, "plain")) for path in Book(folder).chapters}
    wrong = sorted(name for name in {*written, *wanted} if written.get(name) != wanted.get(name))
    return [f"plain/{name} is not what its chapter gives: run `make notebooks`" for name in wrong]


def main(arguments: list[str] | None = None, folder: Path = notebooks.BOOK) -> int:
    """Write an edition, or print what is out of date in the plain one: 1 if anything is."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("action", choices=[*FOLDERS, "check"])
    action = options.parse_args(arguments).action
    if action != "check":
        write(folder, action)
        return 0
    found = findings(folder)
    print("".join(f"{line}\n" for line in found), end="")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
