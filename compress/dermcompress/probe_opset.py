"""Measure which operations a TFLite runtime knows: `python -m dermcompress.probe_opset PYTHON ...`.

PYTHON is an interpreter that has the runtime installed; nothing else need be. It is asked with
files made here: an empty graph whose operation table names one operation in one version. A runtime
looks up the whole table when it opens a file and refuses what it lacks, used or not. The answers
are written into opsets.json, for a release of this package to carry.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

# All the rest is imported where it is needed: this file also runs where there is only a runtime.

_HIGHEST = 32  # asked for; no operation has half as many versions
# The second is said of an operation that is younger than the runtime.
_REFUSALS = ("Didn't find op", "builtin_code out of range")
# No operations: marks that other fields of the file say more.
_MARKS = ("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES")


def main(pythons: list[str]) -> None:
    """Ask the runtime of every interpreter and write what is known now."""
    from dermcompress import opset

    found = opset.known()
    for python in pythons:
        found |= measure(python)
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
        highest = {
            name: max((i for i, f in enumerate(files, 1) if _opens(interpreter, f)), default=0)
            for name, files in question["files"].items()
        }
        version = metadata.version(distribution)
        return {f"{distribution} {version}": {n: v for n, v in highest.items() if v}}
    raise SystemExit(f"no TFLite runtime in {sys.executable}")


def _opens(interpreter: Any, file: str) -> bool:
    try:
        interpreter(model_content=base64.b64decode(file))
    except ValueError as error:
        if not any(refusal in str(error) for refusal in _REFUSALS):
            raise
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1:] == ["--answer"]:
        json.dump(answer(json.load(sys.stdin)), sys.stdout)
    else:
        main(sys.argv[1:])
