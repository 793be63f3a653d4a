"""How every component finds an address: the hosts file, then the name servers of resolv.conf.

The order of nsswitch's ``hosts: files dns``, IPv4 only, no search domains, nothing remembered. On a
host with nscd it is the C library that is asked instead (see ``libc``).
"""

from __future__ import annotations

import ipaddress
import random
from pathlib import Path
from typing import Any

from drharness.components.environment import NameNotFound
from drharness.dns import codec, exchange, libc, names, rdata
from drharness.errors import UsageError
from drharness.kernel import rng as randomness
from drharness.kernel import validate

TIMEOUT_S = 1.0
TRIES = 2
HOSTS, PORT = "/etc/hosts", 53
LOCAL = "127.0.0.1"  # where a host's own resolver listens


async def resolve(
    name: str,
    *,
    hosts_path: str = HOSTS,
    resolv_conf: str = "/etc/resolv.conf",
    rng: random.Random | None = None,
    port: int = PORT,
    timeout: float = TIMEOUT_S,
) -> list[str]:
    """IPv4 addresses of a host name, in the order they were given.

    :param rng: draws the query ids (default: a stream of its own)
    :param port: where the name servers of ``resolv_conf`` listen
    :param timeout: seconds per try; each server is tried twice
    :raises NameNotFound: the text says who answered what
    """
    if is_ipv4(name):
        return [name]
    if hosts_path == HOSTS and libc.has_a_cache():
        answer = await _by_libc(name)
        if answer["addresses"]:
            return list(answer["addresses"])
        raise NameNotFound(f"{name}: nscd: {answer['text']}")
    listed = from_hosts(_content(hosts_path), name)
    if listed:
        return listed
    said = [f"{hosts_path}: no entry"]
    servers = name_servers(_content(resolv_conf))
    if not servers:
        said.append(f"{resolv_conf}: no name server")
    for server in servers:
        answer = await lookup(name, server, port=port, rng=rng, timeout=timeout)
        if answer["addresses"]:
            return list(answer["addresses"])
        said.append(f"{server}: {answer['text']}")
        if answer["rcode"] in ("NOERROR", "NXDOMAIN"):
            break
    raise NameNotFound(f"{name}: {'; '.join(said)}")


async def lookup(
    name: str,
    server: str,
    port: int = 53,
    *,
    rng: random.Random | None = None,
    timeout: float = TIMEOUT_S,
    tries: int = TRIES,
) -> dict[str, Any]:
    """Ask one server for the addresses of a name; :data:`LOCAL` is nscd where there is one.

    :returns: ``{"rcode": "NOERROR"|"NXDOMAIN"|…, "addresses": [...], "ttl": s or None, "aa": bool,
        "text": what it said}``; rcode is ``"NOANSWER"`` when nothing usable came in time.
        ``ttl`` is the smallest of the answer's, for a negative answer the SOA's
    :raises NameNotFound: ``name`` cannot be a host name
    """
    if (server, port) == (LOCAL, PORT) and libc.has_a_cache():
        return await _by_libc(name)
    packet = _packet(name, rng)
    try:
        reply = await exchange.ask((server, port), packet, timeout=timeout, tries=tries)
        return _in_words(reply)
    except (exchange.NoAnswer, rdata.BadMessage) as error:
        return _silence(error)


async def _by_libc(name: str) -> dict[str, Any]:
    """As :func:`lookup`; it tells no TTL, and no reason why there is no address."""
    try:
        found = await libc.addresses(name)
    except OSError as error:
        return _silence(error)
    text = f"addresses {', '.join(found)}" if found else "no such name"
    return _result("NOERROR" if found else "NXDOMAIN", found, None, aa=False, text=text)


async def probe(
    name: str, server: str, *, over: str, timeout: float, port: int = 53
) -> dict[str, Any]:
    """As :func:`lookup`, with one try over one transport; also ``"tc"``: the answer was cut.

    :param over: ``udp`` or ``tcp``
    """
    at, packet = (server, port), _packet(name, None)
    try:
        if validate.choice("over", over, ("udp", "tcp")) == "tcp":
            reply = await exchange.ask_tcp(at, packet, timeout=timeout)
        else:
            reply = await exchange.ask_udp(at, packet, timeout=timeout, tries=1)
        return {**_in_words(reply), "tc": rdata.decode(reply)["tc"]}
    except (exchange.NoAnswer, rdata.BadMessage) as error:
        return {**_silence(error), "tc": False}


def _packet(name: str, rng: random.Random | None) -> bytes:
    """:raises NameNotFound: ``name`` cannot be a host name"""
    try:
        wire = names.to_wire(name)
    except UsageError as error:
        raise NameNotFound(str(error)) from None
    draws = rng or randomness.stream(randomness.fresh_seed(), "stub")
    question = codec.question_of(wire, rdata.TYPES["A"])
    return codec.encode_query(draws.getrandbits(16), question, recursion=True)


def _silence(error: Exception) -> dict[str, Any]:
    none: list[str] = []
    return _result("NOANSWER", none, None, aa=False, text=str(error))


def _in_words(reply: bytes) -> dict[str, Any]:
    said = rdata.decode(reply)
    addresses = [r["value"] for r in said["answers"] if r["type"] == "A"]
    ttl = min((r["ttl"] for r in said["answers"] or said["authority"]), default=None)
    text = said["rcode"]
    if text == "NOERROR":
        text = f"addresses {', '.join(addresses)}" if addresses else "no address (NODATA)"
    return _result(said["rcode"], addresses, ttl, aa=said["aa"], text=text)


def _result(
    rcode: str, addresses: list[str], ttl: int | None, *, aa: bool, text: str
) -> dict[str, Any]:
    return {"rcode": rcode, "addresses": addresses, "ttl": ttl, "aa": aa, "text": text}


def from_hosts(content: str, name: str) -> list[str]:
    """IPv4 addresses that a hosts file gives to ``name``, in its order, each once."""
    wanted = name.removesuffix(".").lower()
    found = []
    for line in content.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        if wanted in (alias.lower() for alias in aliases) and is_ipv4(address):
            found.append(address)
    return list(dict.fromkeys(found))


def name_servers(content: str) -> list[str]:
    """IPv4 name servers of a resolv.conf, in its order."""
    words = [line.split() for line in content.splitlines()]
    return [w[1] for w in words if len(w) > 1 and w[0] == "nameserver" and is_ipv4(w[1])]


def is_ipv4(text: str) -> bool:
    """Whether ``text`` is an IPv4 address in the usual form."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _content(path: str) -> str:
    """A file's text, empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
