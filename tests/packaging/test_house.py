"""The command as a newcomer meets it: `--help` everywhere, `--version`."""

import re
import subprocess
import sys
from collections.abc import Iterator

import dermedge

COMMANDS = {"diagnose", "evaluate", "compare", "camera", "doctor", "train", "compress"}


def kit(*arguments: str) -> str:
    command = [sys.executable, "-m", "dermedge", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def helps(*group: str) -> Iterator[tuple[str, str]]:
    """Name and help text of every command beneath a group."""
    text = kit(*group, "--help")
    _, listed, commands = text.partition("\nCommands:\n")
    if not listed:
        yield " ".join(group), text
    for name in re.findall(r"^  (\w\S*)", commands, re.MULTILINE):
        yield from helps(*group, name)


def test_every_command_shows_an_example_of_itself():
    found = dict(helps())
    assert set(found) >= COMMANDS | {"data synth"}
    without = [
        name
        for name, text in found.items()
        if not re.search(rf"^ *Example:\n +kit {name}\b", text, re.MULTILINE)
    ]
    assert without == []


def test_the_version_is_that_of_the_package():
    assert kit("--version") == f"dermkit {dermedge.__version__}\n"
