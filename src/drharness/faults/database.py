"""Faults of databases and replication. They act on what is active and dormant when injected.

Nothing of them is kept on a disk but a lost slot: a standby that is rebooted follows again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from drharness.dbms import disturbance, settings
from drharness.deployment.operations import Operations
from drharness.errors import DrHarnessError, StartupFailed, UsageError
from drharness.faults.model import Breakage, Fault, Look, Seen, changed, silenced
from drharness.faults.probes import ask
from drharness.kernel import clock, validate
from drharness.kernel.waiting import wait_until
from drharness.topology import addresses

KINDS = ("replay", "receive")
_PATIENT_S = 5.0  # a standby that is well follows in milliseconds, on a busy machine a bit later
_IMPATIENT_S = 0.2
_LONGER = 2.0  # than it took while all was well


@dataclass(frozen=True)
class _Pair:
    """The two databases as they were at the injection."""

    operations: Operations
    active: str
    dormant: str

    @classmethod
    def of(cls, operations: Operations) -> _Pair:
        """As it is now.

        :raises UsageError: one of the two is powered off, or the dormant one is no standby
        """
        pair = cls(operations, operations.active, operations.topology.other(operations.active))
        for vm in (pair.primary, pair.standby):
            if not operations.is_on(vm):
                raise UsageError(f"{vm} is powered off: there is no replication to break.")
        status = operations.database_status(pair.dormant)
        if not status["in_recovery"]:
            why = status["error"] or "it is out of recovery"
            raise UsageError(f"{pair.standby} is no standby of {pair.primary}: {why}.")
        return pair

    @property
    def primary(self) -> str:
        """Id of the active DBMS VM."""
        return self.operations.topology.dbms(self.active).id

    @property
    def standby(self) -> str:
        """Id of the dormant DBMS VM."""
        return self.operations.topology.dbms(self.dormant).id

    def on_primary(self, function: str, **kwargs: Any) -> Any:
        """Call a function of the disturbance in the active DBMS VM."""
        return self.operations.database(self.active, f"disturbance:{function}", **kwargs)

    def on_standby(self, function: str, **kwargs: Any) -> Any:
        """Call a function of the disturbance in the dormant DBMS VM."""
        return self.operations.database(self.dormant, f"disturbance:{function}", **kwargs)

    def undo_on_standby(self, function: str, **kwargs: Any) -> None:
        """As :meth:`on_standby`, unless it was powered off: that has undone it."""
        if self.operations.is_on(self.standby):
            self.on_standby(function, **kwargs)

    def resume(self) -> None:
        """See the standby receive again, if it still is one and nothing else keeps it from that.

        :raises StartupFailed: the primary no longer has the WAL that it needs
        :raises RemoteError: it does not receive in time, for another reason
        """
        operations = self.operations
        both_on = operations.is_on(self.primary) and operations.is_on(self.standby)
        if not both_on or operations.active != self.active:
            return
        if not self._reaches():
            return
        status = operations.database_status(self.dormant)
        if not status["in_recovery"]:
            return
        needed = status["recv"] or status["replay"]
        if not self.on_primary("has_wal", lsn=needed):
            raise StartupFailed(
                f"{self.standby} needs WAL from {needed} on, which {self.primary} has recycled: "
                "it must be built anew from a copy of the active database"
            )
        self.on_standby("wait_receiving")

    def _reaches(self) -> bool:
        """Whether the standby gets a connection to the primary."""
        operations = self.operations
        target = (operations.topology.dbms(self.active).address, addresses.POSTGRES_PORT)
        return operations.reach(self.standby, [target]) == ["ok"]

    def following(self, *, replay_s: float = 0.0) -> Look:
        """Whether what the primary commits arrives at the standby, and is applied there.

        What keeps up in a few milliseconds while all is well is waited for accordingly later; what
        is cut off is not waited for at all.

        :param replay_s: seconds given to replay after the fault; 0: by what it took before
        """
        took = [_IMPATIENT_S]

        def look(patient: bool) -> Seen:
            patient = patient and self._reaches()
            began = clock.now()
            lsn = self.on_primary("mark")["lsn"]
            soon = max(_IMPATIENT_S, _LONGER * took[0])
            seen = self.on_standby(
                "follows",
                lsn=lsn,
                receive_s=_PATIENT_S if patient else soon,
                replay_s=_PATIENT_S if patient else replay_s or soon,
                timeout=2 * _PATIENT_S + replay_s,
            )
            if patient:
                took[0] = clock.now() - began
            return {
                f"{self.standby} -> receives": "ok"
                if seen["received"]
                else f"until {seen['recv']}",
                f"{self.standby} -> replays": "ok"
                if seen["replayed"]
                else f"until {seen['replay']}",
            }

        return look


def _stop(operations: Operations, vm: str, name: str) -> bool:
    """End a process started beside the VM's own; false if it has gone, with the power for one."""
    return operations.is_on(vm) and bool(ask(operations, vm, "stop", name=name))


