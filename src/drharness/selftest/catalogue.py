"""The planted mistakes by family, and the right runs beside them."""

from __future__ import annotations

from functools import partial

from drharness.faults import RegionDown, StandbyCut, StrayWalReceiver, VmRebooted
from drharness.procedures import full_failover
from drharness.selftest.mistake import Mistake
from drharness.selftest.plays import (
    CUT,
    DOWN,
    FAILOVER,
    calm,
    command,
    drill,
    in_turn,
    plug,
    region_returns,
    sql,
    unplug,
    use,
)
from drharness.topology import Topology, addresses

_COMPONENTS = "drharness.selftest.components"
_SYNC = Topology.guide()
_FORCED = full_failover(to="region2", force=True)
_DBMS2 = "region2-dbms"
_ASYNC = Topology.guide(replication="async")
_P, _B = "cfgmaster-p.dr.internal", "cfgmaster-b.dr.internal"
_OLD = addresses.address(1, "framework", "p")
_TO_DATABASE = ("-p", "tcp", "--dport", str(addresses.POSTGRES_PORT))
_GUIDES, _OTHERS = (
    (*_TO_DATABASE, "--src", addresses.subnet(2, role), "-j", "REJECT")
    for role in ("framework", "services")
)
_iptables = partial(command, _DBMS2, "iptables")


def _replaced(kind: str, name: str, topology: Topology = _SYNC) -> Topology:
    return topology.replace(kind, f"{_COMPONENTS}:{name}")


