"""The caching resolver: how long it remembers, what it forgets, and what it makes of silence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.flags
import dns.message
import pytest

from drharness.dns import control
from drharness.dns import resolver as process
from drharness.dns.resolver import Resolver
from drharness.dns.server import DnsServer
from drharness.errors import UsageError
from drharness.kernel import rng, waiting
from tests.dns.background import (
    Background,
    Files,
    HandClock,
    Upstream,
    VmEnvironment,
    ask,
    closing,
    rcode,
    values,
)  # fmt: skip

P, B = "cfgmaster-p.dr.internal", "cfgmaster-b.dr.internal"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A name server that answers when told."""
    made = Upstream()
    yield made
    made.sock.close()


@pytest.fixture
def waiting_resolver(background: Background, upstream: Upstream) -> Iterator[Resolver]:
    """A resolver in front of ``upstream``; gives up soon."""
    made = Resolver([upstream.address], rng.stream(1, "ids"), timeout=0.2, tries=2)
    background.run(made.start())
    yield made
    background.run(closing(made.close))


def change(server: DnsServer, background: Background, name: str, addresses: list[str]) -> None:
    """Change the zone behind the resolver's back, TTL 10."""
    edit = server.zone.transaction()
    edit.set(name, addresses, ttl=10)
    background.call(lambda: server.publish(edit.commit()))


def test_an_answer_is_remembered_for_its_ttl_and_no_longer(
    caching: Resolver, server: DnsServer, background: Background, hand: HandClock
) -> None:
    change(server, background, P, ["10.81.1.11"])
    assert values(ask(caching.port, P)) == ["10.81.1.11"]
    change(server, background, P, ["10.82.1.11"])
    hand.now += 9.999
    assert values(ask(caching.port, P)) == ["10.81.1.11"]
    hand.now += 0.001
    assert values(ask(caching.port, P)) == ["10.82.1.11"]


@pytest.mark.parametrize(("age", "left"), [(0, 10), (0.5, 9), (4, 6), (9.9, 0)])
def test_the_ttl_given_is_what_remains(
    caching: Resolver, server: DnsServer, background: Background, hand: HandClock,
    age: float, left: int,
) -> None:  # fmt: skip
    change(server, background, P, ["10.81.1.11"])
    ask(caching.port, P)
    hand.now += age
    assert ask(caching.port, P).answer[0].ttl == left


def test_a_ttl_of_zero_is_not_remembered(caching: Resolver) -> None:
    ask(caching.port, "now.dr.internal")
    ask(caching.port, "now.dr.internal")
    assert (caching.counts["hits"], caching.counts["upstream"]) == (0, 2)


@pytest.mark.parametrize(("name", "kind"), [("nowhere.dr.internal", "A"), (P, "AAAA")])
def test_a_negative_answer_lasts_its_negative_ttl(
    caching: Resolver, hand: HandClock, name: str, kind: str
) -> None:
    first = ask(caching.port, name, kind)
    hand.now += 4.9
    second = ask(caching.port, name, kind)
    assert caching.counts["hits"] == 1
    assert (rcode(second), second.authority[0].ttl) == (rcode(first), 0)
    hand.now += 0.1
    ask(caching.port, name, kind)
    assert caching.counts["upstream"] == 2


def test_the_shortest_ttl_of_a_chain_of_aliases_counts(caching: Resolver, hand: HandClock) -> None:
    assert values(ask(caching.port, "alias.dr.internal"))[-1] == "10.81.1.11"
    hand.now += 1
    ask(caching.port, "alias.dr.internal")
    assert caching.counts["upstream"] == 2


def test_a_reply_is_a_resolvers_and_not_an_authoritys(caching: Resolver) -> None:
    for _ in range(2):
        flags = ask(caching.port, P).flags
        assert flags & dns.flags.RA
        assert flags & dns.flags.RD
        assert not flags & dns.flags.AA


