"""A server that answers wrongly because it was told to: how, about what, until when."""

from __future__ import annotations

import asyncio

import dns.flags
import pytest

from drharness.dns import control
from drharness.dns.server import DnsServer
from drharness.errors import DrHarnessError, UsageError
from drharness.kernel import clock
from tests.dns.background import ask, rcode, values

P, B = "cfgmaster-p.dr.internal", "cfgmaster-b.dr.internal"


def misbehave(path: str, how: str, seconds: float = 0.0, name: str | None = None) -> None:
    """Tell the server how to answer."""
    asyncio.run(control.misbehave(how, seconds=seconds, name=name, path=path))


def probe(server: DnsServer, over: str, timeout: float = 5.0) -> dict[str, object]:
    """Ask once, over one transport."""
    asked = control.probe(P, "127.0.0.1", over=over, patience=timeout, port=server.port)
    return asyncio.run(asked)


@pytest.mark.parametrize(("how", "code"), [("servfail", "SERVFAIL"), ("nxdomain", "NXDOMAIN")])
def test_every_name_is_answered_wrongly_until_told_otherwise(
    server: DnsServer, master: str, how: str, code: str
) -> None:
    ask(server.port, P)
    misbehave(master, how)
    assert [rcode(ask(server.port, name, tcp=tcp)) for name in (P, B) for tcp in (False, True)] == [
        code
    ] * 4
    misbehave(master, "")
    assert values(ask(server.port, P)) == ["10.81.1.11"]


def test_a_denial_can_be_cached_like_a_true_one(server: DnsServer, master: str) -> None:
    true = ask(server.port, "nowhere.dr.internal")
    misbehave(master, "nxdomain")
    false = ask(server.port, P)
    assert false.authority == true.authority
    assert false.flags & dns.flags.AA


def test_names_outside_the_zone_are_answered_wrongly_too_and_statistics_say_so(
    server: DnsServer, master: str
) -> None:
    misbehave(master, "servfail")
    assert rcode(ask(server.port, "x.example.org")) == "SERVFAIL"
    assert asyncio.run(control.stats(path=master))["misbehaves"] == {
        "*": {"how": "servfail", "seconds": 0.0}
    }


def test_only_one_name_may_be_answered_wrongly(server: DnsServer, master: str) -> None:
    misbehave(master, "servfail", name="CFGMASTER-P.dr.internal")
    assert [rcode(ask(server.port, name)) for name in (P, B)] == ["SERVFAIL", "NOERROR"]
    misbehave(master, "nxdomain")
    assert [rcode(ask(server.port, name)) for name in (P, B)] == ["SERVFAIL", "NXDOMAIN"]
    misbehave(master, "", name=P)
    assert [rcode(ask(server.port, name)) for name in (P, B)] == ["NXDOMAIN", "NXDOMAIN"]


def test_a_truncated_answer_is_whole_over_tcp(server: DnsServer, master: str) -> None:
    misbehave(master, "truncated")
    cut = probe(server, "udp")
    assert (cut["tc"], cut["addresses"]) == (True, [])
    assert probe(server, "tcp")["addresses"] == ["10.81.1.11"]
    whole = asyncio.run(control.lookup(P, "127.0.0.1", server.port))
    assert whole["addresses"] == ["10.81.1.11"]
    asked = asyncio.run(control.queries(path=master))
    assert [q["transport"] for q in asked][-2:] == ["udp", "tcp"]


def test_without_tcp_a_truncated_answer_stays_one(server: DnsServer, master: str) -> None:
    misbehave(master, "truncated-no-tcp")
    assert probe(server, "udp")["tc"] is True
    said = probe(server, "tcp", timeout=0.1)
    assert (said["rcode"], said["text"]) == ("NOANSWER", "127.0.0.1: no answer in 0.1 s over TCP")


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_a_slow_answer_comes_late_and_is_true(server: DnsServer, master: str, over: str) -> None:
    misbehave(master, "slow", 0.2)
    for _ in range(2):  # the second one from what was stored
        started = clock.now()
        assert probe(server, over)["addresses"] == ["10.81.1.11"]
        assert clock.now() - started >= 0.2
    assert probe(server, over, timeout=0.05)["rcode"] == "NOANSWER"


def test_a_stale_server_takes_changes_and_answers_as_before(server: DnsServer, master: str) -> None:
    misbehave(master, "stale")
    with pytest.raises(
        DrHarnessError, match=r"expected \['10.82.1.11'\] served.* got .*10.81.1.11"
    ):
        asyncio.run(control.change_records({P: ["10.82.1.11"]}, path=master))
    assert values(ask(server.port, P)) == ["10.81.1.11"]
    assert asyncio.run(control.zone(path=master))["records"][P]["A"] == ["10.82.1.11"]
    misbehave(master, "")
    assert values(ask(server.port, P)) == ["10.82.1.11"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("servfail", "got SERVFAIL"),
        ("nxdomain", "got NXDOMAIN"),
        ("slow", "got .*no answer in 1 s"),
    ],
)
def test_a_change_that_is_not_answered_says_what_is(
    server: DnsServer, master: str, how: str, says: str
) -> None:
    misbehave(master, how, 9.0)
    with pytest.raises(DrHarnessError, match=f"expected .* served .*{says}"):
        asyncio.run(control.change_records({P: ["10.82.1.11"]}, path=master))


def test_a_change_that_is_not_to_be_verified_is_only_stored(server: DnsServer, master: str) -> None:
    misbehave(master, "servfail")
    done = asyncio.run(control.change_records({P: ["10.82.1.11"]}, verify=False, path=master))
    assert done["changed"]
    assert server.zone.serial == done["serial"]


def test_an_soa_that_is_not_served_is_said(server: DnsServer, master: str) -> None:
    misbehave(master, "servfail", name="dr.internal")
    with pytest.raises(DrHarnessError, match=r"expected dr\.internal's SOA record, got SERVFAIL"):
        asyncio.run(control.change_records({P: ["10.82.1.11"]}, path=master))


@pytest.mark.parametrize(
    ("how", "seconds", "says"),
    [
        ("odd", 0.0, "how: expected one of .* got 'odd'"),
        ("slow", 0.0, "seconds: expected a number"),
    ],
)
def test_an_unknown_way_is_refused(
    master: str, server: DnsServer, how: str, *, seconds: float, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        misbehave(master, how, seconds)
    assert rcode(ask(server.port, P)) == "NOERROR"
