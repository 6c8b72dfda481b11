"""What the documentation site takes from code and records, when it is built.

    make docs

`mkdocs.yml` names this module as a hook. Pages stand in `docs/`; where one says
`<!-- fill: NAME -->`, a table of `FILLS` takes the place. Whole pages are made of the
families, of the public names and of the documents in the repository's root. Equations
become MathML, which needs no script.
"""

import ast
import functools
import html
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aezoo
from aezoo import manifest
from aezoo.manifest import WeightsEntry
from aezoo.metrics import METRICS, format_figure, heading
from aezoo.metrics.definition import Placeholders, words
from aezoo.metrics.listing import telling

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MODELS = ROOT / "aezoo" / "models"
# Documents of the repository that are pages of the site.
DOCUMENTS: Mapping[str, str] = {
    "CONTRIBUTING.md": "design/contributing.md",
    "CHANGELOG.md": "design/changelog.md",
    "benchmarks/RESULTS.md": "design/speed.md",
}
FILL = re.compile(r"^<!-- fill: (\w+) -->$", re.MULTILINE)
# Links of Markdown and pictures of HTML: what stands before the address, and it.
LINK = re.compile(
    r"(\]\(|<img[^>]* src=\"|^\[[^\]]+\]: )(?!https?:|mailto:|#)([^)\"#\s]+)",
    re.MULTILINE,
)
MATH = re.compile(
    r"<(span|div) class=\"arithmatex\">\\[(\[](.*?)\\[)\]]</\1>", re.DOTALL
)
DIRECTIONS = {True: "higher", False: "lower", None: ""}
HELP_WIDTH = 88
KINDS = {
    "reconstruction": "Do reconstructions resemble the examples?",
    "likelihood": "How probable are the examples?",
    "latent": "Is the code used?",
    "samples": "Are samples good?",
    "disentanglement": "Do units follow factors?",
    "representation": "Do features serve other tasks?",
}


# --- Families ------------------------------------------------------------------------


class FamilyName(NamedTuple):
    """A registered name, as the source says it.

    Attributes:
        name: The name.
        module: Its module, and so the name of the objective.
        cls: The class.
        defaults: Arguments of the registration, in words of Python.
    """

    name: str
    module: str
    cls: str
    defaults: Mapping[str, str]


