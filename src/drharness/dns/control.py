"""What the controller calls inside a VM to operate its DNS server or resolver.

Each function talks to the process of the VM it runs in, through that process's control socket.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from drharness.dns import channel, codec, exchange, names, rdata, resolver, server, stub
from drharness.dns.zone import Values
from drharness.errors import DrHarnessError
from drharness.kernel import rng

SERVER = server.DEFAULTS["control"]
RESOLVER = resolver.DEFAULTS["control"]


async def change_records(
    records: Mapping[str, Values],
    ttl: int | None = None,
    *,
    verify: bool = True,
    path: str = SERVER,
) -> dict[str, Any]:
    """Change several names at once, and return only when the server answers so (asked over UDP).

    :param records: everything that each name is to hold: addresses, or ``{"ttl": s, "A": [...]}``;
        an empty list removes the name
    :param ttl: seconds for records that state none (default: the zone's)
    :param verify: false: return when the change is stored, whatever the server answers
    :returns: ``{"serial", "changed": False if all was so already, "address", "port"}``
    :raises UsageError: records that cannot be served; nothing was changed
    :raises DrHarnessError: no server, it could not store the change, or it answers otherwise
    """
    done = await channel.call(path, "set", records=dict(records), ttl=ttl)
    if not verify:
        return done
    for name, values in records.items():  # before the serial: what is answered says more
        if not isinstance(values, Mapping):
            await _verify(name, [v for v in values if ":" not in v], done)
    served = await _serial((done["address"], done["port"]), path)
    if served != done["serial"]:
        raise DrHarnessError(f"DNS: expected serial {done['serial']} served, got {served}.")
    return done


async def _serial(at: exchange.Server, path: str) -> int:
    """The serial that a question for the zone's SOA record gets."""
    zone_name = (await channel.call(path, "zone"))["zone"]
    question = codec.question_of(names.to_wire(zone_name), rdata.SOA)
    ident = rng.stream(rng.fresh_seed(), "control").getrandbits(16)
    packet = codec.encode_query(ident, question, recursion=False)
    try:
        said = rdata.decode(await exchange.ask(at, packet, timeout=1.0, tries=2))
    except (exchange.NoAnswer, rdata.BadMessage) as error:
        raise DrHarnessError(f"DNS: the changed server does not answer: {error}") from error
    if not said["answers"]:
        raise DrHarnessError(f"DNS: expected {zone_name}'s SOA record, got {said['rcode']}.")
    return int(said["answers"][0]["value"].split()[2])


async def _verify(name: str, wanted: list[str], done: dict[str, Any]) -> None:
    said = await stub.lookup(name, done["address"], done["port"])
    if sorted(said["addresses"]) != sorted(wanted):
        raise DrHarnessError(
            f"DNS: {name}: expected {wanted} served with serial {done['serial']}, "
            f"got {said['text']} from {done['address']}:{done['port']}."
        )


async def zone(*, path: str = SERVER) -> dict[str, Any]:
    """The zone being served: ``{"zone", "serial", "ttl", "negative_ttl", "records": {name: {"ttl",
    "A": [...]}}, "address", "port"}``."""
    return await channel.call(path, "zone")


async def queries(
    since_ns: int = 0, *, limit: int = server.LISTED_QUERIES, path: str = SERVER
) -> list[dict[str, Any]]:
    """The newest ``limit`` queries answered at or after an instant of CLOCK_MONOTONIC, in order.

    :returns: ``[{"t": ns, "client": address, "transport": "udp"|"tcp", "serial": zone version,
        "name", "type", "rcode", "answers": [values], "ttl": s or None, "tc": bool}]``
    """
    got = await channel.call(path, "queries", since_ns=since_ns, limit=limit)
    words: dict[str, dict[str, Any]] = {}
    out = []
    for t, client, over, serial, tail in got["queries"]:
        if tail not in words:
            words[tail] = _in_words(b"\0\0" + base64.b64decode(tail))
        out.append({"t": t, "client": client, "transport": over, "serial": serial, **words[tail]})
    return out


def _in_words(reply: bytes) -> dict[str, Any]:
    said = rdata.decode(reply)
    return {
        **{key: said[key] for key in ("name", "type", "rcode", "tc")},
        "answers": [r["value"] for r in said["answers"]],
        "ttl": min((r["ttl"] for r in said["answers"]), default=None),
    }


async def stats(*, path: str = SERVER) -> dict[str, Any]:
    """Counters of a server, or of a resolver by its ``path``."""
    return await channel.call(path, "stats")


async def flush(name: str | None = None, *, path: str = RESOLVER) -> dict[str, Any]:
    """Make the resolver forget everything, or one name: ``{"flushed": answers forgotten}``."""
    return await channel.call(path, "flush", name=name)


async def cache(*, path: str = RESOLVER) -> list[dict[str, Any]]:
    """What the resolver remembers: ``[{"name", "type", "values": [...], "ttl_left": s, "negative":
    bool, "rcode"}]``."""
    entries: list[dict[str, Any]] = (await channel.call(path, "cache"))["entries"]
    return entries


async def misbehave(
    how: str = "", *, seconds: float = 0.0, name: str | None = None, path: str = SERVER
) -> dict[str, Any]:
    """Make the server answer wrongly (see :mod:`drharness.dns.misbehaviour`), or rightly again.

    It forgets that when it ends.

    :param how: empty: rightly again
    :param seconds: how late ``slow`` answers are
    :param name: only for questions about this name
    """
    return await channel.call(path, "misbehave", how=how, seconds=seconds, name=name)


async def policy(*, path: str = RESOLVER) -> dict[str, Any]:
    """How long the resolver keeps answers: ``{"how", "seconds"}``."""
    return await channel.call(path, "policy")


async def set_policy(how: str, seconds: float = 0.0, *, path: str = RESOLVER) -> dict[str, Any]:
    """Make the resolver keep answers otherwise (see :class:`drharness.dns.cache.Policy`), also
    those that it keeps now; until it ends. Returns what :func:`policy` does."""
    return await channel.call(path, "policy", how=how, seconds=seconds)


async def probe(
    name: str, server: str, *, over: str = "udp", patience: float = 1.0, port: int = 53
) -> dict[str, Any]:
    """Ask a server for a name's addresses once, over UDP or TCP and nothing else.

    :param patience: seconds until silence is an answer too
    :returns: as :func:`lookup`, and ``"tc"``: whether the answer was cut
    """
    return await stub.probe(name, server, over=over, timeout=patience, port=port)


async def lookup(name: str, server: str = "127.0.0.1", port: int = 53) -> dict[str, Any]:
    """Ask a server for a name's addresses from this VM; see :func:`drharness.dns.stub.lookup`."""
    return await stub.lookup(name, server, port)
