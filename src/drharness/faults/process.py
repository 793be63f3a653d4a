"""Faults of single components: killed, or stopped where they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from signal import SIGCONT, SIGSTOP

from drharness.deployment.operations import NOT_YET, Operations
from drharness.engines.agent.processes import STOPPED
from drharness.errors import UsageError
from drharness.faults.model import Breakage, Fault, changed
from drharness.faults.probes import ask, pid_of, running, until_changed
from drharness.kernel import clock
from drharness.kernel.waiting import wait_until

DEADLY = (1, 2, 3, 6, 9, 11, 15)
_BACK_S = 20.0
_CLIENT = "drharness.components.client"


@dataclass(frozen=True)
class ComponentKilled(Fault):
    """Processes of components end at a signal; their kernel closes what they had open.

    Nobody has to heal it: the Local Control Agent starts a component again after its retry pause,
    in its last mode (the VM's first process the agent itself). ``heal()`` waits until it answers.

    :ivar target: a component, or what it is: ``active.framework-p.configserver``
    :ivar signal: 9 (SIGKILL) lets it do nothing; 15 and others may let it say goodbye
    """

    target: str
    signal: int = 9

    def breakage(self, operations: Operations) -> Breakage:
        """The processes have gone, or are other ones."""
        if self.signal not in DEADLY:
            raise UsageError(
                f"signal: expected one that ends a process, of {', '.join(map(str, DEADLY))}, "
                f"got {self.signal!r}."
            )
        pids = running(operations, self.target)
        asked = clock.now_ns()

        def see() -> dict[str, str]:
            component = operations.topology.component
            now = {name: pid_of(operations, component(name)) for name in pids}
            return {f"{n} -> process": f"pid {p}" if p else "gone" for n, p in now.items()}

        def undo() -> None:
            for name, pid in pids.items():
                _wait_back(operations, name, pid, since=asked)

        return Breakage(
            look=until_changed(see),
            targets=list(pids),
            apply=lambda: _send(operations, pids, self.signal),
            undo=undo,
            missing=changed,
        )


@dataclass(frozen=True)
class ComponentFrozen(Fault):
    """Processes of components stop where they are: connections stay open, nobody gets an answer.

    Healing lets them go on, with what they believed when they were stopped.

    :ivar target: a component, or what it is: ``proxies.backup``
    """

    target: str

    def breakage(self, operations: Operations) -> Breakage:
        """The kernel says whether the process is stopped.

        :raises UsageError: also if it is stopped already
        """
        pids = running(operations, self.target)
        stopped = [name for name, pid in pids.items() if _state(operations, name, pid) == STOPPED]
        if stopped:
            raise UsageError(
                f"target: expected components that go on, got {self.target!r}; "
                f"{', '.join(stopped)} is frozen already."
            )

        def see() -> dict[str, str]:
            states = {name: _state(operations, name, pid) for name, pid in pids.items()}
            return {
                f"{name} -> process {pids[name]}": "stopped" if state == STOPPED else "running"
                for name, state in states.items()
            }

        return Breakage(
            look=until_changed(see),
            targets=list(pids),
            apply=lambda: _send(operations, pids, SIGSTOP),
            undo=lambda: _let_go_on(operations, pids),
            missing=changed,
        )


def _vm(operations: Operations, name: str) -> str:
    return operations.topology.component(name).vm


def _send(operations: Operations, pids: dict[str, int], number: int) -> None:
    for name, pid in pids.items():
        ask(operations, _vm(operations, name), "signal", pid=pid, signal=int(number))


def _state(operations: Operations, name: str, pid: int) -> str:
    state: str = ask(operations, _vm(operations, name), "states").get(str(pid), "")
    return state


def _goes_on(operations: Operations, name: str, pid: int) -> bool:
    return not operations.is_on(_vm(operations, name)) or _state(operations, name, pid) != STOPPED


def _let_go_on(operations: Operations, pids: dict[str, int]) -> None:
    """Continue those that are still there; one that ended, or whose VM did, has been replaced."""
    component = operations.topology.component
    same = {name: pid for name, pid in pids.items() if pid_of(operations, component(name)) == pid}
    _send(operations, same, SIGCONT)
    for name, pid in same.items():
        wait_until(
            partial(_goes_on, operations, name, pid),
            f"{name} going on",
            timeout=_BACK_S,
            interval=0.001,
            retry_on=NOT_YET,
        )


def _wait_back(operations: Operations, name: str, old: int, *, since: int) -> None:
    """Until another process answers for it than the one that ran at ``since`` (ns).

    Not waited for: one whose VM is off, and one that its agent was told to keep stopped.

    :raises WaitTimeout: it does not come back
    """
    wait_until(
        partial(_is_back, operations, name, old, since=since),
        f"{name} running again",
        timeout=_BACK_S + 3 * operations.topology.profile.retry,
        interval=0.005,
        retry_on=NOT_YET,
    )


def _is_back(operations: Operations, name: str, old: int, *, since: int) -> bool:
    component = operations.topology.component(name)
    if not operations.is_on(component.vm):
        return True
    pid = pid_of(operations, component)
    if pid is None and component.kind != "lca":
        seen = operations.machine(component.vm).call(f"{_CLIENT}:lca_status", {"timeout": 1.0})
        return not seen["apps"][component.kind]["wanted"]
    # A VM that has booted since gives out the same process ids again.
    booted = any(s == "on" and t > since for t, s in operations.states.get(component.vm, ()))
    if pid is None or (pid == old and not booted):
        return False
    return bool(operations.component_status(name, timeout=1.0))