@functools.cache
def _classes() -> Mapping[str, tuple[str, ast.ClassDef]]:
    """Module and source of every class of `aezoo.models`, by name."""
    found = {}
    for path in sorted(MODELS.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = path.stem, node
    return found


@functools.cache
def families() -> Mapping[str, FamilyName]:
    """All registered names, read from the source without an import of Keras."""
    found = {}
    for cls, (module, node) in _classes().items():
        for call in node.decorator_list:
            name = _registered(call)
            if name is not None:
                defaults = {
                    str(keyword.arg): ast.unparse(keyword.value)
                    for keyword in call.keywords  # type: ignore[attr-defined]
                    if keyword.arg != "tiny"
                }
                found[name] = FamilyName(name, module, cls, defaults)
    return dict(sorted(found.items()))


def _registered(decorator: ast.expr) -> str | None:
    """The name that a decorator registers, if it does."""
    if not isinstance(decorator, ast.Call):
        return None
    if ast.unparse(decorator.func) != "register_family":
        return None
    return str(ast.literal_eval(decorator.args[0]))


def objectives() -> dict[str, list[FamilyName]]:
    """The names of each objective, by its module."""
    found: dict[str, list[FamilyName]] = {}
    for family in families().values():
        found.setdefault(family.module, []).append(family)
    return found


def family_page(module: str) -> str:
    """An objective: idea, equations, arguments, names, networks, weights, pictures."""
    names = objectives()[module]
    cls = names[0].cls
    parts = [f"# {module}"]
    equation = DOCS / "equations" / f"{module}.md"
    if equation.is_file():
        parts.append(equation.read_text(encoding="utf-8").strip())
    parts.append(
        f"::: aezoo.models.{module}.{cls}\n"
        "    options:\n      show_root_toc_entry: false\n      members: false"
    )
    parts.append("## Names")
    lines = [
        [f"`{family.name}`", *(f"`{key}={value}`" for key, value in _shown(family))]
        for family in names
    ]
    parts.append("\n".join(f"- {', '.join(line)}" for line in lines))
    networks = networks_of(module)
    if networks:
        parts.append(
            "## Networks\n\n"
            + "\n".join(f"- {kind}: {', '.join(on)}" for kind, on in networks.items())
            + "\n\nWhy not on others: [what runs on what](../compositions.md)."
        )
    entries = [e for e in manifest.entries().values() if e.family in _names(names)]
    if entries:
        parts.append("## Weights")
        parts += [weights_text(entry) for entry in entries]
    pictures = pictures_of([entry.name for entry in entries])
    if pictures:
        parts += ["## Pictures", *pictures]
    methods = _methods(cls)
    if methods:
        parts.append("## Methods of its own")
    parts += [
        f"::: aezoo.models.{module}.{cls}.{method}\n"
        "    options:\n      show_root_full_path: false\n      heading_level: 3"
        for method in methods
    ]
    return "\n\n".join(parts) + "\n"


def _methods(cls: str) -> list[str]:
    """Public methods and properties that a class defines itself."""
    found = [n.name for n in _classes()[cls][1].body if isinstance(n, ast.FunctionDef)]
    return [name for name in dict.fromkeys(found) if not name.startswith("_")]


def _names(families: list[FamilyName]) -> set[str]:
    return {family.name for family in families}


def _shown(family: FamilyName) -> list[tuple[str, str]]:
    return list(family.defaults.items())


def networks_of(module: str) -> dict[str, list[str]]:
    """Networks that an objective runs on, by modality: a row of `compositions.md`."""
    found = {}
    page = (DOCS / "compositions.md").read_text(encoding="utf-8")
    for section in page.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        rows = [line.strip("| ").split("|") for line in text.splitlines()]
        rows = [[cell.strip() for cell in row] for row in rows]
        headings = next(row for row in rows if row[0] == "objective")
        for row in rows:
            if row[0] == f"`{module}`":
                cells = zip(headings[1:], row[1:], strict=False)
                on = [f"`{name}`" for name, cell in cells if cell]
                if on:
                    found[title.strip()] = on
    return found


def weights_text(entry: WeightsEntry) -> str:
    """What is known of weights: what they are, and the figures that tell most."""
    words = (
        f"### {entry.name}\n\n{entry.description} "
        f"A code of {_shape(entry)}, {entry.num_params:,} parameters. "
        f"[Paper]({entry.paper})."
    )
    tables = []
    for split, figures in entry.metrics.items():
        lines = [
            f"| {cell(heading(name))} | {format_figure(name, figures[name].value)} "
            f"| {figures[name].unit} |"
            for name in telling(figures)
        ]
        rows = "\n".join(lines)
        tables.append(f"| {split} | value | unit |\n| --- | ---: | --- |\n{rows}")
    return "\n\n".join([words, *tables])


def cell(text: str) -> str:
    """Words inside a table of Markdown, where a bar would end the cell."""
    return text.replace("|", "\\|")


def _shape(entry: WeightsEntry) -> str:
    return " x ".join(map(str, entry.latent_shape))


@functools.cache
def _gallery() -> tuple[tuple[str, str], ...]:
    """Addresses and captions of the gallery's pictures."""
    text = (DOCS / "learn" / "gallery.md").read_text(encoding="utf-8")
    found = re.findall(r"!\[([^\]]*)\]\(\.\./(gallery/[^)]+)\)", text)
    return tuple((address, " ".join(caption.split())) for caption, address in found)


def pictures_of(names: list[str]) -> list[str]:
    """The gallery's pictures whose caption names one of these models."""
    return [
        f"![{caption}](../{address})\n\n{caption}."
        for address, caption in _gallery()
        if set(re.findall(r"\w+", caption)) & set(names)
    ]


# --- Tables --------------------------------------------------------------------------


def every_model() -> str:
    """All weights: family, data, size, and how far reconstructions are off."""
    lines = [
        "| model | family | data | code units | parameters | MB | MSE | samples |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, entry in manifest.entries().items():
        mse = entry.metric("mse")
        module = families()[entry.family].module
        samplers = ["prior"] if "sampling" in entry.tasks else []
        lines.append(
            f"| [`{name}`](docs/families/{module}.md#{name}) | `{entry.family}` "
            f"| {entry.data.name} | {entry.latent_dim} | {entry.num_params:,} "
            f"| {entry.weights.bytes / 1e6:.2f} "
            f"| {'' if mse is None else format_figure('mse', mse.value)} "
            f"| {', '.join([*samplers, *entry.samplers])} |"
        )
    return "\n".join(lines)


def every_metric() -> str:
    """Every metric by its question: unit, direction, protocol, needs."""
    parts = []
    for kind in dict.fromkeys([*KINDS, *(d.kind for d in METRICS.values())]):
        of_kind = [d for d in METRICS.values() if d.kind == kind]
        if not of_kind:
            continue
        lines = [
            "| metric | unit | better | protocol | needs |",
            "| --- | --- | --- | --- | --- |",
        ]
        for definition in of_kind:
            fields = Placeholders(
                words(_noun(definition.modalities), _element(definition.modalities))
            )
            unit, protocol = (
                cell(html.escape(text.format_map(fields)))
                for text in (definition.unit, definition.protocol)
            )
            title = f"`{definition.name}`"
            if definition.reference:
                title += f" ([paper]({definition.reference}))"
            needs = (*definition.requires, *definition.needs, definition.package)
            lines.append(
                f"| {title} | {unit} | {DIRECTIONS[definition.higher_is_better]} "
                f"| {protocol} | {', '.join(filter(None, needs))} |"
            )
        parts.append(f"## {KINDS.get(kind, kind.capitalize())}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _noun(modalities: tuple[str, ...] | None) -> str:
    return "image" if modalities is not None and "image" in modalities else "example"


def _element(modalities: tuple[str, ...] | None) -> str:
    return "pixel" if modalities is not None and "image" in modalities else "element"


FILLS: Mapping[str, Callable[[], str]] = {
    "every_model": every_model,
    "every_metric": every_metric,
}


# --- Reference -----------------------------------------------------------------------

# What no name of `aezoo` holds, but people use: page, words, and what it shows.
FURTHER: Mapping[str, tuple[str, ...]] = {
    "models": ("aezoo.models.autoencoder.Autoencoder",),
    "features": (
        "aezoo.features.search",
        "aezoo.features.streaming",
        "aezoo.features.ray",
    ),
    "metrics": ("aezoo.metrics", "aezoo.metrics.definition"),
    "records": ("aezoo.manifest", "aezoo.registry"),
}


def reference_pages() -> Iterator[tuple[str, str]]:
    """A page of the functions of `aezoo`, one of each public module."""
    blocks = "\n\n".join(f"::: aezoo.{name}" for name in sorted(aezoo._MODULE_OF))
    modules = "\n".join(f"- [`aezoo.{m}`]({m}.md)" for m in sorted(aezoo._MODULES))
    further = "\n".join(f"- [{name}]({name}.md)" for name in (*FURTHER, "commands"))
    yield (
        "reference/index.md",
        f"# aezoo\n\nPublic modules:\n\n{modules}\n\nFurther:\n\n{further}\n\n"
        f"## Functions\n\n{blocks}\n",
    )
    for name, place in sorted(aezoo._MODULES.items()):
        path = f"aezoo.{place}"
        yield f"reference/{name}.md", _module_page(f"aezoo.{name}", [path])
    for name, paths in FURTHER.items():
        yield f"reference/{name}.md", _module_page(name, list(paths))
    yield "reference/commands.md", commands_page()


def commands_page() -> str:
    """What `--help` says of each command."""
    import click

    from aezoo.cli import main

    parts = ["# Commands"]
    settings = {**main.context_settings, "terminal_width": HELP_WIDTH}
    whole = click.Context(main, info_name="aezoo", **settings)
    for name, command in sorted(main.all_commands().items()):
        context = click.Context(command, parent=whole, info_name=name)
        text = command.get_help(context)
        parts.append(f"## aezoo {name}\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def _module_page(title: str, paths: list[str]) -> str:
    parts = [f"# {title}"]
    for path in paths:
        options = ["inherited_members: true"]
        if len(paths) == 1:  # the page's title says it
            options += ["show_root_heading: false", "show_root_toc_entry: false"]
        members = _exported(path)
        if members:
            options.append(f"members: [{', '.join(members)}]")
        lines = "\n".join(f"      {option}" for option in options)
        parts.append(f"::: {path}\n    options:\n{lines}")
    return "\n\n".join(parts) + "\n"


def _exported(path: str) -> list[str]:
    """What `__all__` of a module lists, as far as it is no other page's."""
    source = ROOT / path.replace(".", "/")
    source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
    if not source.is_file():
        return []
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


# --- The site ------------------------------------------------------------------------


def pages() -> Iterator[tuple[str, str]]:
    """Every page that no file of `docs/` holds, by its place in the site."""
    for document, place in DOCUMENTS.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        yield place, relink(text, document, place)
    for module in objectives():
        yield f"families/{module}.md", family_page(module)
    yield from reference_pages()


def filled(text: str, place: str) -> str:
    """A page with its tables; links in these start at the repository's root."""
    return FILL.sub(lambda found: relink(FILLS[found[1]](), "README.md", place), text)


def relink(text: str, document: str, place: str) -> str:
    """A document's text as a page: links lead to pages, or are words.

    Args:
        text: Markdown with links relative to `document`.
        document: Its path in the repository.
        place: Its path in the site.
    """
    folder = os.path.dirname(document)  # noqa: PTH120

    def new(found: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(folder, found[2]))  # noqa: PTH118
        if target.startswith("docs/"):
            page = target.removeprefix("docs/")
        elif target == "README.md":
            page = "index.md"
        else:
            page = DOCUMENTS.get(target, "")
        if not page:
            return f"{found[1]}{found[2]}"
        here = os.path.dirname(place) or "."  # noqa: PTH120
        return f"{found[1]}{os.path.relpath(page, here)}"

    text = LINK.sub(new, text)
    # what the site does not hold is named, not linked
    return re.sub(
        r"\[([^\]\[]+)\]\((?!https?:|mailto:|#)([^)\s]+)\)",
        lambda m: m[0] if _is_page(m[2], place) else m[1],
        text,
    )


def _is_page(address: str, place: str) -> bool:
    target = os.path.normpath(
        os.path.join(os.path.dirname(place), address.partition("#")[0])  # noqa: PTH118, PTH120
    )
    generated = set(DOCUMENTS.values()) | {f"families/{m}.md" for m in objectives()}
    return target in generated or (DOCS / target).is_file()


def with_mathml(page: str) -> str:
    """HTML whose equations are MathML."""
    from latex2mathml.converter import convert

    def new(found: re.Match[str]) -> str:
        display = "block" if found[1] == "div" else "inline"
        return str(convert(html.unescape(found[2]).strip(), display=display))

    return MATH.sub(new, page)


def on_config(config: Any) -> Any:
    """Fill in the navigation of what is generated."""
    families = [{m: f"families/{m}.md"} for m in sorted(objectives())]
    names = sorted([*aezoo._MODULES, *FURTHER, "commands"])
    reference = [{name: f"reference/{name}.md"} for name in names]
    made = {
        "Families": ["families/index.md", *families],
        "Reference": ["reference/index.md", *reference],
    }
    config.nav = [
        {title: made.get(title, content) for title, content in item.items()}
        for item in config.nav
    ]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that no file holds."""
    from mkdocs.structure.files import File

    for place, text in pages():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the tables of a page."""
    return filled(markdown, page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Turn equations into MathML."""
    return with_mathml(html)
