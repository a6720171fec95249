"""Token buckets: how often something may happen, for each client address and in all."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

_MAX_ADDRESSES = 1024

Clock = Callable[[], float]


class Bucket:
    """Lets `rate` events a second through in the long run, and `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Clock = time.monotonic) -> None:
        """Start full."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._filled = burst, clock()

    def take(self, cost: float = 1.0) -> bool:
        """Let one event through; False if it is one too many."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._filled) * self._rate)
        self._filled = now
        if self._left < cost:
            return False
        self._left -= cost
        return True

    def drain(self, cost: float) -> None:
        """Charge for something that has happened already."""
        self._left = max(0.0, self._left - cost)


class Buckets:
    """A bucket for each address; of too many addresses those seen longest ago are forgotten."""

    def __init__(self, rate: float, burst: float, clock: Clock = time.monotonic) -> None:
        """See `Bucket`."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._each: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, address: str) -> Bucket:
        """The bucket of the client at this address."""
        who = owner(address)
        found = self._each.pop(who, None) or Bucket(self._rate, self._burst, self._clock)
        self._each[who] = found
        if len(self._each) > _MAX_ADDRESSES:
            self._each.popitem(last=False)
        return found


def owner(address: str) -> str:
    """Who is behind an address: one IPv4 address, or one IPv6 network of 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
