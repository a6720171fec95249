"""Measure which operations a TFLite runtime knows: `python -m dermcompress.probe_opset PLACE ...`.

A PLACE is an interpreter that has the runtime installed, nothing else need be; or a folder into
which npm has installed LiteRT.js, the runtime of browsers (see `probe_browser`). It is asked with
files made here: an empty graph whose operation table names one operation in one version. A runtime
looks up the whole table when it opens a file and refuses what it lacks, used or not. The answers
are written into opsets.json, for a release of this package to carry.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

# All the rest is imported where it is needed: this file also runs where there is only a runtime.

_HIGHEST = 32  # asked for; no operation has half as many versions
# The second is said of an operation that is younger than the runtime.
_REFUSALS = ("Didn't find op", "builtin_code out of range")
# No operations: marks that other fields of the file say more.
_MARKS = ("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES")


def main(places: list[str]) -> None:
    """Ask the runtime of every place and write what is known now."""
    from dermcompress import opset

    found = opset.known()
    for place in places:
        found |= measure_browser(Path(place)) if Path(place).is_dir() else measure(place)
    text = json.dumps(found, indent=2, sort_keys=True) + "\n"
    (Path(__file__).parent / opset.FILE).write_text(text, encoding="utf-8")


def measure(python: str) -> dict[str, dict[str, int]]:
    """Ask the runtime that an interpreter has installed.

    Args:
        python: Path of the interpreter.

    Returns:
        {"runtime version": {operation: highest version that it opens}}.
    """
    from dermedge.tflite import RUNTIMES

    question = json.dumps({"runtimes": RUNTIMES, "files": _files()})
    # Isolated: the modules beside this file must not hide others of their name.
    command = [python, "-I", __file__, "--answer"]
    answer = subprocess.run(command, input=question, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout)


def measure_browser(folder: Path) -> dict[str, dict[str, int]]:
    """Ask LiteRT.js in a headless Chromium; takes about a minute.

    Args:
        folder: Where npm has installed it.

    Returns:
        As `measure`.
    """
    from dermcompress import probe_browser

    with probe_browser.opened(folder) as browser:

        def opens(file: str) -> bool:
            return not _lacks(browser.ask(base64.b64decode(file)).refusal)

        return {probe_browser.name(folder): _highest(_files(), opens)}


def _files() -> dict[str, list[str]]:
    """For every operation of the schema its files, version 1 first, as base64."""
    from dermcompress import flatbuffer

    names = {n: name for n, name in flatbuffer.NAMES.items() if name not in _MARKS}
    return {
        name: [
            base64.b64encode(_file(number, version)).decode() for version in range(1, _HIGHEST + 1)
        ]
        for number, name in names.items()
    }


def _file(number: int, version: int) -> bytes:
    """A .tflite without a single operator that names one operation."""
    from dermcompress import flatbuffer

    schema = flatbuffer.schema
    code = schema.OperatorCodeT()
    code.builtinCode = number
    # The older field holds one byte; the schema says what it holds where that is too small.
    code.deprecatedBuiltinCode = min(number, 127)
    code.version = version
    graph = schema.SubGraphT()
    graph.tensors = graph.inputs = graph.outputs = graph.operators = []
    model = schema.ModelT()
    model.version = 3
    model.operatorCodes, model.subgraphs, model.buffers = [code], [graph], [schema.BufferT()]
    return flatbuffer.write(model)


def answer(question: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What `measure` returns, for the first of the runtimes that is installed here."""
    for module, distribution in question["runtimes"]:
        try:
            interpreter = import_module(module).Interpreter
        except ImportError:
            continue
        highest = _highest(question["files"], partial(_opens, interpreter))
        return {f"{distribution} {metadata.version(distribution)}": highest}
    raise SystemExit(f"no TFLite runtime in {sys.executable}")


def _highest(files: dict[str, list[str]], opens: Callable[[str], bool]) -> dict[str, int]:
    """The highest version of every operation that a runtime opens, if there is one."""
    found = {name: _last(each, opens) for name, each in files.items()}
    return {name: version for name, version in found.items() if version}


def _last(files: list[str], opens: Callable[[str], bool]) -> int:
    found = 0
    for version, file in enumerate(files, 1):
        if opens(file):
            found = version
        elif found:  # before that it may not have begun: BROADCAST_TO is known from version 2 on
            break
    return found


def _opens(interpreter: Any, file: str) -> bool:
    try:
        interpreter(model_content=base64.b64decode(file))
    except ValueError as error:
        return not _lacks(str(error))
    return True


def _lacks(refusal: str) -> bool:
    """Whether an operation is lacking; of an empty refusal, none.

    Raises:
        ValueError: The file was refused for another reason.
    """
    if refusal and not any(each in refusal for each in _REFUSALS):
        raise ValueError(refusal)
    return bool(refusal)


if __name__ == "__main__":
    if sys.argv[1:] == ["--answer"]:
        json.dump(answer(json.load(sys.stdin)), sys.stdout)
    else:
        main(sys.argv[1:])
