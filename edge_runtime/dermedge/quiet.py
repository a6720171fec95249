"""Keep the remarks of C++ libraries, written straight to file descriptor 2, off the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what the body writes to standard error; show it after all if the body fails."""
    sys.stderr.flush()
    with _sink() as sink:
        kept = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except Exception:
            sink.seek(0)
            os.write(kept, sink.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _sink() -> BinaryIO:
    """A file of no name: in memory, since a device with a full card has to judge all the same."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("dermedge-quiet"), "w+b")
    return tempfile.TemporaryFile()
