"""The ISIC archive's public API: what it lists, and one photograph at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from dermedge import __version__, atomic
from dermedge.errors import MissingError
from dermedge.image import ENDINGS

if TYPE_CHECKING:
    from isic_cli.session import IsicCliSession as Session

ARCHIVE = "https://api.isic-archive.com/api/v2/"
BASE_FIELDS = ("isic_id", "attribution", "copyright_license")
_NAME = re.compile(r"ISIC_\d{7}")
_CHUNK = 1 << 16
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask the archive for, and how hard to knock.

    Attributes:
        collections: Numbers of the archive's collections; none: the whole archive.
        base: Address of the API.
        limit: At most so many photographs; 0: all.
        patience: Seconds of the first pause after a failure; each further one is twice as long.
    """

    collections: tuple[int, ...]
    base: str = ARCHIVE
    limit: int = 0
    patience: float = 1.0

    @property
    def chosen(self) -> str:
        """The collections as the API wants them."""
        return ",".join(str(number) for number in self.collections)


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph as the archive lists it.

    Attributes:
        name: Such as ISIC_0000001.
        url: Where its file is to be had, for a while.
        size: Of the file, bytes.
        metadata: Field -> value.
    """

    name: str
    url: str
    size: int
    metadata: Mapping[str, str]

    @property
    def file(self) -> str:
        """Name of its file."""
        ending = PurePosixPath(urlparse(self.url).path).suffix.lower()
        return f"{self.name}{ending if ending in ENDINGS else '.jpg'}"


class CutOff(Exception):  # noqa: N818 (what happened to the answer)
    """The answer was shorter or longer than the archive says."""


@contextmanager
def session(query: Query) -> Iterator[Session]:
    """Yield a session of isic-cli that waits and tries again on 429 and 5xx, as Retry-After asks.

    Raises:
        MissingError: isic-cli is not installed, or the archive does not answer.
    """
    try:
        from isic_cli.session import IsicCliSession
        from requests.exceptions import RequestException
        from urllib3.util.retry import Retry
    except ImportError as error:
        raise MissingError("this needs isic-cli; run: pip install 'dermkit[isic]'") from error
    retry = Retry(
        total=8,
        connect=3,
        status_forcelist=[429, 500, 502, 503, 504],
        backoff_factor=query.patience,
        redirect=False,
        raise_on_status=False,
    )
    try:
        with IsicCliSession(query.base, retry_strategy=retry) as opened:
            opened.headers["User-Agent"] = f"dermkit/{__version__} {opened.headers['User-Agent']}"
            yield opened
    except RequestException as error:
        raise MissingError(f"{query.base} does not answer as expected: {error}") from error


def count(session: Session, query: Query) -> tuple[int, int]:
    """How many photographs there will be, and the bytes of all without the limit.

    Raises:
        MissingError: None, or not an answer of the ISIC archive.
    """
    from isic_cli.io.http import get_num_images, get_size_images

    try:
        total = int(get_num_images(session, collections=query.chosen))
        size = int(get_size_images(session, collections=query.chosen))
    except (KeyError, TypeError, ValueError) as error:
        raise MissingError(f"{query.base} does not answer as the ISIC archive does") from error
    if not total:
        raise MissingError(f"no public photographs in collection {query.chosen or '(any)'}")
    return min(total, query.limit) if query.limit else total, size


def listed(session: Session, query: Query) -> Iterator[Photograph]:
    """The archive's list, page by page, as the downloads need it: signed addresses grow old.

    Raises:
        MissingError: An entry that the archive would not write.
    """
    from isic_cli.io.http import get_images

    seen = set()
    for entry in islice(get_images(session, collections=query.chosen), query.limit or None):
        photograph = _parse(entry, query)
        if photograph.name not in seen:
            seen.add(photograph.name)
            yield photograph


def _parse(entry: Any, query: Query) -> Photograph:
    try:
        name, full = entry["isic_id"], entry["files"]["full"]
        values = {**entry["metadata"].get("acquisition", {}), **entry["metadata"]["clinical"]}
        values |= {field: entry[field] for field in BASE_FIELDS}
        url, size = str(full["url"]), int(full["size"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MissingError(
            f"{query.base}: an entry of the list is not as the ISIC archive writes it: {error!r}"
        ) from error
    # The name becomes a file's name: nothing but the archive's own pattern may.
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise MissingError(f"{query.base}: {str(name)[:80]!r} is no name of the ISIC archive")
    texts = {key: "" if value is None else str(value) for key, value in values.items()}
    return Photograph(name, url, size, texts)


def persistently(patience: float) -> Any:
    """What calls a download again after a cut line or an odd length; never after a refusal."""
    from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    return Retrying(
        retry=retry_if_exception_type((CutOff, ChunkedEncodingError, ConnectionError, Timeout)),
        wait=wait_exponential(multiplier=patience, max=60),
        stop=stop_after_attempt(_TRIES),
        reraise=True,
    )


def download(session: Session, wanted: Photograph, target: Path) -> str:
    """Fetch one file, which appears whole or not at all.

    Returns:
        Its SHA-256.

    Raises:
        CutOff, requests.RequestException: It did not come.
        StorageError: The disk is full.
    """
    digest, length = hashlib.sha256(), 0
    with session.get(wanted.url, stream=True, headers={"Accept": "image/*"}) as answer:
        answer.raise_for_status()
        with atomic.whole(target) as temporary, temporary.open("wb") as stream:
            for chunk in answer.iter_content(_CHUNK):
                length += len(chunk)
                if length > wanted.size:
                    raise CutOff(f"longer than the {wanted.size} bytes that the archive says")
                digest.update(chunk)
                stream.write(chunk)
            if length != wanted.size:
                raise CutOff(f"{length} of {wanted.size} bytes came")
            stream.flush()
    return digest.hexdigest()
