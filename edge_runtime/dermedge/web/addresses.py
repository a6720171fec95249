"""By which addresses others in its networks reach this machine, at this moment."""

from __future__ import annotations

import ipaddress
import socket
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

# Of the documentation's own network (RFC 5737): a datagram socket that points there sends nothing,
# and tells through which of its addresses this machine would.
_OUTSIDE = ("192.0.2.1", 9)

# The kernel's routing table: an address, and in the next line what it is.
_IPV4 = Path("/proc/net/fib_trie")
_OWN = "/32 host LOCAL"

_IPV6 = Path("/proc/net/if_inet6")
_UNIVERSAL = 0x00
# Temporary (made anew each day, to browse with), deprecated, or not yet known to be free.
_PASSING = 0x01 | 0x20 | 0x40


def outward() -> str | None:
    """The IPv4 address towards the rest of the network; None without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outwards:
        try:
            outwards.connect(_OUTSIDE)
            return outwards.getsockname()[0]
        except OSError:
            return None


def reachable() -> tuple[str, ...]:
    """The addresses of the network interfaces, in order, without those of this machine alone.

    On Linux every IPv4 address, and every IPv6 address that lasts and needs no interface's name
    beside it; elsewhere the one of `outward`.
    """
    towards = outward()
    found = {towards} if towards else set()
    if sys.platform == "linux":
        found |= {*_ipv4(), *_ipv6()}
    known = map(ipaddress.ip_address, found)
    return tuple(map(str, sorted((a for a in known if not a.is_loopback), key=_order)))


def _order(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[int, int]:
    return address.version, int(address)


def _ipv4() -> list[str]:
    found = []
    with suppress(OSError):  # a kernel without IPv4
        for entry, kind in pairwise(_IPV4.read_text("ascii").splitlines()):
            if kind.strip() == _OWN:
                found.append(entry.split()[-1])
    return found


def _ipv6() -> list[str]:
    """Each line: address, interface, length of the prefix, scope, flags, the interface's name."""
    found = []
    with suppress(OSError):  # a kernel without IPv6
        for line in _IPV6.read_text("ascii").splitlines():
            digits, _, _, scope, flags, *_ = line.split()
            if int(scope, 16) == _UNIVERSAL and not int(flags, 16) & _PASSING:
                found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)))
    return found