def test_capital_letters_are_echoed_and_do_not_matter(caching: Resolver) -> None:
    ask(caching.port, P)
    reply = ask(caching.port, P.upper())
    assert reply.question[0].name.to_text() == P.upper() + "."
    assert caching.counts["hits"] == 1


def test_each_asker_gets_edns_as_it_asked(caching: Resolver) -> None:
    assert ask(caching.port, P, use_edns=0).edns == 0
    assert ask(caching.port, P).edns == -1


def test_flush_makes_the_next_answer_new(
    caching: Resolver, server: DnsServer, background: Background, path: str
) -> None:
    for name in (P, B):
        change(server, background, name, ["10.81.1.11"])
        ask(caching.port, name)
        change(server, background, name, ["10.82.1.11"])
    assert asyncio.run(control.flush(P, path=path)) == {"flushed": 1}
    assert values(ask(caching.port, P)) == ["10.82.1.11"]
    assert values(ask(caching.port, B)) == ["10.81.1.11"]
    assert asyncio.run(control.flush(path=path)) == {"flushed": 2}
    assert values(ask(caching.port, B)) == ["10.82.1.11"]


def test_flush_counts_living_answers_only(caching: Resolver, hand: HandClock, path: str) -> None:
    ask(caching.port, P)
    hand.now += 1
    assert asyncio.run(control.flush(path=path)) == {"flushed": 0}


def test_the_cache_is_listed_with_what_remains(
    caching: Resolver, hand: HandClock, path: str
) -> None:
    ask(caching.port, "both.dr.internal")
    ask(caching.port, "nowhere.dr.internal")
    ask(caching.port, P)
    hand.now += 1.5
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert asyncio.run(control.cache(path=path)) == [
        {"name": "both.dr.internal", "type": "A", "values": addresses, "ttl_left": 28.5,
         "negative": False, "rcode": "NOERROR"},
        {"name": "nowhere.dr.internal", "type": "A", "values": [], "ttl_left": 3.5,
         "negative": True, "rcode": "NXDOMAIN"},
    ]  # fmt: skip


def test_a_truncated_answer_is_fetched_over_tcp(caching: Resolver) -> None:
    assert ask(caching.port, "many.dr.internal").flags & dns.flags.TC
    assert len(values(ask(caching.port, "many.dr.internal", tcp=True))) == 300
    assert caching.counts["hits"] == 1


def test_an_answer_over_tcp_that_has_to_wait_arrives(caching: Resolver) -> None:
    assert values(ask(caching.port, P, tcp=True)) == ["10.81.1.11"]


def test_a_refusal_is_passed_on_and_not_remembered(caching: Resolver) -> None:
    for _ in range(2):
        assert rcode(ask(caching.port, "www.example.org")) == "REFUSED"
    assert (caching.counts["hits"], caching.counts["upstream"]) == (0, 2)


def test_silence_upstream_is_servfail_and_not_remembered(
    waiting_resolver: Resolver, upstream: Upstream
) -> None:
    assert rcode(ask(waiting_resolver.port, P)) == "SERVFAIL"
    first, again = upstream.hear(), upstream.hear()
    assert first[0].id == again[0].id, "the second try is the same question"
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(ask, waiting_resolver.port, P)
        upstream.say(upstream.hear(), "10.81.1.11")
        assert values(reply.result()) == ["10.81.1.11"]


def test_a_stopped_upstream_is_servfail_at_once(background: Background) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    stopped = Resolver([address], rng.stream(1, "ids"), timeout=60)
    background.run(stopped.start())
    assert rcode(ask(stopped.port, P)) == "SERVFAIL"
    background.run(closing(stopped.close))


