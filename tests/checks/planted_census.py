"""Planted histories of what censuses saw: name to (invariant, bad, how it is made)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.checks.looked import DATABASE, address, audit, edge, look_up, probe, replica, resources
from tests.checks.planted_epochs import Made, told
from tests.checks.story import BACKUP, OLD, Plot, Story, ns

ASYNC = Plot(replication="async")


def _closed_since_its_boot(story: Story) -> None:
    """Rebooted after it was opened: nobody has opened it again, and so nobody expects it open."""
    story.add(4.66, "vm", id="region2-dbms", state="off", cause="test")
    story.add(4.67, "vm", id="region2-dbms", state="on", cause="test")
    probe(story, 4.68, "region2-framework-b", "region2", res="refused", phase="reboot")
    for event in (e for e in story.events if e["kind"] == "reach" and e["t"] >= ns(4.69)):
        event["res"] = "refused"


def _edge(t: float, source: str, dst: str, by: str) -> Callable[[Story], None]:
    phase = "start" if t < 1 else "end"
    return lambda story: edge(story, t, source, dst, by=by, phase=phase)


def _unconnected(*, limited: bool, looked: bool = True) -> Callable[[Story], None]:
    """The backup proxy of region 2 has no connection at the start, and says so or does not.

    :param looked: whether its VM answered when it was asked
    """

    def change(story: Story) -> None:
        gone = ("region2-application-b", "start")
        story.events[:] = [
            e for e in story.events if e["kind"] != "edge" or (e["src"], e["phase"]) != gone
        ]
        if looked:
            at = address("region1", "framework")
            look_up(story, 0.06, "region2-application-b", at, source="cache", phase="start")
        if limited:
            story.comp(0.07, BACKUP, "backup", mode="limited", epoch=OLD)

    return change


def _reconnecting(*, limited: bool) -> Callable[[Story], None]:
    """As above; the look took 50 ms, and the proxy may have connected towards its end."""

    def change(story: Story) -> None:
        _unconnected(limited=False)(story)
        for event in story.events:
            if event.get("phase") == "start":
                event["since"] = ns(0.01)
        if limited:
            story.comp(0.03, BACKUP, "backup", mode="limited", epoch=OLD)
        story.comp(0.05, BACKUP, "backup", mode="normal", epoch=OLD)

    return change


def _cached(t: float, phase: str) -> Callable[[Story], None]:
    """A cache still leads to region 1."""
    old = address("region1", "framework")
    return lambda s: look_up(s, t, "region2-application-b", old, source="cache", phase=phase)


def _role(story: Story) -> None:
    roles = [["configserver", "", "synchronous_commit=local"]]
    audit(story, 0.07, "region1", phase="start", standby=False, roles=roles)


def _small_standby(story: Story) -> None:
    audit(story, 0.07, "region2", phase="start", standby=True, max_connections="20")


def _pinned(story: Story, *, times: int) -> None:
    for n in range(times):
        resources(story, 0.6 + n / 10, "region1", pg_wal_mb=65.0)


STORIES: Mapping[str, tuple[str, bool, Made]] = {
    "bad_s5_standby_open": (
        "S5",
        True,
        told(lambda s: probe(s, 0.07, "region1-framework-b", "region2", res="ok", phase="start")),
    ),
    "bad_s5_session_on_the_standby": (
        "S5",
        True,
        told(lambda s: s.db(0.9, "region2", writable=False, sessions=1)),
    ),
    "near_s5_closed_since_its_boot": ("S5", False, told(_closed_since_its_boot)),
    "near_s5_probed_while_it_is_opened": (
        "S5",
        False,
        told(
            lambda s: probe(s, 2.45, "region2-framework-p", "region2", res="ok", phase="procedure")
        ),
    ),
    "bad_s5_open_before_the_promotion": (
        "S5",
        True,
        told(
            lambda s: probe(s, 2.35, "region2-framework-p", "region2", res="ok", phase="procedure")
        ),
    ),
    "bad_s6_never_readable": (
        "S6",
        True,
        told(lambda s: replica(s, 1.4, waited_s=None, standby={"seq": 20, "sha": "bb"})),
    ),
    "bad_s6_other_contents": (
        "S6",
        True,
        told(lambda s: replica(s, 1.4, waited_s=0.0, standby={"sha": "bb"})),
    ),
    "near_s6_readable_in_time_and_further": (
        "S6",
        False,
        told(lambda s: replica(s, 1.4, waited_s=1.0, standby={"seq": 27, "sha": "bb"})),
    ),
    "bad_l6_slot_pins_wal": ("L6", True, told(lambda s: _pinned(s, times=2))),
    "near_l6_one_burst": ("L6", False, told(lambda s: _pinned(s, times=1))),
    "bad_t1_server_on_the_standby": (
        "T1",
        True,
        told(_edge(0.07, "region1-framework-b", DATABASE["region2"], "python3")),
    ),
    "bad_t1_unknown_standby": (
        "T1",
        True,
        told(_edge(0.07, "10.82.3.99", DATABASE["region1"], "postgres: walsender")),
    ),
    "bad_t1_application_far_away": (
        "T1",
        True,
        told(_edge(0.07, "region2-application-b", "10.81.2.11:2030", "application")),
    ),
    "bad_t1_connection_missing": ("T1", True, told(_unconnected(limited=False))),
    "bad_t1_connection_missing_amid_a_look": ("T1", True, told(_reconnecting(limited=False))),
    "near_t1_connected_amid_a_look": ("T1", False, told(_reconnecting(limited=True))),
    "near_t1_no_answer_of_its_vm": (
        "T1",
        False,
        told(_unconnected(limited=False, looked=False)),
    ),
    "near_t1_limited_proxy_unconnected": ("T1", False, told(_unconnected(limited=True))),
    "bad_t2_hosts_line_missing": (
        "T2",
        True,
        told(lambda s: look_up(s, 0.07, "region1-framework-b", "", source="hosts", phase="start")),
    ),
    "bad_t2_cache_stale": ("T2", True, told(_cached(4.75, "end"))),
    "near_t2_cache_within_ttl": ("T2", False, told(_cached(4.6, "end"))),
    "bad_t3_commit_is_local": ("T3", True, told(_role)),
    "near_t3_local_is_enough_for_async": ("T3", False, told(_role, ASYNC)),
    "bad_t3_standby_smaller": ("T3", True, told(_small_standby)),
    "bad_t3_ttl": (
        "T3",
        True,
        told(
            lambda s: look_up(
                s,
                0.07,
                "dns",
                address("region1", "framework"),
                source="authority",
                phase="start",
                ttl=300,
            )
        ),
    ),
}
