"""Faults as values; what they do is tested on deployments."""

from __future__ import annotations

import pytest

from drharness import faults
from drharness.faults import (
    ClockSkew,
    ComponentFrozen,
    ComponentKilled,
    ControllerKilled,
    Delay,
    DiskFull,
    DnsAnswers,
    DnsDown,
    FirewallLeftBehind,
    FirewallLostAtReboot,
    FirewallMissing,
    FirewallWrongOrder,
    FirewallWrongSource,
    LinkCut,
    LongReader,
    Loss,
    ManagementCut,
    Rate,
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

VALUES = [
    RegionDown("region1"),
    RegionsCut(),
    RegionsCut("region2", "region1", both_ways=False),
    VmDown("active.dbms"),
    VmRebooted("region1-framework-p"),
    VmFrozen("dormant.application"),
    ComponentKilled("active.framework-p.configserver", signal=15),
    ComponentFrozen("proxies.backup"),
    LinkCut("active.framework", "region2", 5432, how="reject", both_ways=True),
    StandbyCut(how="reset"),
    ManagementCut("region1"),
    DnsDown(),
    DnsDown(how="process"),
    DnsAnswers(how="slow", seconds=1.5),
    ResolverPolicy("proxies.primary", how="serve-stale", seconds=9.0),
    FirewallLeftBehind(),
    FirewallLostAtReboot(),
    FirewallMissing("dormant"),
    FirewallWrongOrder(),
    FirewallWrongSource("region2", how="host"),
    LongReader(),
    SlotLost(),
    StandbyLagging("replay", seconds=1.5),
    StrayWalReceiver(),
    Delay(seconds=0.1),
    Loss(share=0.5),
    Rate(bits_per_s=1e6, both_ways=False),
    DiskFull("active.dbms"),
    ClockSkew(seconds=-60),
    ControllerKilled(within="promote", call=2, sent=False),
]


@pytest.mark.parametrize("fault", VALUES, ids=repr)
def test_a_fault_prints_as_code(fault: Fault) -> None:
    names = {type(fault).__name__: type(fault)}
    assert eval(repr(fault), names) == fault


def test_every_fault_has_a_name_on_the_command_line_and_in_histories() -> None:
    assert {name.replace("-", "_") for name in faults.BY_NAME} == {f.f for f in VALUES}
