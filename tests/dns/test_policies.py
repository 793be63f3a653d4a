"""A resolver that keeps answers otherwise than the authority says, because it was told to."""

from __future__ import annotations

import asyncio

import pytest

from drharness.dns import cache, control
from drharness.dns.resolver import Resolver
from drharness.dns.server import DnsServer
from drharness.errors import UsageError
from tests.dns.background import Background, HandClock, ask, closing, rcode, values

P, NOW = "cfgmaster-p.dr.internal", "now.dr.internal"
OLD, NEW = ["10.81.1.11"], ["10.82.1.11"]


def follow(path: str, how: str, seconds: float = 0.0) -> None:
    """Give the resolver another policy."""
    said = asyncio.run(control.set_policy(how, seconds, path=path))
    assert said == asyncio.run(control.policy(path=path)) == {"how": how, "seconds": seconds}


def change(master: str) -> None:
    """Move the name, TTL 1 s."""
    asyncio.run(control.change_records({P: NEW}, 1, path=master))


def seen(resolver: Resolver, name: str = P) -> tuple[list[str], int]:
    """Addresses and TTL as a client of the resolver gets them."""
    reply = ask(resolver.port, name)
    return values(reply), reply.answer[0].ttl


@pytest.mark.parametrize(
    ("how", "seconds", "ttl", "lasts"),
    [("honour", 0, 1, 1), ("floor", 30, 30, 30), ("floor", 0.5, 1, 1), ("cap", 60, 1, 1)],
)
def test_an_answer_is_kept_and_given_as_the_policy_says(
    caching: Resolver, hand: HandClock, path: str, master: str, *,
    how: str, seconds: float, ttl: int, lasts: float,
) -> None:  # fmt: skip
    follow(path, how, seconds)
    assert seen(caching) == (OLD, ttl)
    assert seen(caching) == (OLD, ttl)
    change(master)
    hand.now += lasts - 0.01
    assert seen(caching)[0] == OLD
    hand.now += 0.02
    assert seen(caching)[0] == NEW


def test_a_cap_forgets_before_the_authority_would(
    caching: Resolver, hand: HandClock, path: str
) -> None:
    follow(path, "cap", 5)
    assert seen(caching, "both.dr.internal")[1] == 5
    hand.now += 2.0
    assert seen(caching, "both.dr.internal")[1] == 3
    hand.now += 3.0
    assert seen(caching, "both.dr.internal")[1] == 5
    follow(path, "cap", 0)
    assert seen(caching, "both.dr.internal")[1] == 0
    assert asyncio.run(control.cache(path=path)) == []


def test_forever_is_for_ever_but_a_flush_helps(
    caching: Resolver, hand: HandClock, path: str, master: str
) -> None:
    follow(path, "forever")
    assert seen(caching) == (OLD, cache.MAX_TTL)
    change(master)
    hand.now += 86400.0
    assert seen(caching) == (OLD, cache.MAX_TTL - 86400)
    asyncio.run(control.flush(path=path))
    assert seen(caching)[0] == NEW


def test_what_is_kept_when_the_policy_changes_follows_it(
    caching: Resolver, hand: HandClock, path: str, master: str
) -> None:
    seen(caching)
    follow(path, "forever")
    change(master)
    hand.now += 10.0
    assert seen(caching)[0] == OLD
    follow(path, "honour")
    assert seen(caching) == (NEW, 1)


def test_what_had_ended_before_does_not_come_back(
    caching: Resolver, hand: HandClock, path: str, master: str
) -> None:
    seen(caching)
    change(master)
    hand.now += 2.0
    follow(path, "forever")
    assert seen(caching)[0] == NEW


def test_a_name_that_is_not_to_be_kept_is_kept_by_a_floor(caching: Resolver, path: str) -> None:
    seen(caching, NOW)
    assert asyncio.run(control.cache(path=path)) == []
    follow(path, "floor", 7)
    assert seen(caching, NOW) == (["10.0.0.9"], 7)
    assert asyncio.run(control.cache(path=path))[0]["ttl_left"] == 7


def test_a_failure_is_never_kept(caching: Resolver, path: str, master: str) -> None:
    asyncio.run(control.misbehave("servfail", path=master))
    follow(path, "forever")
    assert rcode(ask(caching.port, P)) == "SERVFAIL"
    asyncio.run(control.misbehave(path=master))
    assert seen(caching)[0] == OLD


def test_a_denial_is_kept_by_the_same_policy(
    caching: Resolver, hand: HandClock, path: str, master: str
) -> None:
    follow(path, "floor", 60)
    assert rcode(ask(caching.port, "later.dr.internal")) == "NXDOMAIN"
    asyncio.run(control.change_records({"later.dr.internal": ["10.0.0.5"]}, path=master))
    hand.now += 59.0
    assert rcode(ask(caching.port, "later.dr.internal")) == "NXDOMAIN"
    hand.now += 2.0
    assert rcode(ask(caching.port, "later.dr.internal")) == "NOERROR"


def test_a_stale_answer_is_given_only_while_upstream_fails(
    caching: Resolver, hand: HandClock, path: str, master: str
) -> None:
    follow(path, "serve-stale", 100)
    assert seen(caching) == (OLD, 1)
    change(master)
    hand.now += 5.0
    asyncio.run(control.misbehave("servfail", path=master))
    assert seen(caching) == (OLD, cache.STALE_TTL)
    assert rcode(ask(caching.port, "both.dr.internal")) == "SERVFAIL"
    asyncio.run(control.misbehave(path=master))
    assert seen(caching)[0] == NEW


def test_a_stale_answer_is_given_when_upstream_is_silent_and_ends_too(
    background: Background, server: DnsServer, hand: HandClock, caching: Resolver, path: str
) -> None:
    follow(path, "serve-stale", 100)
    seen(caching)
    background.run(closing(server.close))
    hand.now += 100.9
    assert seen(caching) == (OLD, cache.STALE_TTL)
    hand.now += 0.2
    assert rcode(ask(caching.port, P)) == "SERVFAIL"
    stats = asyncio.run(control.stats(path=path))
    assert (stats["stale"], stats["failed"]) == (1, 2)


@pytest.mark.parametrize(
    ("how", "seconds", "says"),
    [
        ("flor", 1.0, "got 'flor'. Did you mean 'floor'"),
        ("cap", -1.0, "seconds: expected a number"),
    ],
)
def test_an_unknown_policy_changes_nothing(
    caching: Resolver, path: str, *, how: str, seconds: float, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        asyncio.run(control.set_policy(how, seconds, path=path))
    assert asyncio.run(control.policy(path=path))["how"] == "honour"
