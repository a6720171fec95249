"""Names in a published table -> photographs beneath a folder."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dermedge import image
from dermedge.errors import TableError
from dermedge.image import ENDINGS


@dataclass(frozen=True, slots=True)
class Photographs:
    """The photographs beneath a folder, found by name: names only, a path is never followed."""

    root: Path
    by_name: Mapping[str, tuple[str, ...]]

    def find(self, name: str) -> str:
        """Path of the photograph relative to the root, empty if there is none.

        The name may have an ending or not, and another ending than the file; a table may name
        `x.png` where the file is `x.jpg`. A name with folders must match exactly.

        Raises:
            TableError: Several photographs of that name that are not the same file.
        """
        if "/" in name:
            matches = self.by_name.get(_key(PurePosixPath(name).name), ())
            return name if name in matches else ""
        matches = self.by_name.get(_key(name), ())
        first = matches[0] if matches else ""
        for other in matches[1:]:
            if not filecmp.cmp(self.root / first, self.root / other, shallow=False):
                raise TableError(
                    f"{self.root} holds several photographs named {name}: {first} and {other}; "
                    "give the folder that holds the right ones"
                )
        return first


def beneath(root: Path) -> Photographs:
    """Look for photographs.

    Raises:
        TableError: There are none.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for path in image.find(root):
        names[_key(path.name)].append(path.relative_to(root).as_posix())
    if not names:
        raise TableError(f"{root} holds no photographs ({', '.join(sorted(ENDINGS))})")
    return Photographs(root, {name: tuple(paths) for name, paths in names.items()})


def _key(name: str) -> str:
    """`ISIC_0000001.JPG` -> `isic_0000001`: a dot inside a name stays."""
    path = PurePosixPath(name.strip())
    return (path.stem if path.suffix.lower() in ENDINGS else path.name).lower()