def _only_replay_stands(before: Seen, after: Seen) -> str:
    """Proven if what arrives, as before, is no longer applied."""
    if set(before.values()) != {"ok"}:
        return f"the standby did not follow before: {dict(before)}"
    stands = {name.rpartition(" ")[2]: seen for name, seen in after.items()}
    if stands["receives"] != "ok":
        return f"it does not receive either: {dict(after)}"
    return "it replays as before" if stands["replays"] == "ok" else ""


@dataclass(frozen=True)
class StandbyLagging(Fault):
    """The standby falls behind.

    ``how="replay"``: it receives, and acknowledges, but applies late or not at all. Reads there are
    old; nothing is at risk, for a promotion applies everything received at once.
    ``how="receive"``: its connection to the primary is ended in good order and it finds no other
    (as after a changed password or port). Asynchronous: all that is acknowledged from now on is
    lost if it is promoted. Synchronous: writes wait.

    :ivar seconds: replay: apply each commit that much later (seen: not after half of it); 0: not
        at all until healed
    """

    how: str = "replay"
    seconds: float = 0.0

    def breakage(self, operations: Operations) -> Breakage:
        """Proven by a commit on the primary that does not arrive, or is not applied in time."""
        validate.choice("how", self.how, KINDS)
        validate.number("seconds", self.seconds, low=0, high=3600)
        if self.seconds and self.how == "receive":
            raise UsageError(f"seconds: only replay can be late, got {self.seconds:g} for receive.")
        pair = _Pair.of(operations)
        apply, undo = self._actions(pair)
        return Breakage(
            look=pair.following(replay_s=self.seconds / 2),
            apply=apply,
            undo=undo,
            targets=[pair.standby],
            missing=_only_replay_stands if self.how == "replay" else silenced,
        )

    def _actions(self, pair: _Pair) -> tuple[Callable[[], None], Callable[[], None]]:
        if self.how == "receive":
            return partial(pair.on_standby, "cut_upstream"), partial(_find_again, pair)
        if not self.seconds:
            return (
                partial(pair.on_standby, "pause_replay"),
                partial(pair.undo_on_standby, "resume_replay"),
            )
        late = {"name": "recovery_min_apply_delay", "value": f"{round(1000 * self.seconds)}ms"}
        return (
            partial(pair.on_standby, "set_for_now", **late),
            partial(pair.undo_on_standby, "set_back", name=late["name"]),
        )


def _find_again(pair: _Pair) -> None:
    pair.undo_on_standby("set_back", name="primary_conninfo")
    pair.resume()


_DELAY = "max_standby_streaming_delay"


