"""Which operations of a .tflite file a target runtime lacks.

opsets.json holds the highest version of each operation that a runtime opens. It was measured, with
`probe_opset`, on ai-edge-litert 2.3.0 and tflite-runtime 2.14.0 (x86-64, Python 3.11) and, for
browsers, on LiteRT.js 2.5.3 (Chromium 156, WebAssembly): each runtime was given files that name one
operation in rising versions until it refused. The lookup is by name and version alone; that a
kernel takes these shapes and types is seen only by running the file. LiteRT.js takes and gives
float32, int32 and uint8 only: a file with int8 at its ends can't be used there.
"""

from __future__ import annotations

import json
from importlib import resources

from dermcompress import flatbuffer
from dermcompress.flatbuffer import Operation

FILE = "opsets.json"


def known() -> dict[str, dict[str, int]]:
    """{"runtime version": {operation: highest version that it opens}}."""
    return json.loads((resources.files("dermcompress") / FILE).read_text(encoding="utf-8"))


def missing(data: bytes) -> dict[str, list[str]]:
    """What each target runtime lacks to open a .tflite file.

    Args:
        data: The file.

    Returns:
        {"runtime version": [operation, version, highest known version and where it is used, in
        words]}; an empty list where the runtime can open it.

    Raises:
        InputError: Not a whole .tflite file.
    """
    needed = flatbuffer.operations(flatbuffer.read(data))
    return {
        runtime: [
            _lack(operation, highest.get(operation.name, 0))
            for operation in needed
            if operation.version > highest.get(operation.name, 0)
        ]
        for runtime, highest in known().items()
    }


def _lack(operation: Operation, highest: int) -> str:
    known_up_to = f"known up to version {highest}" if highest else "not known at all"
    where = f"first used for {operation.output}" if operation.output else "used nowhere"
    return f"{operation.name} version {operation.version} ({known_up_to}), {where}"
