"""What the VMs of a living deployment have recorded so far."""

from __future__ import annotations

from pathlib import Path

from drharness.engines.protocol import Machines
from drharness.history import store
from drharness.history.event import Data
from drharness.topology import Topology


class Written:
    """Reads the files that components write on their VMs, as far as they have come."""

    def __init__(self, topology: Topology, machines: Machines, evidence: Path) -> None:
        self._topology, self._machines, self._evidence = topology, machines, evidence

    def collect(self) -> None:
        """What the VMs have written until now is in the evidence when this returns."""
        self._machines.collect()

    def events_of(self, component: str) -> list[Data]:
        """What a component has recorded so far."""
        it = self._topology.component(component)
        return self._read(it.vm, it.kind)

    def samples(self, region: str) -> list[Data]:
        """What a region's database has said of itself so far, one ``db`` event per sampling."""
        events = self._read(self._topology.dbms(region).id, "observer")
        return [e for e in events if e["kind"] == "db"]

    def _read(self, vm: str, name: str) -> list[Data]:
        self.collect()
        path = self._evidence / "vms" / vm / "events" / f"{name}.jsonl"
        return store.read(path, may_be_torn=True) if path.exists() else []
