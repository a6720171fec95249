"""Many small works in threads: results in order, and few of them waiting at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 8


def mapped(
    work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int = 0
) -> Generator[R, None, None]:
    """Yield `work(item)` of each item, in order.

    Unlike `Executor.map` it takes items only as they are needed, so that neither a long list of
    items nor of results lies in memory, and so that an interrupt or an error ends it soon: at most
    `ahead` works are under way, by default eight for each thread.

    Raises:
        Whatever `work` raises, at its place in the order.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= (ahead or _AHEAD * threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
