"""What exists: regions, VMs, components, addresses and timing, as frozen values. Pure."""

from drharness.topology.model import Component, Topology, Vm
from drharness.topology.profile import Profile

__all__ = ["Component", "Profile", "Topology", "Vm"]