@dataclass(frozen=True)
class LongReader(Fault):
    """A report on the standby holds a table that the primary has changed: replay waits for it.

    The standby is set to let readers finish (max_standby_streaming_delay=-1). It goes on receiving
    and acknowledging; a promotion waits for the reader as well and, when that was given up, happens
    by itself as soon as the reader ends. Healing ends the reader.
    """

    def breakage(self, operations: Operations) -> Breakage:
        """Proven by a commit that arrives but is not applied."""
        pair = _Pair.of(operations)

        def apply() -> None:
            try:
                pair.on_standby("set_for_now", name=_DELAY, value="-1")
                component = "drharness.dbms.disturbance:long_reader"
                ask(operations, pair.standby, "start", name=disturbance.READER, component=component)
                pair.on_standby("wait_reader", there=True)
                pair.on_primary("conflict")
            except DrHarnessError:
                undo()
                raise

        def undo() -> None:
            _stop(operations, pair.standby, disturbance.READER)
            pair.undo_on_standby("wait_reader", there=False)
            pair.undo_on_standby("set_back", name=_DELAY)

        return Breakage(
            look=pair.following(),
            apply=apply,
            undo=undo,
            targets=[pair.standby],
            missing=_only_replay_stands,
        )


@dataclass(frozen=True)
class StrayWalReceiver(Fault):
    """A WAL archiver on the active DBMS VM uses the standby's name.

    PostgreSQL knows standbys by name only: as soon as the real one is away, commits count as
    replicated when the stray has them, on the machine that is to be survived. Healing ends it.
    """

    def breakage(self, operations: Operations) -> Breakage:
        """Proven by the primary's senders of that name: another address streams."""
        pair = _Pair.of(operations)
        own = operations.topology.dbms(pair.active).address

        def senders() -> list[Mapping[str, Any]]:
            found: list[Mapping[str, Any]] = pair.on_primary("senders_named", name=pair.dormant)
            return [s for s in found if s["state"] == "streaming"]

        def look(_patient: bool) -> Seen:
            seen = ", ".join(sorted(s["address"] for s in senders()))
            return {f"{pair.primary} -> receivers named {pair.dormant}": seen}

        def apply() -> None:
            argv = operations.machine(pair.primary).call(
                "drharness.dbms.disturbance:stray_command",
                {"name": pair.dormant, "address": own},
            )
            ask(operations, pair.primary, "start", name=disturbance.STRAY, program=argv)
            try:
                wait_until(
                    lambda: any(s["address"] == own for s in senders()),
                    f"a WAL receiver named {pair.dormant} at {own}",
                    timeout=_PATIENT_S,
                    describe=lambda: str(senders()),
                )
            except DrHarnessError:
                undo()
                raise

        def undo() -> None:
            ended = _stop(operations, pair.primary, disturbance.STRAY)
            if ended and operations.database_status(pair.active)["accepting"]:
                wait_until(
                    lambda: all(s["address"] != own for s in senders()),
                    f"the WAL receiver at {own} gone",
                    timeout=_PATIENT_S,
                    describe=lambda: str(senders()),
                )

        return Breakage(look=look, apply=apply, undo=undo, targets=[pair.primary], missing=changed)


@dataclass(frozen=True)
class SlotLost(Fault):
    """The standby's replication slot on the primary is dropped: it can't resume, and retries.

    Its data stays what it was. Asynchronous: what is acknowledged from now on is lost if it is
    promoted. Synchronous: writes wait. Healing makes the slot again and sees the standby receive;
    if the primary has recycled WAL that it needs meanwhile, healing says so with an error.
    """

    def breakage(self, operations: Operations) -> Breakage:
        """Proven by the slot that has gone and a commit that does not arrive."""
        pair = _Pair.of(operations)
        following = pair.following()

        def look(patient: bool) -> Seen:
            slots = operations.database_status(pair.active)["slots"]
            name = settings.slot_name(pair.dormant)
            there = "ok" if name in [slot[0] for slot in slots] else "none"
            return {f"{pair.primary} -> slot {name}": there, **following(patient)}

        def undo() -> None:
            if operations.is_on(pair.primary):
                status = operations.database_status(pair.active)
                if status["writable"]:
                    operations.database(pair.active, "server:create_slot", name=pair.dormant)
                    pair.resume()

        return Breakage(
            look=look,
            apply=partial(pair.on_primary, "lose_slot", name=pair.dormant),
            undo=undo,
            targets=[pair.primary, pair.standby],
        )
