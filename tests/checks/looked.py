"""What censuses see in the drill that goes well, as events for a story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drharness.topology import Topology, addresses

if TYPE_CHECKING:
    from tests.checks.story import Story

TOPOLOGY = Topology.guide()
DATABASE = {r: f"{TOPOLOGY.dbms(r).address}:5432" for r in TOPOLOGY.regions}
MASTER_NAME = addresses.FRAMEWORK_NAMES[0]
SETTINGS = {
    "max_connections": "40",
    "max_worker_processes": "2",
    "max_wal_senders": "6",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64",
    "fsync": "on",
    "full_page_writes": "on",
    "wal_log_hints": "on",
    "data_checksums": "on",
    "synchronous_commit": "on",
}
DIGEST = {"epoch": "e1e1", "seq": 26, "sha": "aa"}


def census(story: Story, t: float, phase: str, *, active: str, up: tuple[str, ...]) -> None:
    """Everything as it should be.

    :param active: region whose database and Framework are active
    :param up: regions that have power
    """
    for region in TOPOLOGY.regions:
        source = f"{region}-framework-p"
        for target in up:
            wanted = region == target == active
            probe(story, t, source, target, res="ok" if wanted else "refused", phase=phase)
    _connections(story, t, phase, active, up)
    _names(story, t, phase, active, up)
    for region in up:
        audit(story, t, region, phase=phase, standby=region != active)


def _connections(story: Story, t: float, phase: str, active: str, up: tuple[str, ...]) -> None:
    for region in up:
        proxy = f"{address(region, 'application')}:2030"
        edge(story, t, f"{region}-application-p", proxy, by="application", phase=phase)
        for side in ("p", "b"):
            master = f"{address(active, 'framework')}:2020"
            edge(story, t, f"{region}-application-{side}", master, by="csproxy", phase=phase)
        if region == active:
            server, database = f"{region}-framework-p", DATABASE[region]
            edge(story, t, server, database, by="configserver", phase=phase)
        else:
            by = "postgres: walreceiver streaming"
            edge(story, t, f"{region}-dbms", DATABASE[active], by=by, phase=phase)


def _names(story: Story, t: float, phase: str, active: str, up: tuple[str, ...]) -> None:
    at = address(active, "framework")
    look_up(story, t, "dns", at, source="authority", phase=phase)
    for region in up:
        own = address(region, "framework")
        look_up(story, t, f"{region}-application-p", at, source="cache", phase=phase)
        if region == active:
            look_up(story, t, f"{region}-framework-p", own, source="hosts", phase=phase)


def address(region: str, role: str) -> str:
    """The address of a region's primary VM of a role."""
    return TOPOLOGY.vms_of(region, role)[0].address


def probe(story: Story, t: float, source: str, target: str, *, res: str, phase: str) -> None:
    """A connection tried from a VM to a region's database."""
    dst = DATABASE[target]
    story.add(t, "reach", src=source, dst=dst, conn="new", res=res, phase=phase)


def edge(story: Story, t: float, source: str, dst: str, *, by: str, phase: str) -> None:
    """A connection that stood."""
    story.add(t, "edge", src=source, dst=dst, by=by, phase=phase)


def look_up(
    story: Story, t: float, host: str, at: str, *, source: str, phase: str, ttl: int = 1
) -> None:
    """The master's name, looked up on a host; no address: an empty answer."""
    fields: dict[str, Any] = {"ans": [at] if at else [], "source": source, "phase": phase}
    left = None if source == "hosts" else ttl
    story.add(t, "dns", host=host, fqdn=MASTER_NAME, ttl=left, **fields)


def audit(
    story: Story, t: float, region: str, *, phase: str, standby: bool, **changed: Any
) -> None:
    """A database's settings, but for those changed; ``roles`` and ``unlogged`` may be given."""
    kept = {name: changed.pop(name, []) for name in ("roles", "unlogged")}
    names = f'FIRST 1 ("{TOPOLOGY.other(region)}")' if region == "region1" else ""
    sync = (
        {}
        if story.events[0]["topology"]["replication"] == "async"
        else {"synchronous_standby_names": names}
    )
    settings = {**SETTINGS, **sync, **changed}
    fields: dict[str, Any] = {"in_recovery": standby, "settings": settings, **kept}
    story.add(t, "audit", db=region, phase=phase, **fields)


def replica(
    story: Story, t: float, *, waited_s: float | None, standby: dict[str, Any], **since: int
) -> None:
    """A canary of region 1 looked for in region 2, and the contents of both."""
    claims = {"claimed": True, "readable": waited_s is not None, "waited_s": waited_s}
    digests: dict[str, Any] = {"active": DIGEST, "standby": {**DIGEST, **standby}}
    story.add(t, "replica", db="region2", of="region1", phase="end", **claims, **digests, **since)


def resources(story: Story, t: float, region: str, **changed: float) -> None:
    """What a database uses."""
    used = {"pg_wal_mb": 9.0, "free_mb": 1900.0, "max_wait_s": 0.0, **changed}
    story.add(t, "res", db=region, **used)
