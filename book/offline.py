"""A Sphinx extension: the built book asks no other machine for anything, and its widgets need no kernel.

`_config.yml` loads it. A widget's output becomes its still picture and, in HTML, its view beside it:
`_assets/widgets.js` draws the view and hides the picture. What the theme and its companions load from
elsewhere, or write so that a browser or a screen reader stumbles over it, is mended in the written pages.
"""

import base64
import html
import re
import sys
from pathlib import Path

from docutils import nodes
from notebooks import smaller
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

MIME = "application/vnd.jupyter.widget-"
VIEW, STATE = f"{MIME}view+json", f"{MIME}state+json"


def long_lines(match: re.Match) -> str:
    """Code whose long lines are blocks of their own, which custom.css lets hang behind their start."""

    def block(line: re.Match) -> str:
        text = html.unescape(re.sub("<[^>]*>", "", line[0]))
        whole = 2 * line[0].count("</") == line[0].count("<")  # what it opens, it closes
        if len(text) <= 36 or not whole:  # 36 columns fit a phone
            return line[0]
        indent = len(text) - len(text.lstrip(" "))
        style = f' style="--indent:{indent}"' if indent else ""
        return f'<span class="long"{style}>{line[0]}</span>'

    if 'class="long"' in match[2]:  # a page of an earlier build
        return match[0]
    return match[1] + re.sub(r".+\n?", block, match[2]) + match[3]


