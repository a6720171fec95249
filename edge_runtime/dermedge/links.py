"""Links that somebody else has planted, so that we write where they themselves may not."""

from __future__ import annotations

import os
from pathlib import Path

from dermedge.errors import StorageError

# Of `os.open`: never through a link. Windows has no such thing, and no such links.
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def refuse(*paths: Path) -> None:
    """Refuse links that belong to neither root nor us, as the kernel does in /tmp.

    A service may own the folder into which root installs its models: a link in there could have
    root overwrite, or delete, anything. Links of root's own, to a larger disk perhaps, are fine.

    Raises:
        StorageError: One is such a link.
    """
    if not hasattr(os, "geteuid"):  # Windows
        return
    for path in paths:
        if path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
            raise StorageError(
                f"{path} is a link that another user has made; look where it leads, and remove it"
            )
