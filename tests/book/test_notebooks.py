"""Guards on every chapter: what a reader, a screen reader and nbval rely on.

`make test` runs the chapters that changed, as `make book` does; here what they printed is compared with what is
committed, their form is judged, and the solutions of their exercises are run.
"""

import ast
import base64
import contextlib
import io
import re
import shutil
from pathlib import Path

import nbformat
import notebooks
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from printing import compared, printed

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))
BLOCK = r"^(`{%s,})\{%s\}(?P<head>[^\n]*)\n(?P<body>.*?)^\1[ \t]*$"
EXERCISE = re.compile(BLOCK % (3, "exercise"), re.M | re.S)
SOLUTION = re.compile(BLOCK % (4, "solution"), re.M | re.S)
SOLUTION_CODE = re.compile(BLOCK % (3, "code-block"), re.M | re.S)
LABEL = re.compile(r"^:label:\s*(\S+)", re.M)

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def a_picture():
    """A PNG of one pixel, as a notebook holds it."""
    buffer = io.BytesIO()
    Image.new("P", (1, 1)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def is_lesson(stem):
    """Chapters with a number teach one idea each; the index and the appendices do not."""
    return stem[:2].isdigit()


def code_cells(notebook):
    return [(i, c) for i, c in enumerate(notebook.cells) if c.cell_type == "code"]


def prose(notebook):
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def never_run(notebook, stem):
    for i, cell in code_cells(notebook):
        if cell.source.strip() and cell.execution_count is None:
            yield f"cell {i} was never run"


def idle_cells(notebook, stem):
    for i, cell in code_cells(notebook):
        lines = [
            line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")
        ]
        if not lines or lines in (["pass"], ["import importlib.util"]):  # a set-up cell is written elsewhere
            yield f"cell {i} does nothing"


def long_cells(notebook, stem):
    for i, cell in code_cells(notebook):
        if (lines := len(cell.source.splitlines())) > 25:
            yield f"cell {i} has {lines} lines, more than 25"


def is_picture(output):
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def compared_outputs(notebook):
    """How many outputs nbval compares: text, but not beside a picture or where it must look away."""
    count = 0
    for cell in filter(compared, notebook.cells):
        for output in cell.outputs:
            words = "text/plain" in output.get("data", {}) and not is_picture(output)
            count += output.output_type == "stream" or words
    return count


def too_few_compared_outputs(notebook, stem):
    if is_lesson(stem) and (count := compared_outputs(notebook)) < 5:
        yield f"only {count} printed outputs that nbval compares, fewer than 5"


def pictures_without_words(notebook, stem):
    for i, cell in code_cells(notebook):
        for output in filter(is_picture, cell.outputs):
            mystnb = cell.metadata.get("mystnb", {})
            image, figure = mystnb.get("image", {}), mystnb.get("figure", {})
            widget = output.metadata.get("image/png", {}).get(
                "alt"
            )  # a widget's picture brings its own words
            if len(str(widget or image.get("alt", "")).split()) < 5:
                yield f"cell {i} shows a picture without alt text of five words or more (mystnb.image.alt)"
            if widget is None and not (figure.get("caption") and figure.get("name")):
                yield f"cell {i} shows a picture without caption and name (mystnb.figure)"
    if re.search(r"!\[\s*\]\(", prose(notebook)):
        yield "a picture in the text has no alt text"


def widget_state(notebook, stem):
    if "widgets" in notebook.metadata:
        yield "the notebook's metadata hold widget state"
    for i, cell in code_cells(notebook):
        if any(notebooks.WIDGET_VIEW in output.get("data", {}) for output in cell.outputs):
            yield f"cell {i} holds a widget view, which means nothing without its state"


def errors(notebook, stem):
    for i, cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {i} raised {output.ename}"
            elif output.get("name") == "stderr":
                yield f"cell {i} wrote to stderr: {output.text.strip()[:60]}"


def exercises(notebook):
    """Label -> code of its solution, or None where there is no proper one."""
    text = prose(notebook)
    codes = {}
    for solution in SOLUTION.finditer(text):
        code = [c["body"] for c in SOLUTION_CODE.finditer(solution["body"]) if c["head"].strip() == "python"]
        if ":class: dropdown" in solution["body"] and len(code) == 1:
            codes[solution["head"].strip()] = code[0]
    labels = [LABEL.search(e["body"]) for e in EXERCISE.finditer(text)]
    return {label[1]: codes.get(label[1]) for label in labels if label}


def exercises_without_solution(notebook, stem):
    found = exercises(notebook)
    if is_lesson(stem) and len(found) < 3:
        yield f"only {len(found)} exercises with a label, fewer than 3"
    for label, code in found.items():
        if code is None:
            yield f"{label} has no solution in a dropdown with one code-block of Python"
        if not label.startswith("ex-"):
            yield f"the label {label} does not begin with ex-"


GUARDS = [
    never_run,
    idle_cells,
    long_cells,
    too_few_compared_outputs,
    pictures_without_words,
    widget_state,
    errors,
    exercises_without_solution,
]


def run_solution(code):
    """Run a solution in a namespace of its own and return what is wrong with its last line, the check."""
    *before, last = ast.parse(code).body
    if not (isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)):
        return "the solution does not end with a call"
    names = {"__name__": "solution"}
    exec(compile(ast.Module(before, type_ignores=[]), "solution", "exec"), names)
    check = eval(compile(ast.Expression(last.value.func), "solution", "eval"), names)
    if not check.__module__.startswith("panet_lite.check"):
        return f"the solution ends with {check.__name__}, which is no function of panet_lite.check"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        answer = eval(compile(ast.Expression(last.value), "solution", "eval"), names)
    if answer is not True or not out.getvalue().startswith("✓"):
        return f"{check.__name__} returned {answer} and said: {out.getvalue().strip()}"
    return None


