"""Keep the chapters in one shape: `python book/notebooks.py setup|execute|normalise|check|cache [chapter ...]`.

setup      write the set-up cell, made from the repository's address in _config.yml, into each chapter
execute    run each chapter from its first cell to its last and keep the outputs
normalise  take out of the files whatever changes from run to run or from machine to machine
check      change nothing; print a line for each thing that `setup` or `normalise` would change
cache      run the chapters that changed, several at a time, and keep their outputs where Sphinx looks for them

`make notebooks` does the first four, `make book` the last. Without names, every chapter beside this file is meant.
"""

import argparse
import base64
import copy
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from PIL import Image
from shape import say_minutes

BOOK = Path(__file__).resolve().parent
TIMEOUT = 600  # seconds a cell may take, here as in _config.yml and in `make test`: the machine may be slow
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
VOLATILE = ("execution", "ExecuteTime", "collapsed", "scrolled", "jupyter", "id", "outputId", "colab")
MARK = 'find_spec("panet_lite")'  # by this the set-up cell is known
SETUP = """\
# Where panet_lite is installed this cell does nothing; Colab comes without it.
import importlib.util, os, re, subprocess, sys

found = importlib.util.find_spec("panet_lite")
book = "panet-lite @ git+{url}"
if found is None:
    print("pip installs panet_lite and its needs into", sys.prefix, flush=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", book]
    done = subprocess.run(pip, capture_output=True, errors="replace")
    if done.returncode:
        said = done.stderr.strip()
        why = re.findall("(?i:fatal|error): (?!subproc)(.+)", said) or [said]
        raise RuntimeError(f"pip failed: {{why[0]}}; mend it and run this cell "
                           "again, or start from a checkout with `make lab`")
    importlib.invalidate_caches()
    print("panet_lite is installed. If it is not found, restart the kernel.")
else:
    last = found.submodule_search_locations[0] + "/widgets/widgets.css"
    if not os.path.exists(last):  # a copy that was cut short
        raise RuntimeError(f"{{last}} is missing: delete this half of a copy")"""


def repository(book: Path = BOOK) -> str:
    """The one setting: the repository's address in _config.yml, beside the book's folder."""
    settings = yaml.safe_load((book.parent / "_config.yml").read_text(encoding="utf-8"))
    return settings["repository"]["url"]


def read(path: Path) -> NotebookNode:
    """The notebook in a file, in the format's version 4."""
    return nbformat.read(path, as_version=4)


def dump(notebook: NotebookNode) -> str:
    """A notebook as the text of its file, with one line break at the end."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def first_code_cell(notebook: NotebookNode) -> int:
    """Index of the first code cell, or where one would go: behind the title."""
    indices = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    return indices[0] if indices else min(1, len(notebook.cells))


def put_setup(notebook: NotebookNode, url: str) -> NotebookNode:
    """The chapter with today's set-up cell as its first code cell, tagged to be folded in the book."""
    at = first_code_cell(notebook)
    if at == len(notebook.cells) or MARK not in notebook.cells[at].source:
        notebook.cells.insert(at, nbformat.v4.new_code_cell())
    cell = notebook.cells[at]
    if cell.source != SETUP.format(url=url):
        # It prints nothing where the package is installed, so it counts as run wherever its peers have.
        ran = any(c.get("execution_count") for c in notebook.cells)
        cell.source, cell.outputs, cell.execution_count = SETUP.format(url=url), [], 1 if ran else None
    cell.metadata["tags"] = ["hide-input"]
    return notebook


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run all cells in the chapter's own folder; the first cell that raises ends it with its traceback."""
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
    )
    return client.execute()


