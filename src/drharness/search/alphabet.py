"""What may break in a hunt, per procedure: the day it is for, and all else, the simplest first.

A correct system must pass under any of it. So left out are: what takes the fence itself away (rules
that are deleted, altered or not saved: whoever goes through such a gap is not the system's fault),
what makes the line between regions narrow or lossy without cutting it (rate, loss: for how long the
other end then has to wait is nobody's promise, and checks excuse only what is cut off), and what
restarts a database twice, with a wrong clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drharness.faults import (
    ComponentFrozen,
    ComponentKilled,
    Delay,
    DiskFull,
    DnsAnswers,
    DnsDown,
    FirewallLeftBehind,
    LinkCut,
    LongReader,
    ManagementCut,
    RegionDown,
    RegionsCut,
    ResolverPolicy,
    SlotLost,
    StandbyCut,
    StandbyLagging,
    StrayWalReceiver,
    VmDown,
    VmFrozen,
    VmRebooted,
)
from drharness.faults.model import Fault

_FRAMEWORK, _DBMS = VmDown("active.framework"), VmDown("active.dbms")

# What a procedure is for, to begin with; and what it has to cope with as well.
DISASTERS: Mapping[str, Sequence[Fault]] = {
    "full-failover": (RegionDown("active"), RegionsCut(), _DBMS, _FRAMEWORK),
    "framework-failover": (_FRAMEWORK, RegionsCut(), RegionDown("active")),
    "dbms-failover": (_DBMS, VmFrozen("active.dbms"), VmRebooted("active.dbms")),
}

_MACHINES: Sequence[Fault] = (
    VmDown("active.framework-p"),
    VmDown("active.framework-b"),
    VmDown("dormant.dbms"),
    VmDown("active.dbms"),
    VmDown("active.application-p"),
    VmDown("dormant.application-p"),
    VmRebooted("active.framework-p"),
    VmRebooted("active.dbms"),
    VmRebooted("dormant.dbms"),
    VmFrozen("active.framework-p"),
    VmFrozen("active.dbms"),
    VmFrozen("dormant.dbms"),
    RegionDown("active"),
    RegionDown("dormant"),
)
_PROCESSES: Sequence[Fault] = (
    ComponentKilled("active.framework-p.configserver"),
    ComponentKilled("active.framework-p.lca"),
    ComponentKilled("dormant.application-p.csproxy"),
    ComponentKilled("proxies.primary"),
    ComponentFrozen("active.framework-p.configserver"),
    ComponentFrozen("dormant.application-p.csproxy"),
)
_NETWORKS: Sequence[Fault] = (
    RegionsCut(),
    RegionsCut(both_ways=False),
    RegionsCut("dormant", "active", both_ways=False),
    StandbyCut(),
    StandbyCut("reset"),
    ManagementCut("active"),
    LinkCut("active.framework-p", "active.dbms"),
    LinkCut("dormant.application", "active.framework", 0, "reset"),
    Delay(),
)
_NAMES: Sequence[Fault] = (
    DnsDown(),
    DnsDown("process"),
    DnsAnswers("servfail"),
    DnsAnswers("stale"),
    ResolverPolicy("dormant.application"),
    ResolverPolicy("dormant.application", "serve-stale"),
)
_DATABASES: Sequence[Fault] = (
    StandbyLagging(),
    StandbyLagging("receive"),
    LongReader(),
    SlotLost(),
    StrayWalReceiver(),
    DiskFull("active.dbms"),
    DiskFull("dormant.dbms"),
    FirewallLeftBehind("dormant"),
)
FAULTS: Sequence[Fault] = (*_MACHINES, *_PROCESSES, *_NETWORKS, *_NAMES, *_DATABASES)

# What somebody who starts would need and must do without; and what makes somebody start.
OUTAGES: Sequence[Fault] = (
    DnsDown(),
    DnsDown("process"),
    DnsAnswers("servfail"),
    DnsAnswers("stale"),
    RegionDown("active"),
    RegionsCut(),
    VmDown("active.framework-p"),
    VmDown("active.dbms"),
    VmFrozen("active.framework-p"),
    VmFrozen("active.dbms"),
    LinkCut("active.framework-p", "active.dbms"),
    LinkCut("dormant.application", "active.framework", 0, "reset"),
)
STARTS: Sequence[Fault] = (
    ComponentKilled("dormant.application-p.csproxy"),
    ComponentKilled("proxies.primary"),
    ComponentKilled("active.framework-p.configserver"),
    ComponentKilled("active.framework-p.lca"),
    VmRebooted("active.framework-p"),
    VmRebooted("active.dbms"),
    VmRebooted("dormant.dbms"),
)