def lines_of_signature(match: re.Match) -> str:
    """A long signature's parameters: Sphinx writes a definition list that defines nothing."""
    return match[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


# (what the pages say, what they should say); each reason is a failure of tests/places/test_pages.py without it.
MENDS = [
    # Chromium blocks preloaded fonts over file://, and icons come from the style sheet: no need of a script.
    (r'<link rel="preload" as="font"[^>]*>\s*', ""),
    (r'<script src="[^"]*/fontawesome/[^"]*\.js[^"]*"></script>\s*', ""),
    # Before the theme's script runs, and without JavaScript, "auto" is no colour scheme.
    (r'(<html[^>]*) data-theme="auto"', r"\1"),
    (
        r'localStorage\.getItem\("theme"\) \|\| "auto"',
        'localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")',
    ),
    # A name that hides the text one sees: who says "click Show code cell source" is not understood.
    (r'(<summary) aria-label="Toggle hidden content"', r"\1"),
    (r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1"),
    # The list of works: an item's role was withdrawn from the standard.
    (r'(<div class="citation" id="[^"]*") role="doc-biblioentry"', r'\1 role="listitem"'),
    # The search page holds the field twice, under one name.
    (r'(id="search-input".*?)id="search-input"', r'\1id="search-page-input"'),
    (r'<dl>\s*((?:<dd><em class="sig-param">.*?</dd>\s*)+)</dl>', lines_of_signature),
    # The list of modules puts a folder's own list beside its entry, where none may stand: one list of all.
    (r'(</a></li>\n)</?ul>(<li><a href="panet_lite/)', r"\1\2"),
    (r"(</a></li>\n)</ul></ul>", r"\1</ul>"),
    (r'(<div class="highlight"><pre>(?:<span></span>)?)(.*?)(</pre>)', long_lines),
]


class RowHeaders(SphinxPostTransform):
    """Where a table's upper left corner is empty, its first column names the rows."""

    default_priority = 3

    def run(self, **kwargs) -> None:
        """Mark the first column of each table whose top left cell is empty as a column of names."""
        for table in self.document.findall(nodes.table):
            head = next(table.findall(nodes.thead), None)
            if head is not None and not next(head.findall(nodes.entry)).astext().strip():
                next(table.findall(nodes.colspec))["stub"] = 1


class StillAndView(SphinxPostTransform):
    """Of a widget's output keep the picture, and in HTML the view; the rest would say it again."""

    default_priority = 3  # before myst-nb chooses one representation of each output

    def run(self, **kwargs) -> None:
        """Keep of each widget's output the picture, and in HTML the view as well."""
        bundles = (n for n in self.document.findall(nodes.container) if n.get("nb_element") == "mime_bundle")
        for bundle in list(bundles):
            parts = {part["mime_type"]: part for part in bundle.children}
            if VIEW not in parts or "image/png" not in parts:
                continue
            picture = next(parts["image/png"].findall(nodes.image))
            if "text/plain" in parts:
                text = parts["text/plain"].astext()  # the widget's class, then the alternative text
                picture["alt"] = re.sub(r"^\w+: ", "", text)
            if self.app.builder.format != "html":
                bundle.replace_self(picture)
                continue
            picture["classes"].append("widget-still")
            box = nodes.container("", picture, *parts[VIEW].children, classes=["widget-box"])
            bundle.replace_self(box)


def refuse(app: Sphinx) -> None:
    """One kind of output is made and tested; where another is asked for, say so instead of failing half-way."""
    if app.builder.name not in ("html", "linkcheck"):
        sys.exit(
            f"This book is not built as {app.builder.name}: its widgets and folds are made for html. "
            "For one file, or for paper, say `make pdf`."
        )


def drop_thebe(app: Sphinx, *_) -> None:
    """jupyter-book always loads sphinx-thebe, which points every page at a CDN and declares names twice."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [file for file in app.registry.css_files if file[0] != "sphinx-thebe.css"]


def arrange(app: Sphinx, pagename: str, template: str, context: dict, doctree) -> None:
    """The widgets' state goes behind the text, which is read meanwhile; search is mended."""
    for script in [s for s in context["script_files"] if getattr(s, "attributes", {}).get("type") == STATE]:
        context["script_files"].remove(script)
        body = script.attributes["body"].replace("<", "\\u003c")  # no text can end the script
        context["body"] += f'<script type="{STATE}">{body}</script>\n'
    if pagename == "search":
        app.add_js_file("search.js")


def open_plain_edition(app: Sphinx, pagename: str, template: str, context: dict, doctree) -> None:
    """The Colab button opens book/plain, which editions.py writes: Colab knows no directives."""
    groups = [b["buttons"] for b in context.get("header_buttons", []) if b.get("label") == "launch-buttons"]
    for button in (b for group in groups for b in group if b["text"] == "Colab"):
        folder, _, name = button["url"].rpartition("/")
        button["url"] = f"{folder}/plain/{name}"


def mend(app: Sphinx, exception: Exception | None) -> None:
    """Apply `MENDS` to every page; lighten the figures; put the icons' fonts into their style sheet (Firefox, file://)."""
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for page in out.rglob("*.html"):
        text = mended = page.read_text(encoding="utf-8")
        for pattern, replacement in MENDS:
            mended = re.sub(pattern, replacement, mended, flags=re.DOTALL)
        if mended != text:
            page.write_text(mended, encoding="utf-8")
    for picture in out.glob("_images/*.png"):  # figures as in the committed chapters: a third of the weight
        data = base64.b64encode(picture.read_bytes()).decode()
        picture.write_bytes(base64.b64decode(smaller(data)))
    for sheet in out.glob("_static/vendor/fontawesome/*/css/all.min.css"):
        sheet.write_text(with_fonts(sheet), encoding="utf-8")


def bring_network(app: Sphinx, exception: Exception | None) -> None:
    """Write the book's network, and what computes it, beside the pages: a reader's click loads it, also from a stick."""
    if not exception and app.builder.format == "html":
        from panet_lite import pretrained
        from panet_lite.widgets.network import script

        text = script(pretrained(0).backbone)
        (Path(app.outdir) / "_static" / "network.js").write_text(text, encoding="utf-8")


def with_fonts(sheet: Path) -> str:
    """Font Awesome's style sheet with its fonts inside; those under older names are left out."""

    def inside(match: re.Match) -> str:
        font = base64.b64encode((sheet.parent / match[1]).read_bytes()).decode()
        return f'url(data:font/woff2;base64,{font}) format("woff2")'

    text = sheet.read_text(encoding="utf-8")
    text = re.sub(r"@font-face\{[^}]*font-family:(?:Font Awesome\\ 5|FontAwesome)[^}]*\}", "", text)
    return re.sub(r'url\((\S+?\.woff2)\) format\("woff2"\),url\([^)]*\) format\("truetype"\)', inside, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx what to change, and when; both phases may run in parallel."""
    app.connect("config-inited", drop_thebe, priority=900)
    app.add_post_transform(RowHeaders)
    app.add_post_transform(StillAndView)
    app.connect("builder-inited", refuse)
    app.connect("html-page-context", arrange, priority=900)  # after myst-nb has named the state
    app.connect("html-page-context", open_plain_edition, priority=900)  # after the theme has made its buttons
    app.connect("build-finished", mend, priority=900)
    app.connect("build-finished", bring_network)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