def cache(chapters: list[Path], folder: Path) -> int:
    """Run what `folder`, the book's cache, does not hold yet; the traceback of what raised, and 1."""
    from jupyter_cache import get_cache
    from jupyter_cache.executors import load_executor

    store = get_cache(str(folder))
    names = [store.add_nb_to_project(str(path.resolve())).uri for path in chapters]
    load_executor("local-parallel", store).run_and_cache(filter_uris=names, timeout=TIMEOUT)
    failed = [record for record in store.list_project_records(names) if record.traceback]
    print("".join(f"{record.uri}\n{record.traceback}\n" for record in failed), end="")
    return int(bool(failed))


def merged_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of one stream as one output: how print is cut up is chance."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == last.get("output_type") == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return [o for o in merged if o.output_type != "stream" or o.name != "stderr" or o.text.strip()]


def smaller(png: str) -> str:
    """A picture (base64 PNG) in 256 colours: a third of the bytes, and no eye sees the difference."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        if picture.mode == "P":
            return png
        flat = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    buffer = io.BytesIO()
    flat.convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode() + "\n"


def normalise_outputs(cell: NotebookNode) -> None:
    """A widget's view is dropped and its picture or text kept: the view's id is good for one run only."""
    for output in cell.outputs:
        data = output.get("data", {})
        data.pop(WIDGET_VIEW, None)
        if "image/png" in data:
            data["image/png"] = smaller(data["image/png"])
        output.get("metadata", {}).pop(WIDGET_VIEW, None)
        if output.output_type == "execute_result":
            output.execution_count = cell.execution_count
    kept = [o for o in cell.outputs if "data" not in o or o.data]
    cell.outputs = merged_streams(kept)


def normalise(notebook: NotebookNode, stem: str) -> NotebookNode:
    """The chapter as it is committed. What was never run stays marked as never run."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        }
    )
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{stem}-{index:02d}"
        cell.source = cell.source.strip("\n")
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            if cell.source and cell.execution_count is not None:
                count += 1
                cell.execution_count = count
            normalise_outputs(cell)
    say_minutes(notebook)
    return notebook


def differences(old: object, new: object, where: str = "") -> Iterator[str]:
    """The places where two JSON trees differ, as paths."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key not in old or key not in new:
                yield f"{where}.{key} should {'not ' if key in old else ''}be there"
            else:
                yield from differences(old[key], new[key], f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{where}[{index}]")
    elif old != new:
        yield f"{where} is not in its normal form"


def findings(path: Path, url: str) -> list[str]:
    """What is wrong with a chapter's shape: one line each, nothing where all is well."""
    notebook = read(path)
    text = path.read_text(encoding="utf-8")
    found = []
    at = first_code_cell(notebook)
    cell = notebook.cells[at] if at < len(notebook.cells) else nbformat.v4.new_code_cell()
    if cell.source != SETUP.format(url=url) or cell.metadata.get("tags") != ["hide-input"]:
        found.append("the first code cell is not the set-up cell of _config.yml's repository")
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            found.append(f".cells[{index}] was never run")
    normal = dump(normalise(copy.deepcopy(notebook), path.stem))
    if normal != text:
        places = list(differences(json.loads(text), json.loads(normal)))
        found += places or ["the file is not written in its normal form (indentation, key order)"]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for to each chapter; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=["setup", "execute", "normalise", "check", "cache"])
    parser.add_argument("chapters", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    chapters = options.chapters or sorted(BOOK.glob("*.ipynb"))
    if options.action == "cache":
        return cache(chapters, BOOK.parent / "_build" / ".jupyter_cache")
    failed = False
    for path in chapters:
        url = repository(path.resolve().parent)
        if options.action == "check":
            found = findings(path, url)
            failed |= bool(found)
            print("".join(f"{path.name}: {line}\n" for line in found), end="")
            continue
        notebook = read(path)
        if options.action == "setup":
            put_setup(notebook, url)
        elif options.action == "execute":
            print(f"    {path.name}", flush=True)
            execute(notebook, path.resolve().parent)
        else:
            normalise(notebook, path.stem)
        path.write_text(dump(notebook), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