def test_a_second_upstream_answers_where_the_first_cannot(
    background: Background, server: DnsServer
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        servers = [gone.getsockname(), ("127.0.0.1", server.port)]
    two = Resolver(servers, rng.stream(1, "ids"))
    background.run(two.start())
    assert values(ask(two.port, P)) == ["10.81.1.11"]
    background.run(closing(two.close))


def test_equal_questions_in_flight_are_one_upstream(
    waiting_resolver: Resolver, upstream: Upstream
) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(ask, waiting_resolver.port, P) for _ in range(8)]
        heard = upstream.hear()
        counts = waiting_resolver.counts
        waiting.wait_until(lambda: counts["queries"] == 8, "all questions asked", timeout=5)
        upstream.say(heard, "10.81.1.11")
        assert [values(reply.result()) for reply in replies] == [["10.81.1.11"]] * 8
    assert waiting_resolver.counts["upstream"] == 1


def test_an_answer_under_way_does_not_survive_a_flush(
    background: Background, waiting_resolver: Resolver, upstream: Upstream
) -> None:
    with ThreadPoolExecutor() as pool:
        before = pool.submit(ask, waiting_resolver.port, P)
        old = upstream.hear()
        background.call(waiting_resolver.flush)
        after = pool.submit(ask, waiting_resolver.port, P)
        new = upstream.hear()
        while new[1] == old[1]:  # the first question's second try
            new = upstream.hear()
        upstream.say(new, "10.82.1.11")
        assert values(after.result()) == ["10.82.1.11"]
        upstream.say(old, "10.81.1.11")
        assert values(before.result()) == ["10.81.1.11"]
    assert values(ask(waiting_resolver.port, P)) == ["10.82.1.11"]


def test_a_reply_with_another_id_or_question_is_not_believed(
    waiting_resolver: Resolver, upstream: Upstream
) -> None:
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(ask, waiting_resolver.port, P)
        query, client = upstream.hear()
        other = dns.message.make_query(B, "A", id=query.id)
        upstream.say((other, client), "10.6.6.6")
        forged = dns.message.from_wire(query.to_wire())
        forged.id ^= 1
        upstream.say((forged, client), "10.6.6.6")
        upstream.say((query, client), "10.81.1.11")
        assert values(reply.result()) == ["10.81.1.11"]


@pytest.mark.parametrize(("ttl", "minimum"), [(7, 60), (60, 7)])
def test_the_smaller_of_the_soas_two_times_is_the_negative_ttl(
    waiting_resolver: Resolver, upstream: Upstream, ttl: int, minimum: int
) -> None:
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(ask, waiting_resolver.port, P)
        upstream.deny(upstream.hear(), ttl=ttl, minimum=minimum)
        assert rcode(reply.result()) == "NXDOMAIN"
    (entry,) = waiting_resolver.cache.listing()
    assert 6 < entry["ttl_left"] <= 7


def test_a_garbled_reply_is_servfail(waiting_resolver: Resolver, upstream: Upstream) -> None:
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(ask, waiting_resolver.port, P)
        query, client = upstream.hear()
        wire = bytearray(dns.message.make_response(query).to_wire())
        wire[7] = 3  # three answers announced, none there
        upstream.sock.sendto(wire, client)
        assert rcode(reply.result()) == "SERVFAIL"


def test_the_process_answers_with_the_vms_options(
    background: Background, server: DnsServer, tmp_path: Path
) -> None:
    path = str(tmp_path / "p")
    argv = ["-port", "0", "-upstream", "127.0.0.1", "-upstream-port", str(server.port)]
    vm = VmEnvironment([*argv, "-control", path], Files(tmp_path))
    stop = background.begin(process.main(vm))
    waiting.wait_until(lambda: vm.lines, "resolver", timeout=5)
    port = asyncio.run(control.stats(path=path))["port"]
    assert asyncio.run(control.lookup(P, "127.0.0.1", port))["addresses"] == ["10.81.1.11"]
    stop()


def test_a_resolver_without_upstream_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="option -upstream: expected a DNS server's address"):
        asyncio.run(process.main(VmEnvironment([], Files(tmp_path))))
