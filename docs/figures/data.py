"""The small committed tables that the figures are drawn from; each says where it comes from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermedge import atomic

FOLDER = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, slots=True)
class Data:
    """One table: what its head says (`command`, `data`, ...), and its rows as text."""

    head: Mapping[str, str]
    rows: tuple[Mapping[str, str], ...]

    def column(self, name: str) -> list[float]:
        """One column as numbers."""
        return [float(row[name]) for row in self.rows]

    @property
    def source(self) -> str:
        """What the figure says below itself."""
        return source(self.head)


def source(head: Mapping[str, str]) -> str:
    """In one line: the data, and the command that gave the numbers."""
    return f"{head['data']}.  {head['command']}"


def read(name: str) -> Data:
    """Read docs/data/NAME.csv: lines `# key: value`, then a CSV table."""
    lines = (FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    heads = [line for line in lines if line.startswith("#")]
    pairs = (line.lstrip("# ").strip().partition(": ") for line in heads)
    rows = csv.DictReader(io.StringIO("".join(lines[len(heads) :])))
    return Data({key: value for key, _, value in pairs}, tuple(rows))


def write(name: str, head: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write docs/data/NAME.csv; see `read`."""
    stream = io.StringIO()
    stream.writelines(f"# {key}: {value}\n" for key, value in head.items())
    rows = list(rows)
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = FOLDER / f"{name}.csv"
    atomic.write_text(path, stream.getvalue())
    return path


def read_json(name: str) -> dict[str, Any]:
    """Read docs/data/NAME.json, an object with the key `head`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
