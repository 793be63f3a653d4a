"""How components find addresses: the hosts file, then DNS, and an error that says who said what."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drharness.components.environment import NameNotFound
from drharness.dns import stub
from drharness.dns.server import DnsServer
from drharness.kernel import rng
from tests.dns.background import Upstream

P = "cfgmaster-p.dr.internal"


class Vm:
    """A VM's two files, and its way to ask."""

    def __init__(self, root: Path, port: int) -> None:
        self.hosts, self.conf, self.port = root / "hosts", root / "resolv.conf", port
        self.hosts.write_text("127.0.0.1 localhost\n")
        self.conf.write_text("# ours\nsearch dr.internal\nnameserver 127.0.0.1\n")

    def resolve(self, name: str, timeout: float = 1.0) -> list[str]:
        """What a component of the VM gets."""
        paths = {"hosts_path": str(self.hosts), "resolv_conf": str(self.conf)}
        draws = rng.stream(1, "ids")
        return asyncio.run(stub.resolve(name, **paths, rng=draws, port=self.port, timeout=timeout))


@pytest.fixture
def vm(tmp_path: Path, server: DnsServer) -> Vm:
    """A VM whose name server is ``server``."""
    return Vm(tmp_path, server.port)


def test_dns_is_asked_where_the_hosts_file_is_silent(vm: Vm) -> None:
    assert vm.resolve(P) == ["10.81.1.11"]


def test_the_hosts_file_comes_before_dns(vm: Vm) -> None:
    vm.hosts.write_text(f"10.82.1.11\tx {P.upper()} # region 2\n10.82.1.12 {P}\n")
    assert vm.resolve(P) == ["10.82.1.11", "10.82.1.12"]


@pytest.mark.parametrize("line", [f"# 10.82.1.11 {P}", f"10.82.1.11 x{P}", f"fd00::1 {P}", "10.9"])
def test_a_line_that_does_not_give_the_name_is_passed_over(vm: Vm, line: str) -> None:
    vm.hosts.write_text(f"{line}\n")
    assert vm.resolve(P) == ["10.81.1.11"]


def test_an_address_is_its_own_answer(vm: Vm) -> None:
    assert vm.resolve("10.1.2.3") == ["10.1.2.3"]


def test_missing_files_are_like_empty_ones(tmp_path: Path) -> None:
    vm = Vm(tmp_path, 1)
    vm.hosts.unlink()
    vm.conf.unlink()
    with pytest.raises(NameNotFound, match=r"hosts: no entry; .*resolv\.conf: no name server"):
        vm.resolve(P)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.dr.internal", r"nowhere.dr.internal: .*hosts: no entry; 127.0.0.1: NXDOMAIN$"),
        ("text.dr.internal", r"127.0.0.1: no address \(NODATA\)$"),
        ("www.example.org", "127.0.0.1: REFUSED$"),
        ("a..b", "name: expected labels of 1 to 63 characters, got 'a..b'"),
    ],
)
def test_the_error_says_who_answered_what(vm: Vm, name: str, says: str) -> None:
    with pytest.raises(NameNotFound, match=says):
        vm.resolve(name)


def test_silence_is_given_up_after_two_tries(tmp_path: Path) -> None:
    upstream = Upstream()
    vm = Vm(tmp_path, upstream.address[1])
    with pytest.raises(NameNotFound, match=r"no answer in 0.05 s \(2 tries over UDP\)"):
        vm.resolve(P, timeout=0.05)
    first, second = upstream.hear(), upstream.hear()
    upstream.sock.close()
    assert first[0].to_wire() == second[0].to_wire()


def test_the_next_server_is_asked_after_one_that_cannot_say(vm: Vm) -> None:
    vm.conf.write_text("nameserver 127.0.0.2\nnameserver 127.0.0.1\n")
    assert vm.resolve(P) == ["10.81.1.11"]


def test_a_long_answer_is_fetched_over_tcp(vm: Vm) -> None:
    assert len(vm.resolve("many.dr.internal")) == 300


def test_lookup_tells_all_about_one_server(server: DnsServer) -> None:
    found = asyncio.run(stub.lookup(P, "127.0.0.1", server.port))
    assert {key: found[key] for key in ("rcode", "addresses", "ttl", "aa")} == {
        "rcode": "NOERROR", "addresses": ["10.81.1.11"], "ttl": 1, "aa": True,
    }  # fmt: skip
    missing = asyncio.run(stub.lookup("nowhere.dr.internal", "127.0.0.1", server.port))
    assert (missing["rcode"], missing["addresses"], missing["ttl"]) == ("NXDOMAIN", [], 5)


def test_lookup_says_when_nobody_answers() -> None:
    upstream = Upstream()
    port = upstream.address[1]
    upstream.sock.close()
    found = asyncio.run(stub.lookup(P, "127.0.0.1", port))
    assert found["rcode"] == "NOANSWER"
    assert "Connection refused" in found["text"]