# ---- the chapters --------------------------------------------------------------------------------


@each_chapter
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_chapter(guard, path):
    assert not list(guard(notebooks.read(path), path.stem))


@each_chapter
def test_chapter_prints_what_is_committed(path):
    """From its first cell to its last, in a kernel of its own, with today's package and data."""
    from jupyter_cache import get_cache

    kept = get_cache(str(BOOK.parent / "_build" / ".jupyter_cache"))
    try:
        _, ran = kept.merge_match_into_notebook(notebooks.read(path))
    except KeyError:
        pytest.fail(
            f"{path.name} was not run: `make test` does, or `python book/notebooks.py cache`", pytrace=False
        )
    assert list(printed(ran)) == list(printed(notebooks.read(path)))


@each_chapter
def test_chapter_is_at_most_500_kB(path):
    assert path.stat().st_size <= 500_000


@each_chapter
def test_chapter_is_in_its_normal_form(path):
    assert not notebooks.findings(path, notebooks.repository())


SOLUTIONS = [
    pytest.param(code, id=f"{path.stem}-{label}")
    for path in CHAPTERS
    for label, code in exercises(nbformat.read(path, as_version=4)).items()
    if code
]


@pytest.mark.parametrize("code", SOLUTIONS)
def test_solution_passes_its_check(code, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(BOOK)
    assert run_solution(code) is None


def test_labels_and_figure_names_are_used_once():
    names = []
    for path in CHAPTERS:
        notebook = notebooks.read(path)
        names += exercises(notebook)
        for _, cell in code_cells(notebook):
            if name := cell.metadata.get("mystnb", {}).get("figure", {}).get("name"):
                names.append(name)
    assert sorted(names) == sorted(set(names))


def toc_files(tree):
    if isinstance(tree, dict):
        tree = [tree.get("root"), tree.get("file"), *tree.get("parts", []), *tree.get("chapters", [])]
        tree += [s for entry in tree if isinstance(entry, dict) for s in entry.get("sections", [])]
    for entry in tree:
        if isinstance(entry, str):
            yield entry
        elif entry:
            yield from toc_files(entry)


def test_table_of_contents_lists_the_chapters_and_nothing_else():
    files = list(toc_files(yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))))
    pages = {path.stem for path in (*CHAPTERS, *BOOK.glob("*.md"))}
    assert sorted(files) == sorted(pages)


# ---- the guards themselves: each must be able to fail ---------------------------------------------

EXERCISE_TEXT = """\
```{{exercise}}
:label: {label}
How many?
```

````{{solution}} {label}
:class: dropdown

Like this.

```{{code-block}} python
from panet_lite.check import nothing
nothing(1)
```
````
"""


