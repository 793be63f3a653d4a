"""T3, what is set in the databases, and L6, that what they use stays bounded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from drharness.checks.form import NotExercised
from drharness.checks.intent import intent, troubled
from drharness.checks.standbys import followers
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.view import History

# A standby stops replaying, or does not start, with less of these than its primary has.
REPLAYED = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
ROLE, DATABASE = "configserver", "config"

# Twice max_wal_size (32 MB): what checkpoints keep and wal_keep_size (16 MB) fit, a slot that pins
# WAL does not.
PG_WAL_MB = 64
# As much WAL as one checkpoint lets come together; a database without room for it stops.
FREE_MB = 32
# In client deadlines: by then each client has given up, and its server has noticed.
WAIT_DEADLINES = 3


def settings_audited(history: History) -> list[Finding] | NotExercised:
    """T3. The databases and the names are set as the architecture demands.

    Premise: a census. Rule: a standby has at least the primary's value of what replay depends on;
    a change of a Configuration Server (its role's and database's settings counted) waits for the
    standby if replication is ``sync``, and at least for its own disk if not; a primary with a
    standby names it in synchronous_standby_names if and only if replication is ``sync`` (one that
    a procedure promoted or released names none but those it let follow); with several it waits
    for all; fsync and full_page_writes are on, wal_log_hints or checksums too; no table is
    unlogged; the names' TTL is the topology's. Slack: none.
    """
    audits = [e for e in history.of_kind("audit")]
    if not audits:
        return NotExercised("no census")
    found: dict[tuple[str, str], Finding] = {}
    for event in audits:
        for expected, seen in _problems(history, event):
            key = (event["db"], expected)
            text = f"{seen} in phase {event['phase']}"
            found.setdefault(key, Finding("T3", Verdict.FAIL, expected, text, (event,)))
    return [*found.values(), *_standbys(audits), *_ttl(history)]


def _problems(history: History, event: Event) -> Iterable[tuple[str, str]]:
    """(expected, seen) of one database."""
    of, values = f"the database of {event['db']}", event["settings"]
    for name in ("fsync", "full_page_writes"):
        if values.get(name) == "off":
            yield f"{name} is on in {of}", "it is off"
    if {values.get("wal_log_hints"), values.get("data_checksums")} == {"off"}:
        yield f"wal_log_hints or checksums are on in {of}", "both are off"
    if event.get("unlogged"):
        yield f"every table of {of} is logged", f"unlogged: {', '.join(event['unlogged'])}"
    sync = history.topology.replication == "sync"
    commit = _of_role("synchronous_commit", event)
    if commit not in (("on", "remote_apply") if sync else (*_LOCAL, "on", "remote_apply")):
        wanted = "the standby" if sync else "the disk"
        yield f"a commit of {ROLE} in {of} waits for {wanted}", f"synchronous_commit is {commit}"
    yield from _sync_names(history, event, sync=sync)


_LOCAL = ("local", "remote_write")


def _of_role(name: str, event: Event) -> str:
    """A setting as the Configuration Server's sessions get it: the most special one counts."""
    value = event["settings"].get(name, "")
    for scope in (("", DATABASE), (ROLE, ""), (ROLE, DATABASE)):
        for role, database, text in event.get("roles") or ():
            key, _, special = text.partition("=")
            if (role, database) == scope and key == name:
                value = special
    return str(value)


def _sync_names(history: History, event: Event, *, sync: bool) -> Iterable[tuple[str, str]]:
    region, names = event["db"], event["settings"].get("synchronous_standby_names", "")
    changed = any(
        plan.to == region or any("sync" in s.id for s in plan.steps) for plan in history.plans
    )
    if event["in_recovery"]:
        return
    if not changed and not sync and names:
        yield f"no commit in the database of {region} waits for a standby", f"it does for {names}"
    due = _due(history, event, changed=changed) if sync else ()
    if not _waits_for(names, due):
        said, wanted = names or "nobody", " and ".join(due)
        yield f"a commit in the database of {region} waits for {wanted}", f"it waits for {said}"


