"""A kept deployment as lines of text: for ``up`` and ``status``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drharness.cli.records import typed
from drharness.deployment.register import Record
from drharness.topology import Topology, addresses

_PORT = str(addresses.POSTGRES_PORT)
_QUIET = ("on", "off")


def of(record: Record, now: Mapping[str, Any]) -> Iterator[str]:
    """Everything about one deployment; ``now`` is what :func:`status.look` returns."""
    topology = Topology.from_dict(record.topology)
    yield f"{record.name}: {_in_brief(now, topology)}"
    yield (
        f"  {topology.replication} replication, {topology.timing} timing, TTL {topology.ttl} s, "
        f"return fence {topology.return_fence}"
    )
    if record.origin:
        yield f"  kept for {record.origin}"
    for fault in now["faults"]:
        yield f"  in force: {fault}"
    for what, how in now["lost"].items():
        yield f"  LOST: {what} {how}, though nobody ended it"
    yield ""
    yield from _columns(
        [("VM", "POWER", "ADDRESS", "WHAT RUNS THERE"), *(_vm(vm, now) for vm in now["vms"])]
    )
    yield ""
    yield from _columns([("NAME", "SERVED", "TTL", "CACHED"), *_names(now)])
    yield ""
    yield from _columns([("DATABASE", "STATE", "SENDS TO", "FIREWALL"), *_databases(now)])
    yield ""
    yield f"evidence  {typed(record.evidence)}"
    yield f"lifetime  until {record.until}, its keeper being process {record.pid}"


def table(records: Sequence[Record]) -> Iterator[str]:
    """Several deployments, one a line."""
    rows = [("NAME", "STATE", "SINCE", "ENDS BY ITSELF", "EVIDENCE")]
    rows += [(r.name, r.state, r.since, r.until, typed(r.evidence)) for r in records]
    yield from _columns(rows)


def _in_brief(now: Mapping[str, Any], topology: Topology) -> str:
    active, framework = now["active"], now["framework"]
    where = (
        f"{active} is active"
        if active == framework
        else (f"{active}'s database is active, {framework}'s Framework")
    )
    others = [r for r in topology.regions if r not in (active, framework)]
    dormant = f", {' and '.join(others)} dormant" if others else ""
    traffic = "; clients write" if now["traffic"] else ""
    return f"{where}{dormant}{traffic}"


def _vm(vm: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    if vm["power"] in ("off", "lost"):
        what = ""
    elif vm["role"] == "dbms":
        what = f"postgres: {_database(now['databases'][vm['region']])}"
    elif vm["role"] == "dns":
        what = "DNS server"
    else:
        known = {it["address"]: it["id"] for it in now["vms"]}
        shown = [_component(it, known) for it in vm["components"]]
        what = ", ".join(text for text in shown if text)
    power = vm["power"] if vm["power"] in _QUIET else vm["power"].upper()
    return (vm["id"], power, vm["address"], what)


def _component(it: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """One component in few words, in capitals what is not as it should be.

    :param known: VMs by their addresses
    """
    kind = it["kind"]
    if "error" in it:
        return f"{kind} does NOT ANSWER"
    if kind == "lca":
        return ""
    if kind == "application":
        via = it.get("via", "").removesuffix(".csproxy")
        return f"application via {via}" if via else "application NOT CONNECTED"
    if kind == "csproxy":
        master = it["master"].partition(":")[0]
        mode = it["mode"] if it["mode"] == "normal" else it["mode"].upper()
        at = f" from {known.get(master, master)}" if master else ""
        return f"csproxy {it['role']}, {mode} mode{at}"
    database = f" on {it['db']}'s database" if it.get("db") else ""
    return f"{kind} {it['role']}{database}"


def _database(it: Mapping[str, Any]) -> str:
    if not it["accepting"]:
        return "takes NO SESSIONS"
    state = "writable" if it["writable"] else "standby"
    return f"{state}, timeline {it['tli']}"


def _databases(now: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for region, it in now["databases"].items():
        state = it["error"].partition("\n")[0] if not it["accepting"] else _database(it)
        place = it.get("cur") or it.get("replay")
        at = f", at {place}" if place else ""
        senders = ", ".join(f"{name} ({how})" for name, _, how in it["senders"]) or "-"
        rules = now["firewall"][region]
        yield (region, f"{state}{at}", senders, _rules(rules))


def _rules(rules: Sequence[str] | None) -> str:
    """The guide's rules in words; any other as it is."""
    if rules is None:
        return "?"
    said = []
    for rule in rules:
        words = rule.split()
        match words:
            case [
                "-A",
                "INPUT",
                "-s",
                source,
                *_,
                "--dport",
                port,
                "-j",
                "REJECT",
                "--reject-with",
                _,
            ]:
                said.append(f"rejects {source}" if port == _PORT else rule)
            case _:
                said.append(rule)
    return ", ".join(said) or "open to all"


def _names(now: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, it in now["dns"].items():
        served = "NO ANSWER" if it["served"] is None else " ".join(it["served"]) or "no such name"
        ttl = "" if it["ttl"] is None else f"{it['ttl']} s"
        yield (name, served, ttl, _cached(it["cached"]))


def _cached(cached: Mapping[str, Any]) -> str:
    """Who would still answer what; those that would ask are left out."""
    held = {
        vm: " ".join(entry.get("values", ())) or "an error"
        for vm, entry in cached.items()
        if entry is not None and "error" not in entry
    }
    silent = [vm for vm, entry in cached.items() if entry is not None and "error" in entry]
    parts = [f"{values} in {', '.join(v for v in held if held[v] == values)}"
             for values in dict.fromkeys(held.values())]  # fmt: skip
    parts += [f"{vm} does NOT ANSWER" for vm in silent]
    return "; ".join(parts) or "nowhere"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