def good_chapter():
    """A chapter that every guard is content with."""
    picture = new_output(
        "display_data", data={"image/png": a_picture(), "text/plain": "<Figure size 640x480 with 1 Axes>"}
    )
    mystnb = {
        "image": {"alt": "Two lines that cross in the middle"},
        "figure": {"caption": "Two lines.", "name": "fig-lines"},
    }
    cells = [new_markdown_cell("# Title"), new_code_cell("import math")]
    for i in range(5):
        said = new_output("stream", name="stdout", text=f"{i}\n")
        cells.append(new_code_cell(f"print({i})", outputs=[said]))
    cells += [new_code_cell("draw()", outputs=[picture], metadata={"mystnb": mystnb})]
    words = {"image/png": {"alt": "Two pictures and what is painted"}}
    cells += [
        new_code_cell("widget", outputs=[new_output("display_data", data=picture.data, metadata=words)])
    ]
    cells += [new_markdown_cell(EXERCISE_TEXT.format(label=f"ex-{word}")) for word in ("one", "two", "three")]
    notebook = notebooks.put_setup(new_notebook(cells=cells), notebooks.repository())
    for _, cell in code_cells(notebook):
        cell.execution_count = 1
    return notebooks.normalise(notebook, "01_good")


def unrun(n):
    n.cells[3].execution_count = None


def make_long(n):
    n.cells[3].source = "pass\n" * 26


def idle(n):
    n.cells[3].source = "# to be written\npass"


def left_over(n):
    n.cells[3].source = "import importlib.util"


def print_less(n):
    n.cells[3].outputs = []


def look_away(n):
    n.cells[3].source = "# NBVAL_IGNORE_OUTPUT\n" + n.cells[3].source


def picture_cell(n):
    return next(c for _, c in code_cells(n) if "mystnb" in c.metadata)


def drop_alt(n):
    del picture_cell(n).metadata["mystnb"]["image"]


def terse_alt(n):
    picture_cell(n).metadata["mystnb"]["image"]["alt"] = "A plot"


def terse_widget(n):
    widget = next(c for _, c in code_cells(n) if c.source == "widget")
    widget.outputs[0].metadata["image/png"]["alt"] = "A widget"


def drop_caption(n):
    del picture_cell(n).metadata["mystnb"]["figure"]["caption"]


def bare_markdown_picture(n):
    n.cells[0].source += "\n\n![](a.png)"


def keep_widget_state(n):
    n.metadata["widgets"] = {}


def keep_widget_view(n):
    data = {notebooks.WIDGET_VIEW: {}, "text/plain": "IntSlider()"}
    n.cells[3].outputs = [new_output("display_data", data=data)]


def raise_error(n):
    n.cells[3].outputs.append(new_output("error", ename="ValueError", evalue="", traceback=[]))


def warn(n):
    n.cells[3].outputs.append(new_output("stream", name="stderr", text="UserWarning: look out\n"))


def drop_exercise(n):
    del n.cells[-1]


def drop_dropdown(n):
    n.cells[-1].source = n.cells[-1].source.replace(":class: dropdown\n", "")


def drop_code(n):
    n.cells[-1].source = n.cells[-1].source.replace("{code-block} python", "{note}")


@pytest.mark.parametrize(
    "spoil, guard",
    [
        (unrun, never_run),
        (idle, idle_cells),
        (left_over, idle_cells),
        (make_long, long_cells),
        (print_less, too_few_compared_outputs),
        (look_away, too_few_compared_outputs),
        (drop_alt, pictures_without_words),
        (terse_alt, pictures_without_words),
        (terse_widget, pictures_without_words),
        (drop_caption, pictures_without_words),
        (bare_markdown_picture, pictures_without_words),
        (keep_widget_state, widget_state),
        (keep_widget_view, widget_state),
        (raise_error, errors),
        (warn, errors),
        (drop_exercise, exercises_without_solution),
        (drop_dropdown, exercises_without_solution),
        (drop_code, exercises_without_solution),
    ],
    ids=lambda f: f.__name__,
)
def test_guard_sees_a_spoilt_chapter(spoil, guard):
    notebook = good_chapter()
    assert not [line for g in GUARDS for line in g(notebook, "01_good")]
    spoil(notebook)
    assert list(guard(notebook, "01_good"))


@pytest.mark.parametrize(
    "answer, says", [("True", "✓ right"), ("False", "✗ not yet"), ("True", "fine"), ("1", "✓"), ("None", "…")]
)
def test_solution_must_be_answered_by_a_tick_and_true(answer, says, monkeypatch):
    import panet_lite.check

    def verdict():
        print(says)
        return eval(answer)

    verdict.__module__ = "panet_lite.check.one"
    monkeypatch.setattr(panet_lite.check, "verdict", verdict, raising=False)
    problem = run_solution("from panet_lite.check import verdict\nverdict()")
    assert (problem is None) == (answer == "True" and says == "✓ right")


@pytest.mark.parametrize("code", ["x = 1", "print('✓')\n", "import os\nos.getcwd()"])
def test_solution_must_end_with_a_check(code):
    assert "check" in (run_solution(code) or "") or "call" in (run_solution(code) or "")


