"""Operations on what surrounds the programs: lines between regions, disks, the databases' clocks.

Part of the one vocabulary; see :mod:`drharness.deployment.operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from drharness.deployment.cuts import Cuts
from drharness.engines.client import result
from drharness.engines.protocol import POWER_OF, Cut, Machines, Shape
from drharness.errors import Unsupported, UsageError
from drharness.history.recorder import Recorder
from drharness.topology import Topology

_LIMITS: Mapping[str, Callable[..., Cut | Shape]] = {
    kind.__name__: kind for kind in (*get_args(Cut), *get_args(Shape))
}
_MEASURE = "drharness.engines.agent.measure"


class Conditions:
    """What :class:`~drharness.deployment.operations.Operations` can do to the surroundings.

    :ivar former: the region before the present one, of ``database`` and ``framework``, if any
    """

    topology: Topology
    active: str
    framework: str
    former: dict[str, str]
    recorder: Recorder
    unmanaged: set[str]
    states: dict[str, list[tuple[int, str]]]
    _machines: Machines
    _cuts: Cuts
    _shapes: list[Shape]

    def carried(self) -> dict[str, Any]:
        """What another controller must know to go on, as plain values."""
        limits = [*self._cuts.present, *self._shapes]
        return {
            "active": self.active,
            "framework": self.framework,
            "former": self.former,
            "unmanaged": sorted(self.unmanaged),
            "states": self.states,
            "limits": [[type(one).__name__, asdict(one)] for one in limits],
        }

    def carry_on(self, carried: Mapping[str, Any]) -> None:
        """Go on where another controller has stopped; ``carried`` is what it said."""
        self.active, self.framework = carried["active"], carried["framework"]
        self.former = dict(carried["former"])
        self.unmanaged = set(carried["unmanaged"])
        self.states = {vm: [(t, s) for t, s in seen] for vm, seen in carried["states"].items()}
        limits = [_LIMITS[kind](**fields) for kind, fields in carried["limits"]]
        self._cuts.take_over([one for one in limits if isinstance(one, Cut)])
        self._shapes = [one for one in limits if isinstance(one, Shape)]

    def moved(self, *, database: str = "", framework: str = "") -> None:
        """Note which region has the active database, or Framework, from now on."""
        if database not in ("", self.active):
            self.former["database"], self.active = self.active, database
        if framework not in ("", self.framework):
            self.former["framework"], self.framework = self.framework, framework

    def is_frozen(self, vm: str) -> bool:
        """Whether a VM's processes were stopped: asking it is waiting for nothing."""
        return self.states.get(vm, [(0, "")])[-1][1] == "frozen"

    def require_power(self, name: str) -> str:
        """Nothing to say if the host has a power that not every deployment needs.

        :return: what the engine says of it
        :raises Unsupported: with the reason and the way out
        """
        step = self._machines.power(name)
        if not step.ok:
            reason, _, way_out = step.detail.partition(" -- way out: ")
            raise Unsupported(name, reason, way_out or "see `drharness doctor`")
        return step.detail

    def shape(self, *shapes: Shape) -> None:
        """Make lines between regions slower, lossy or narrow; one way each.

        :raises Unsupported: the host cannot; nothing was done
        :raises UsageError: one of that kind is in force there already; nothing was done
        """
        for shape in shapes:
            self.require_power(POWER_OF[type(shape)])
            for present in self._shapes:
                if _place(present) == _place(shape):
                    raise UsageError(f"{present} is in force already: heal it before {shape}.")
        for shape in shapes:
            self._machines.shape(shape)
            self._shapes.append(shape)
            self.recorder.record("note", text=f"shaped: {shape}")

    def unshape(self, *shapes: Shape) -> None:
        """Undo these shapes and only these; those not in force are none."""
        for shape in shapes:
            if shape in self._shapes:
                self._machines.unshape(shape)
                self._shapes.remove(shape)
                self.recorder.record("note", text=f"no longer shaped: {shape}")

    def is_shaped(self, one: str, other: str) -> bool:
        """Whether a shape is in force between two regions, in any direction."""
        return any({s.source, s.target} == {one, other} for s in self._shapes)

    def measure(self, vm: str, what: str, *, timeout: float = 10.0, **arguments: Any) -> Any:
        """Measure from inside a VM: a function of :mod:`drharness.engines.agent.measure`."""
        machine = self._machines.machine(vm)
        return machine.call(f"{_MEASURE}:{what}", arguments, timeout=timeout)

    def limit_disk(self, vm: str, free: int | None) -> None:
        """Leave a VM's disk that many free bytes; None: all of its size again."""
        self._machines.limit_disk(vm, free)
        left = "all its room" if free is None else f"{free} bytes free"
        self.recorder.record("note", text=f"the disk of {vm} has {left}")

    def start_service(
        self, vm: str, name: str, program: Sequence[str], *, user: str, env: Mapping[str, str]
    ) -> int:
        """Start a program that stays, under the name it has in the VM's boot list; its pid."""
        fields = {"name": name, "program": list(program), "user": user, "env": dict(env)}
        future = self._machines.machine(vm).submit("start", timeout=5.0, **fields)
        pid: int = result(future, f"{vm}: start {name}", 5.0)
        return pid


def _place(shape: Shape) -> tuple[type, str, str]:
    return type(shape), shape.source, shape.target