_PROCEDURE = (
    Mistake(
        "no-fence",
        "procedure",
        "the old database is not fenced before the new one is promoted",
        ("S1", "S3"),
        drill(CUT, procedure=FAILOVER.without("fence")),
    ),
    Mistake(
        "promote-before-fence",
        "procedure",
        "the new database is promoted, then the old one fenced",
        ("P1", "S1"),
        drill(CUT, procedure=FAILOVER.swapped("fence", "promote")),
    ),
    Mistake(
        "no-promote",
        "procedure",
        "the replica is never promoted",
        ("L1", "P1"),
        drill(DOWN, procedure=FAILOVER.without("promote")),
    ),
    Mistake(
        "no-unblock",
        "procedure",
        "the guide's rule stays on the new active database",
        ("L1",),
        drill(DOWN, procedure=FAILOVER.without("unblock")),
    ),
    Mistake(
        "no-framework",
        "procedure",
        "the Framework of the surviving region is not started",
        ("L1",),
        drill(DOWN, procedure=FAILOVER.without("start-framework")),
    ),
    Mistake(
        "no-names",
        "procedure",
        "the names stay with the failed region",
        ("L1", "T2"),
        drill(DOWN, procedure=FAILOVER.without("switch-names")),
    ),
    Mistake(
        "early-names",
        "procedure",
        "the names are switched before a master is ready behind them",
        ("P1",),
        drill(DOWN, procedure=FAILOVER.swapped("start-framework", "switch-names")),
    ),
    Mistake(
        "no-flush",
        "procedure",
        "the caches of the proxies' hosts are not cleared, and the TTL is long",
        ("P1",),
        drill(DOWN, procedure=FAILOVER.without("flush")),
        Topology.guide(ttl=5),
    ),
    Mistake(
        "no-preflight",
        "procedure",
        "nobody looks how far the replica is before it is promoted",
        ("P1", "D5"),
        drill(DOWN, procedure=FAILOVER.without("preflight")),
    ),
)
_TOPOLOGY = (
    Mistake(
        "return-unfenced",
        "topology",
        "the failed region comes back by itself, and nothing denies it its database",
        ("S1", "S3", "S5"),
        drill(DOWN, after=region_returns("region1")),
        Topology.guide(return_fence="none"),
    ),
    Mistake(
        "long-ttl",
        "topology",
        "the zone's records have another TTL than was agreed",
        ("T2", "T3"),
        calm(lambda d: d.dns.set({_P: [_OLD]}, ttl=300)),
    ),
)
_COMPONENT = (
    Mistake(
        "queueing-proxy",
        "component",
        "a proxy keeps the writes it refuses and sends them later",
        ("S9",),
        drill(DOWN, after=use(20)),
        _replaced("csproxy", "queueing"),
    ),
    Mistake(
        "eager-proxy",
        "component",
        "a proxy acknowledges a write before the master has committed it",
        ("S8",),
        calm(use(10)),
        _replaced("csproxy", "eager"),
    ),
    Mistake(
        "mute-proxy",
        "component",
        "a proxy refuses reads as well in limited mode",
        ("L2",),
        drill(DOWN),
        _replaced("csproxy", "mute"),
    ),
    Mistake(
        "late-proxy",
        "component",
        "a proxy says it has a change before it shows it",
        ("S10",),
        calm(use(40)),
        _replaced("csproxy", "late"),
    ),
    Mistake(
        "wavering-proxy",
        "component",
        "a proxy answers from two copies of its data",
        ("S11",),
        calm(use(40)),
        _replaced("csproxy", "wavering"),
    ),
    Mistake(
        "stubborn-proxy",
        "component",
        "a proxy looks its master's names up once and for ever",
        ("L1", "L3"),
        drill(DOWN),
        _replaced("csproxy", "stubborn"),
    ),
    Mistake(
        "merging-proxy",
        "component",
        "a proxy keeps after a failover what the new database has never had",
        ("S7", "S13"),
        drill(unplug(_DBMS2), use(20), DOWN, plug(_DBMS2), procedure=_FORCED, after=use(40)),
        _replaced("csproxy", "merging", _ASYNC),
    ),
    Mistake(
        "straying-application",
        "component",
        "an application works through the other region's proxies",
        ("T1",),
        calm(use(10)),
        _replaced("region1-application-b.application", "straying"),
    ),
)
_DATABASE = (
    Mistake(
        "promoted-beside",
        "database",
        "the replica is promoted by hand while the master goes on with the old one",
        ("S2",),
        calm(
            in_turn(
                lambda d: d.operations.database(
                    "region2", "promotion:promote", token="by-hand", plan=1
                ),
                use(60),
            )
        ),
        _ASYNC,
    ),
    Mistake(
        "local-commit",
        "database",
        "the Configuration Server's role commits without waiting for the standby",
        ("T3",),
        calm(sql("region1", "ALTER ROLE configserver SET synchronous_commit = local")),
    ),
    Mistake(
        "no-sync-names",
        "database",
        "no standby is named synchronous",
        ("T3",),
        calm(
            sql(
                "region1",
                "ALTER SYSTEM SET synchronous_standby_names = ''",
                "SELECT pg_reload_conf()",
            )
        ),
    ),
    Mistake(
        "unlogged-table",
        "database",
        "a table of the configuration is not logged, so a standby never has it",
        ("T3",),
        calm(sql("region1", "ALTER TABLE cfg_object SET UNLOGGED")),
    ),
    Mistake(
        "stray-receiver",
        "database",
        "a stranger with the standby's name acknowledges what the standby has not",
        ("D1",),
        drill(
            StrayWalReceiver(),
            StandbyCut(),
            use(20),
            RegionDown("region1"),
            procedure=_FORCED,
        ),
    ),
    Mistake(
        "lag-forced",
        "database",
        "a replica far behind is promoted by force",
        ("D2", "D5"),
        drill(unplug(_DBMS2), use(100), DOWN, plug(_DBMS2), procedure=_FORCED),
        _ASYNC,
    ),
    Mistake(
        "ids-again",
        "database",
        "the counter of object ids was set back",
        ("S12",),
        calm(
            in_turn(
                use(20),
                sql(
                    "region1",
                    "WITH moved AS (UPDATE cfg_object SET dbid = dbid + 1000) "
                    "UPDATE cfg_max_dbid SET value = 100",
                ),
            )
        ),
    ),
)
_DNS = (
    Mistake(
        "half-switched",
        "dns",
        "only one of the two names was switched",
        ("T2",),
        drill(DOWN, after=lambda d: d.dns.set({_B: [addresses.address(1, "framework", "b")]})),
    ),
    Mistake(
        "hosts-line",
        "dns",
        "a forgotten line in an Application VM's hosts file hides the change of names",
        ("L3", "T2"),
        drill(
            command("region2-application-p", "sh", "-c", f"echo '{_OLD} {_P}' >>/etc/hosts"),
            DOWN,
        ),
    ),
    Mistake(
        "swapped-names",
        "dns",
        "the names lead to each other's servers",
        ("T2",),
        calm(lambda d: d.dns.set({_P: [addresses.address(1, "framework", "b")], _B: [_OLD]})),
    ),
)
_FIREWALL = (
    Mistake(
        "rule-missing",
        "firewall",
        "the dormant database is not blocked for the dormant Framework",
        ("S5",),
        calm(_iptables("-D", "INPUT", *_GUIDES)),
    ),
    Mistake(
        "rule-after-accept",
        "firewall",
        "a wider ACCEPT stands before the guide's rule",
        ("S5",),
        calm(_iptables("-I", "INPUT", "1", *_TO_DATABASE, "-j", "ACCEPT")),
    ),
    Mistake(
        "rule-for-others",
        "firewall",
        "the rule names another subnet than the Framework's",
        ("S5",),
        calm(
            in_turn(
                _iptables("-A", "INPUT", *_OTHERS),
                _iptables("-D", "INPUT", *_GUIDES),
            )
        ),
    ),
    Mistake(
        "rules-not-saved",
        "firewall",
        "the rules were not saved, and the dormant database's VM reboots",
        ("S5",),
        calm(
            in_turn(
                command("region2-dbms", "sh", "-c", ": >/etc/iptables/rules.v4"),
                lambda d: d.inject(VmRebooted("region2-dbms")).heal(),
            )
        ),
    ),
    Mistake(
        "rule-twice",
        "firewall",
        "the rule was added twice, so deleting it once leaves one",
        ("L1", "S5"),
        drill(
            _iptables("-A", "INPUT", *_GUIDES),
            DOWN,
            procedure=FAILOVER.without("unblock"),
        ),
    ),
)

MISTAKES = (*_PROCEDURE, *_TOPOLOGY, *_COMPONENT, *_DATABASE, *_DNS, *_FIREWALL)
CORRECT = (
    Mistake("calm", "correct", "traffic and nothing else", (), calm(use(10))),
    Mistake("region-down", "correct", "region 1 dies, full failover", (), drill(DOWN)),
    Mistake("regions-cut", "correct", "the regions are cut, full failover", (), drill(CUT)),
    Mistake("async", "correct", "the same, asynchronous", (), drill(DOWN), _ASYNC),
    Mistake(
        "return",
        "correct",
        "region 1 returns by itself after the failover",
        (),
        drill(DOWN, after=region_returns("region1")),
    ),
    Mistake(
        "again",
        "correct",
        "the controller dies on the way, and the failover is run again",
        (),
        drill(
            DOWN, procedure=FAILOVER.interrupted(after="promote"), after=lambda d: d.run(FAILOVER)
        ),
    ),
)
