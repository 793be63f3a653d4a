"""What of a deployment's network is cut now: made, undone, made again when a VM boots; recorded."""

from __future__ import annotations

from collections.abc import Sequence

from drharness.engines.protocol import Cut, Machines, PacketCut, RegionCut, VmCut
from drharness.errors import DrHarnessError, UsageError
from drharness.history.recorder import Recorder


class Cuts:
    """The cuts of one deployment; each is in force until it is healed, whatever VMs do."""

    def __init__(self, machines: Machines, recorder: Recorder) -> None:
        self._machines = machines
        self._record = recorder.record
        self._cuts: list[Cut] = []

    @property
    def present(self) -> list[Cut]:
        """Those in force, the first one first."""
        return list(self._cuts)

    def take_over(self, cuts: Sequence[Cut]) -> None:
        """Those that another controller has made."""
        self._cuts = list(cuts)

    def apply(self, *cuts: Cut) -> None:
        """Apply cuts, one way each for a :class:`RegionCut` or a :class:`PacketCut`.

        :raises UsageError: one of them is in force already; nothing was done
        :raises DrHarnessError: one of them could not be made; nothing is cut
        """
        for cut in cuts:
            if cut in self._cuts:
                raise UsageError(f"{cut} is in force already: heal it before it is made again.")
        for done, cut in enumerate(cuts):
            try:
                self._make(cut)
            except DrHarnessError:
                self.heal(*cuts[:done])
                raise
            self._cuts.append(cut)
            self._record("net", type="cut", what=_described(cut))

    def heal(self, *cuts: Cut) -> None:
        """Undo these cuts and only these; one at a VM that is off went with its power."""
        for cut in cuts:
            if self._can_be_made(cut):
                self._machines.heal(cut)
            self._cuts.remove(cut)
            self._record("net", type="heal", what=_described(cut))

    def between(self, one: str, other: str) -> bool:
        """Whether something between two regions is cut as a whole, in any direction."""
        return any(
            isinstance(c, RegionCut) and {c.source, c.target} == {one, other} for c in self._cuts
        )

    def power_on(self, vms: Sequence[str], *, hold: bool) -> None:
        """Power on; no service of a VM starts before the cuts at it are there again."""
        started = [vm for vm in vms if not self._machines.machine(vm).is_on]
        lost = [cut for cut in self._cuts if _place(cut) in started]
        if lost:
            self._machines.power_on(*{_place(cut): None for cut in lost}, hold=True)
            for cut in lost:
                self._machines.cut(cut)
        self._machines.power_on(*vms, hold=hold)

    def _can_be_made(self, cut: Cut) -> bool:
        return not _place(cut) or self._machines.machine(_place(cut)).is_on

    def _make(self, cut: Cut) -> None:
        """Make it now, or when the VM at which it is made is powered on."""
        if self._can_be_made(cut):
            self._machines.cut(cut)


def _place(cut: Cut) -> str:
    """The VM whose power a cut needs; empty if it is made outside of VMs."""
    if isinstance(cut, PacketCut):
        return cut.target
    return cut.vm if isinstance(cut, VmCut) else ""


def _described(cut: Cut) -> dict[str, object]:
    if isinstance(cut, RegionCut):
        return {"source": cut.source, "target": cut.target}
    if isinstance(cut, PacketCut):
        what: dict[str, object] = {"source": cut.source, "target": cut.target, "how": cut.how}
        return what | {"port": cut.port, "answers": cut.answers}
    return {"vm": cut.vm, "direction": cut.direction}
