"""By which addresses others in its networks reach this machine, at this moment."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

# Of the documentation's own network (RFC 5737): a datagram socket that points there sends nothing,
# and tells through which of its addresses this machine would.
_OUTSIDE = ("192.0.2.1", 9)

_SIOCGIFADDR = 0x8915  # linux/sockios.h: the IPv4 address of an interface
_NAME, _REQUEST = "16s", 256  # struct ifreq begins with a name; the kernel writes 40 bytes at most
_ADDRESS = slice(20, 24)

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

    On Linux the first IPv4 address of each, and every IPv6 address that lasts and that needs no
    interface's name beside it; elsewhere the one of `outward`.
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
    import fcntl

    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack(_NAME, name.encode()).ljust(_REQUEST, b"\0")
            with suppress(OSError):  # it has none
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, request)
                found.append(socket.inet_ntoa(answer[_ADDRESS]))
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
