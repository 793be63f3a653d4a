"""What is broken on purpose: one file per family, one frozen class per fault.

A fault is proven: it is probed before and after, and without a visible effect it raises instead of
letting a run pass that tested nothing. Its guard heals exactly what it broke.
"""

from collections.abc import Mapping

from drharness.faults.clock import ClockSkew
from drharness.faults.controller import ControllerKilled
from drharness.faults.database import LongReader, SlotLost, StandbyLagging, StrayWalReceiver
from drharness.faults.disk import DiskFull
from drharness.faults.model import Fault, Guard, Receipt
from drharness.faults.names import DnsAnswers, DnsDown, ResolverPolicy
from drharness.faults.network import LinkCut, ManagementCut, RegionsCut, StandbyCut
from drharness.faults.process import ComponentFrozen, ComponentKilled
from drharness.faults.rules import (
    FirewallLeftBehind,
    FirewallLostAtReboot,
    FirewallMissing,
    FirewallWrongOrder,
    FirewallWrongSource,
)
from drharness.faults.shape import Delay, Loss, Rate
from drharness.faults.vm import RegionDown, VmDown, VmFrozen, VmRebooted

BY_NAME: Mapping[str, type[Fault]] = {
    "clock-skew": ClockSkew,
    "component-frozen": ComponentFrozen,
    "component-killed": ComponentKilled,
    "controller-killed": ControllerKilled,
    "delay": Delay,
    "disk-full": DiskFull,
    "dns-answers": DnsAnswers,
    "dns-down": DnsDown,
    "firewall-left-behind": FirewallLeftBehind,
    "firewall-lost-at-reboot": FirewallLostAtReboot,
    "firewall-missing": FirewallMissing,
    "firewall-wrong-order": FirewallWrongOrder,
    "firewall-wrong-source": FirewallWrongSource,
    "link-cut": LinkCut,
    "long-reader": LongReader,
    "loss": Loss,
    "management-cut": ManagementCut,
    "rate": Rate,
    "region-down": RegionDown,
    "regions-cut": RegionsCut,
    "resolver-policy": ResolverPolicy,
    "slot-lost": SlotLost,
    "standby-cut": StandbyCut,
    "standby-lagging": StandbyLagging,
    "stray-wal-receiver": StrayWalReceiver,
    "vm-down": VmDown,
    "vm-frozen": VmFrozen,
    "vm-rebooted": VmRebooted,
}

__all__ = [
    "BY_NAME",
    "ClockSkew",
    "ComponentFrozen",
    "ComponentKilled",
    "ControllerKilled",
    "Delay",
    "DiskFull",
    "DnsAnswers",
    "DnsDown",
    "FirewallLeftBehind",
    "FirewallLostAtReboot",
    "FirewallMissing",
    "FirewallWrongOrder",
    "FirewallWrongSource",
    "Guard",
    "LinkCut",
    "LongReader",
    "Loss",
    "ManagementCut",
    "Rate",
    "Receipt",
    "RegionDown",
    "RegionsCut",
    "ResolverPolicy",
    "SlotLost",
    "StandbyCut",
    "StandbyLagging",
    "StrayWalReceiver",
    "VmDown",
    "VmFrozen",
    "VmRebooted",
]
