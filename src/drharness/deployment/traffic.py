"""Traffic: the client applications of all regions write and read through their proxies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from drharness.components.messages import MOST_OPENING
from drharness.deployment.operations import Operations
from drharness.errors import DrHarnessError, StartupFailed, UsageError
from drharness.kernel import clock, rng, validate
from drharness.kernel.waiting import wait_until

_CLIENT = "drharness.components.client"
_PREMISE_S = 30.0
_AGAIN = 8  # operations through each region by which they go on again


class Traffic:
    """A context: inside it the workload runs; entered once enough writes were acknowledged.

    :param rate: writes per second over all Application VMs that are on; reads come beside them
    """

    def __init__(self, operations: Operations, rate: float | None = None) -> None:
        profile = operations.topology.profile
        self.rate = profile.writes_per_s if rate is None else rate
        validate.number("rate", self.rate, low=0.1, high=2000)
        self._operations = operations
        self._vms: list[str] = []

    def __enter__(self) -> Traffic:
        operations, profile = self._operations, self._operations.topology.profile
        self._vms = [
            vm.id
            for region in operations.topology.regions
            for vm in operations.topology.vms_of(region, "application")
            if operations.is_on(vm.id)
        ]
        if not self._vms:
            raise UsageError("traffic: no Application VM is on; power one on first.")
        operations.recorder.record("traffic", type="start", rate=self.rate)
        started = operations.on_all(
            self._vms,
            f"{_CLIENT}:start_traffic",
            writes_per_s=self.rate / len(self._vms),
            reads_per_write=profile.reads_per_write,
            opening=min(MOST_OPENING, -(-profile.min_acked // len(self._vms))),
            run=rng.token(2),
        )
        for vm, answer in started.items():
            if isinstance(answer, DrHarnessError):
                raise StartupFailed(f"traffic on {vm} did not start: {answer}") from answer
        self._wait_for_premise(profile.min_acked)
        return self

    def _wait_for_premise(self, count: int) -> None:
        """A fault proves nothing before some writes were acknowledged in every region."""
        seen: dict[str, int] = {}

        def enough() -> bool:
            self._operations.check_engine()
            seen.update({vm: acked(self._operations, vm) for vm in self._vms})
            return sum(seen.values()) >= count and all(seen.values())

        wait_until(
            enough,
            f"{count} acknowledged writes, some from every Application VM",
            timeout=_PREMISE_S + count / self.rate,
            interval=0.03,
            describe=lambda: str(seen),
        )

    @property
    def runs(self) -> bool:
        """Whether clients were started and not stopped."""
        return bool(self._vms)

    def stop(self) -> dict[str, Any]:
        """Stop the clients that still live and wait for what is under way; their counters."""
        if not self._vms:
            return {}
        living = [vm for vm in self._vms if self._operations.is_on(vm)]
        self._vms = []
        limit = 4 * self._operations.topology.profile.op_deadline + 10.0
        stopped = self._operations.on_all(living, f"{_CLIENT}:stop_traffic", timeout=limit + 1.0)
        counters = {}
        for vm, answer in stopped.items():
            if isinstance(answer, DrHarnessError):
                self._operations.recorder.record(
                    "note", text=f"{vm}: traffic not stopped: {answer}"
                )
            else:
                counters[f"{vm}.application"] = answer["counters"]
        self._operations.recorder.record("traffic", type="stop", counters=counters)
        return counters

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_writes(self, count: int, *, timeout: float) -> None:
        """Wait until the living clients had ``count`` more writes acknowledged, all together."""
        living = [vm for vm in self._vms if self._operations.is_on(vm)]
        before = {vm: acked(self._operations, vm) for vm in living}
        started = clock.now()

        def enough() -> bool:
            self._operations.check_engine()
            return sum(acked(self._operations, vm) - before[vm] for vm in living) >= count

        wait_until(
            enough,
            f"{count} more acknowledged writes",
            timeout=timeout,
            interval=0.05,
            describe=lambda: f"{clock.now() - started:.1f} s of traffic",
        )


def acked(operations: Operations, vm: str) -> int:
    """How many changes of an Application VM's client were acknowledged until now."""
    events = operations.written.events_of(f"{vm}.application")
    return sum(e["kind"] == "op" and e["type"] == "ok" and e["f"] != "read" for e in events)


def unbroken_clients(operations: Operations) -> Mapping[str, Sequence[str]]:
    """Application VMs by region whose clients have lived through everything, so still run."""
    return {
        region: [
            vm.id
            for vm in operations.topology.vms_of(region, "application")
            if "off" not in {state for _, state in operations.states.get(vm.id, ())}
        ]
        for region in operations.topology.regions
    }


def wait_to_go_on(
    operations: Operations,
    clients: Mapping[str, Sequence[str]],
    what: str,
    *,
    count: Callable[[Operations, str], int] = acked,
) -> None:
    """Wait until some more of what is counted has happened in every region.

    :param clients: Application VMs by region; nobody is waited for where there are none
    :param what: is counted, as the subject of a sentence; ``count``: of one of them
    :raises WaitTimeout: with how many more there were, by region
    """
    before = {vm: count(operations, vm) for vms in clients.values() for vm in vms}

    def more(region: str) -> int:
        return sum(count(operations, vm) - before[vm] for vm in clients[region])

    profile = operations.topology.profile
    wait_until(
        lambda: all(more(region) >= _AGAIN for region, vms in clients.items() if vms),
        what,
        timeout=profile.rto_bound + profile.eps,
        interval=0.05,
        describe=lambda: str({region: more(region) for region in clients}),
    )