def test_a_solution_that_raises_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run_solution("1 / 0\nprint()")


@pytest.mark.parametrize(
    "spoil",
    [
        unrun,
        keep_widget_state,
        keep_widget_view,
        lambda n: n.cells[1].update(source="import panet_lite"),
        lambda n: n.cells[3].update(id="another"),
        lambda n: n.cells[3].update(execution_count=17),
        lambda n: n.cells[3].metadata.update(execution={"iopub.execute_input": "2026-01-01T00:00:00Z"}),
        lambda n: n.metadata.kernelspec.update(name="my-own"),
    ],
)
def test_check_sees_what_normalise_would_change(spoil, tmp_path, capsys):
    shutil.copy(BOOK.parent / "_config.yml", tmp_path)
    path = tmp_path / "book" / "01_good.ipynb"
    path.parent.mkdir()
    notebook = good_chapter()
    path.write_text(notebooks.dump(notebook), encoding="utf-8")
    assert notebooks.main(["check", str(path)]) == 0
    spoil(notebook)
    path.write_text(notebooks.dump(notebook), encoding="utf-8")
    before = path.read_bytes()
    assert notebooks.main(["check", str(path)]) == 1
    assert path.read_bytes() == before
    assert capsys.readouterr().out.startswith("01_good.ipynb: ")


def test_normalise_keeps_what_matters_and_is_idempotent():
    notebook = good_chapter()
    first = notebooks.dump(notebook)
    assert notebooks.dump(notebooks.normalise(notebook, "01_good")) == first
    assert a_picture() in first and "<Figure size" in first and first.endswith("}\n")
    keep_widget_view(notebook)
    notebooks.normalise(notebook, "01_good")
    assert notebook.cells[3].outputs[0].data == {"text/plain": "IntSlider()"}


def test_execute_runs_in_the_chapters_folder(tmp_path):
    notebook = new_notebook(cells=[new_code_cell("import os\nprint(os.getcwd())\nprint('again')")])
    notebooks.normalise(notebooks.execute(notebook, tmp_path), "x")
    assert notebook.cells[0].outputs[0].text.splitlines() == [str(tmp_path), "again"]
    assert notebook.cells[0].execution_count == 1 and not notebook.cells[0].metadata


@pytest.mark.parametrize("spoil", ["text", "kind", "order"])
def test_another_output_is_noticed(spoil):
    before, after = good_chapter(), good_chapter()
    said = [cell.outputs for cell in after.cells if cell.get("outputs")]
    assert list(printed(before)) == list(printed(after))
    if spoil == "text":
        said[1][0].text = "2\n"
    elif spoil == "kind":
        said[1][0].name = "stderr"
    else:
        said[0][:], said[1][:] = list(said[1]), list(said[0])
    assert list(printed(before)) != list(printed(after))


def test_cache_runs_what_changed_and_shows_what_raises(tmp_path, capfd):
    from jupyter_cache import get_cache

    paths = [tmp_path / f"{name}.ipynb" for name in ("good", "bad")]
    for path, source in zip(paths, ("print(6 * 7)", "1 / 0")):
        notebook = notebooks.put_setup(new_notebook(cells=[new_code_cell(source)]), "https://example.org/a")
        path.write_text(notebooks.dump(notebooks.normalise(notebook, path.stem)), encoding="utf-8")
    assert notebooks.cache(paths[:1], tmp_path / "cache") == 0
    store = get_cache(str(tmp_path / "cache"))
    kept = store.match_cache_notebook(notebooks.read(paths[0]))
    assert store.get_cache_bundle(kept.pk).nb.cells[-1].outputs[0].text == "42\n"
    assert notebooks.cache(paths, tmp_path / "cache") == 1  # and what is kept is not run again
    assert store.match_cache_notebook(notebooks.read(paths[0])).created == kept.created
    said = capfd.readouterr().out
    assert str(paths[1]) in said and "ZeroDivisionError" in said and str(paths[0]) not in said


def test_normalise_makes_pictures_smaller_once():
    x = np.arange(128, dtype=np.uint8)
    noise = np.random.default_rng(0).integers(0, 8, (128, 128, 3), dtype=np.uint8)
    photo = np.stack(np.broadcast_arrays(x[:, None], x[None], 200), axis=2).astype(np.uint8) + noise
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG")
    big = base64.b64encode(buffer.getvalue()).decode()
    small = notebooks.smaller(big)
    assert len(small) < len(big) / 2 and notebooks.smaller(small) == small
    with Image.open(io.BytesIO(base64.b64decode(small))) as picture:
        assert picture.size == (128, 128) and picture.mode == "P"
