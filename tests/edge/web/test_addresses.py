import ipaddress
import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from dermedge.web import addresses

# As the kernel writes them: address, interface, prefix, scope, flags, name.
KERNEL = """\
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0
20010db8000000000000000000000003 04 40 00 80     eth0
20010db8000000000000000000000004 04 40 00 01     eth0
20010db8000000000000000000000005 04 40 00 20     eth0
20010db8000000000000000000000006 04 40 00 c0     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""
ROUTES = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 192.168.1.0/24 2 0 2
        |-- 192.168.1.0
           /24 link UNICAST
        |-- 192.168.1.4
           /32 host LOCAL
        |-- 192.168.1.5
           /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
Local:
        |-- 192.168.1.4
           /32 host LOCAL
"""


def test_each_is_an_address_by_which_others_reach_this_machine():
    found = [ipaddress.ip_address(each) for each in addresses.reachable()]
    assert len(set(found)) == len(found)
    for each in found:
        assert not each.is_loopback
        assert not each.is_unspecified
        family = socket.AF_INET if each.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as here:
            here.bind((str(each), 0))  # or it is none of ours


@pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2")
def test_they_are_those_that_the_system_tells():
    said = subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True)
    known = {
        each["local"]
        for interface in json.loads(said.stdout)
        for each in interface["addr_info"]
        if each["scope"] == "global" and not each.get("temporary")
    }
    found = addresses.reachable()
    assert set(found) <= known
    assert bool(found) == bool(known)


def test_ipv6_addresses_that_last_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses, "_IPV6", tmp_path / "if_inet6")
    assert addresses._ipv6() == []  # a kernel without
    (tmp_path / "if_inet6").write_text(KERNEL)
    assert addresses._ipv6() == ["fd00::2", "2001:db8::3"]


def test_every_ipv4_address_of_an_interface_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(addresses, "_IPV4", tmp_path / "fib_trie")
    monkeypatch.setattr(addresses, "_ipv6", list)
    monkeypatch.setattr(addresses, "outward", lambda: None)
    assert addresses.reachable() == ()  # a kernel without
    (tmp_path / "fib_trie").write_text(ROUTES)
    assert addresses.reachable() == ("192.168.1.4", "192.168.1.5")


def test_without_a_network_there_are_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses, "outward", lambda: None)
    monkeypatch.setattr(addresses, "_ipv4", lambda: ["127.0.0.1"])
    monkeypatch.setattr(addresses, "_ipv6", list)
    assert addresses.reachable() == ()


def test_elsewhere_than_on_linux_it_is_the_one_towards_the_network(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses.sys, "platform", "darwin")
    monkeypatch.setattr(addresses, "outward", lambda: "192.168.1.4")
    assert addresses.reachable() == ("192.168.1.4",)
