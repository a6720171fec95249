"""Write the reference pages that follow from the code: python docs/reference.py [--check].

docs/commands.md from the commands' own help, docs/sources.md from the descriptions of the data
sets. With --check nothing is written; the exit code is 1 if a page is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from dermedge import atomic

DOCS = Path(__file__).parent
_HEAD = "<!-- Made by `python docs/reference.py`; do not edit. -->\n"


def command_tree() -> Any:
    """`kit` with the commands of every installed package, as a click group."""
    from dermedge.cli import COMMANDS, app

    for entry in metadata.entry_points(group=COMMANDS):
        entry.load()(app)
    return typer.main.get_command(app)


def leaves(group: Any, above: tuple[str, ...] = ("kit",)) -> Iterator[tuple[str, Any]]:
    """Full name and command of everything that can be run, groups aside."""
    for name, command in sorted(group.commands.items()):
        names = (*above, name)
        if hasattr(command, "commands"):
            yield from leaves(command, names)
        else:
            yield " ".join(names), command


def commands_page() -> str:
    """docs/commands.md."""
    found = list(leaves(command_tree()))
    listed = "".join(
        f"| [`{name}`](#{name.replace(' ', '-')}) | {_summary(command)} |\n"
        for name, command in found
    )
    sections = "".join(_section(name, command) for name, command in found)
    return (
        f"{_HEAD}# Commands\n\n| command | what it does |\n|---|---|\n{listed}\n"
        "Every command has `--help`. Exit codes: 0 success, 2 wrong usage, 3 a gate failed "
        "(`kit compress`, `kit compare`), 4 bad input, 5 broken bundle or run, 6 camera, 7 "
        f"something must be installed, 8 disk, 130 interrupted.\n{sections}"
    )


def sources_page() -> str:
    """docs/sources.md."""
    from dermtrain.sources import SOURCES

    rows = "".join(
        f"| [{source.title}](#{source.name}) | `{source.name}` | {_licence(source)} "
        f"| {_grouped(source)} | {', '.join(source.attributes) or '-'} |\n"
        for source in SOURCES
    )
    sections = "".join(_source(source) for source in SOURCES)
    return (
        f"{_HEAD}# Public data sets\n\n"
        "`kit data import` reads these as they are published, and knows each by its columns. What "
        "counts as malignant is a decision; these are the kit's, and `--malignant` names others.\n"
        "The licence is what the set's publishers state as far as the kit's makers know it: the "
        "set's own page decides.\n"
        "\n| data set | format | licence | groups | attributes |\n|---|---|---|---|---|\n"
        f"{rows}{sections}"
    )


def _section(name: str, command: Any) -> str:
    story, _, example = inspect.cleandoc(command.help or "").partition("\b\n")
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([name, *(_metavar(p) for p in arguments), "[OPTIONS]"])
    story = _options_as_code(story.strip())
    lines = [f"\n## {name} {{#{name.replace(' ', '-')}}}\n", f"`{usage}`\n", f"{story}\n"]
    rows = [(f"`{_metavar(p)}`", p) for p in arguments]
    kinds = typing.get_type_hints(command.callback)
    rows += [(f"`{_names(p, str(kinds[p.name]))}`", p) for p in options]
    if rows:
        lines.append("| | | default |\n|---|---|---|")
        lines += [f"| {said} | {_cell(p.help or '')} | {_default(p)} |" for said, p in rows]
        lines.append("")
    shown = [line.strip() for line in example.splitlines() if line.strip().startswith("kit ")]
    lines += [f"    {line}" for line in shown]
    return "\n".join(lines) + "\n"


def _summary(command: Any) -> str:
    return _cell(inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " "))


def _metavar(parameter: Any) -> str:
    name = parameter.metavar or (parameter.name or "").upper()
    many = "..." if parameter.nargs == -1 and not name.endswith("...") else ""
    return f"{name}{many}" if parameter.required else f"[{name}{many}]"


def _names(option: Any, kind: str) -> str:
    words = {"Path": "PATH", "int": "NUMBER", "float": "NUMBER"}  # of a type as Python writes it
    word = next((word for part, word in words.items() if part in kind), "TEXT")
    value = "" if option.is_flag else f" {option.metavar or word}"
    return ", ".join([*option.opts, *option.secondary_opts]) + value


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required or value is None or value is False or callable(value):
        return ""
    return f"`{value}`"


def _source(source: Any) -> str:
    choices = "".join(f"- {choice}\n" for choice in source.choices)
    beside = "".join(f"- Beside it: {other.adds}.\n" for other in source.companions)
    malignant = ", ".join(f"`{name}`" for name in sorted(source.malignant))
    named = f"Malignant: {malignant}.\n\n" if malignant else ""
    return (
        f"\n## {source.title} {{#{source.name}}}\n\n{named}{choices}{beside}\n{source.citation}.\n"
    )


def _licence(source: Any) -> str:
    return "each photograph's own" if source.licence_of else _cell(source.licence)


def _grouped(source: Any) -> str:
    known = [word for word in ("patient", "lesion") if getattr(source, word)]
    return ", ".join(known) or "none: near-duplicates"


def _cell(text: str) -> str:
    return _options_as_code(" ".join(text.split()).replace("|", "\\|").replace("<", "&lt;"))


def _options_as_code(text: str) -> str:
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text)


PAGES: dict[str, Callable[[], str]] = {"commands.md": commands_page, "sources.md": sources_page}


def main() -> None:
    """Write the pages, or say which are out of date."""
    stale = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            atomic.write_text(path, text)
            print(path)
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(stale)}; run: python docs/reference.py")


if __name__ == "__main__":
    main()