def _due(history: History, event: Event, *, changed: bool) -> tuple[str, ...]:
    """Regions whose standbys a database's commits have to wait for; none: nobody knows of any.

    One that was promoted has no standby, unless there are further ones that follow it.
    """
    region = event["db"]
    if not changed:
        return history.topology.others(region) if region == history.active else ()
    released = any("sync" in s.id for plan in history.plans for s in plan.steps)
    meant = intent(history, event.t)
    further = len(history.topology.regions) > 2 and not released
    return followers(history, event.t) if further and region == meant.database else ()


def _waits_for(names: str, due: Collection[str]) -> bool:
    """Whether commits wait for all of these standbys, by synchronous_standby_names."""
    found = re.findall(r"[\w-]+", names)
    first = re.match(r"FIRST (\d+) ", names)
    enough = len(due) < 2 or (first is not None and int(first[1]) >= len(due))
    return enough and all(name in found for name in due)


def _standbys(audits: list[Event]) -> list[Finding]:
    findings, told = [], set()
    for standby in (e for e in audits if e["in_recovery"]):
        same = [e for e in audits if e["phase"] == standby["phase"] and not e["in_recovery"]]
        if not same:
            continue
        primary = min(same, key=lambda e: abs(e.t - standby.t))
        for name in REPLAYED:
            least, value = (int(e["settings"].get(name, 0)) for e in (primary, standby))
            if value < least and name not in told:
                told.add(name)
                expected = f"{name} of the standby of {standby['db']} is at least {least}"
                findings.append(
                    Finding("T3", Verdict.FAIL, expected, f"it is {value}", (standby, primary))
                )
    return findings


def _ttl(history: History) -> list[Finding]:
    ttl, told, findings = history.topology.ttl, set(), []
    for event in history.of_kind("dns"):
        given = event.get("ttl")
        if event.get("source") != "authority" or given is None or event["fqdn"] in told:
            continue
        if given != ttl and not troubled(history, event.t, "dns"):
            told.add(event["fqdn"])
            expected = f"the TTL of {event['fqdn']} is {ttl} s"
            findings.append(Finding("T3", Verdict.FAIL, expected, f"it is {given} s", (event,)))
    return findings


def resources_bounded(history: History) -> list[Finding] | NotExercised:
    """L6. A database's WAL, its disk and the longest wait in it stay within bounds.

    Premise: samples of resources, while no fault touches either database. Rule: in no two samples
    in a row does pg_wal exceed 64 MB, does the disk have less than 32 MB left, or has a session
    waited (for a lock, for the standby) for more than three client deadlines. Slack: the second
    sample, about a second later.
    """
    samples: dict[str, list[Event]] = {}
    for event in history.of_kind("res"):
        samples.setdefault(event["db"], []).append(event)
    if not samples:
        return NotExercised("no samples of resources")
    findings = []
    for region, found in samples.items():
        for name, (bound, sign, what) in _bounds(history).items():
            over = [
                (one, two)
                for one, two in pairwise(found)
                if all(_beyond(e.get(name), bound, sign) for e in (one, two))
                and not troubled(history, two.t, *_databases(history))
            ]
            if over:
                worst = max((e for pair in over for e in pair), key=lambda e: sign * e[name])
                limit, side = ("at most", "above") if sign > 0 else ("at least", "below")
                expected = f"{what.format(region)}: {limit} {bound:g}"
                seen = f"{worst[name]:g}, {side} it in {len(over) + 1} samples"
                proof = (*over[0], worst)
                findings.append(Finding("L6", Verdict.FAIL, expected, seen, proof))
    return findings


def _databases(history: History) -> list[str]:
    return [history.topology.dbms(region).id for region in history.topology.regions]


def _bounds(history: History) -> Mapping[str, tuple[float, int, str]]:
    return {
        "pg_wal_mb": (PG_WAL_MB, 1, "MB of WAL on the disk of {}'s database"),
        "free_mb": (FREE_MB, -1, "MB free on the disk of {}'s database"),
        "max_wait_s": (
            WAIT_DEADLINES * history.profile.op_deadline,
            1,
            "seconds that a session waits in {}'s database",
        ),
    }


def _beyond(value: float | None, bound: float, sign: int) -> bool:
    return value is not None and sign * (value - bound) > 0
