"""The lag gate: how much of what the old primary acknowledged the standby lacks, and who says so.

Asked is the old primary; one that does not answer has left its samples, and the power events of its
VM tell until when it can have gone on. A figure that is missing or too old is no figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drharness.errors import DrHarnessError
from drharness.history.event import Data
from drharness.history.lsn import position
from drharness.history.view import NS
from drharness.kernel import clock
from drharness.kernel.waiting import scaled
from drharness.procedures.step import Context, StepRefused

_ASK_S = 1.0


@dataclass(frozen=True)
class Lag:
    """What is known of it.

    :ivar bytes: WAL that the primary had and the standby lacks; None: nobody knows
    :ivar seconds: from the first sample with something that is missing until the primary's end (or
        now, if it goes on); None: nobody knows
    :ivar age: seconds between the last sample and the primary's end; 0 if it answers
    :ivar sync: whether nothing was acknowledged that the standby lacks, by the setting in force
    :ivar strays: addresses of receivers that take the standby's name, but are not it
    :ivar source: who said so
    :ivar missed: what keeps a standby from being one of an old primary that was promoted itself;
        empty if nothing does
    """

    bytes: int | None
    seconds: float | None
    age: float
    sync: bool
    strays: tuple[str, ...]
    source: str
    missed: str = ""


def received(status: Mapping[str, Any]) -> int:
    """How far a standby has the WAL; one that never streamed since its start has what it replayed.

    :param status: of the standby
    """
    return max(position(status["recv"]), position(status["replay"]))


def old_primary(context: Context) -> dict[str, Any] | None:
    """What the old region's database says of itself; None if it does not answer."""
    operations = context.operations
    vm = context.topology.dbms(context.old).id
    if operations.is_frozen(vm) or not operations.is_on(vm):
        return None
    try:
        status = operations.database_status(context.old, timeout=_ASK_S)
    except DrHarnessError:  # it is about to boot, or to end
        return None
    return status if status["accepting"] else None


def last_sample(context: Context, region: str) -> Data | None:
    """The last sample in which a region's database was writable."""
    found = [s for s in context.operations.written.samples(region) if s["writable"]]
    return found[-1] if found else None


def gate(context: Context, standby: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the standby may be promoted, as fields of the step's result.

    :param standby: its status
    :return: ``checked`` (false: it is promoted already), ``lag_bytes``, ``lag_s``, ``lag_from``
        (who said so), ``sync``, ``forced`` and, if that, ``why``
    :raises StepRefused: too much would be lost, or nobody knows how much
    """
    if not standby["in_recovery"]:
        unknown = dict.fromkeys(("lag_bytes", "lag_s"))
        return {"checked": False, **unknown, "lag_from": "", "sync": False, "forced": False}
    lag = measure(context, standby)
    found = {
        "checked": True,
        "lag_bytes": lag.bytes,
        "lag_s": lag.seconds,
        "lag_from": lag.source,
        "sync": lag.sync,
        "forced": False,
    }
    why = objection(context, lag)
    if not why:
        return found
    if not context.options.force:
        raise StepRefused(why)
    return {**found, "forced": True, "why": why}


def measure(context: Context, standby: Mapping[str, Any]) -> Lag:
    """Compare what the old primary had with what the standby has."""
    samples = [s for s in context.operations.written.samples(context.old) if s["writable"]]
    old = old_primary(context)
    if old is not None and not old["writable"]:
        old = None
    has = received(standby)
    missing = [s for s in samples if position(s["cur"]) > has]
    witnesses: list[Mapping[str, Any]] = [*missing, *samples[-1:], *([old] if old else [])]
    if not witnesses:
        return Lag(None, None, 0.0, sync=False, strays=(), source="")
    end = clock.now_ns() if old else _end(context, samples[-1]["t"])
    return Lag(
        bytes=max(0, position(witnesses[-1]["cur"]) - has),
        seconds=round(max(0, end - missing[0]["t"]) / NS, 3) if missing else 0.0,
        age=0.0 if old else round((end - samples[-1]["t"]) / NS, 3),
        sync=all(_waits(context, w.get("sync_names") or "") for w in witnesses),
        strays=_strays(context, witnesses),
        source=f"{context.old}'s database" if old else f"the last sample of {context.old}'s",
        missed=_missed(context, standby, witnesses),
    )


def _waits(context: Context, names: str) -> bool:
    """Whether commits wait for the standby, by synchronous_standby_names."""
    return f'"{context.to}"' in names if _several(context) else bool(names)


def _several(context: Context) -> bool:
    return len(context.topology.regions) > 2


def _missed(
    context: Context, standby: Mapping[str, Any], witnesses: Sequence[Mapping[str, Any]]
) -> str:
    """Why a standby that an earlier promotion left over cannot replace what was promoted then.

    It still has what was before that, and would lose the rest; or, where commits should wait for
    it and do not yet, what it has not got by chance.
    """
    old = witnesses[-1]
    if not _several(context) or old["tli"] == 1:
        return ""
    if old["epoch"] != standby["epoch"]:
        return f"has nothing of epoch {old['epoch']}"
    waits = all(_waits(context, w.get("sync_names") or "") for w in witnesses)
    if context.topology.replication == "sync" and not waits:
        return "is not waited for by its commits"
    return ""


def _end(context: Context, last: int) -> int:
    """Until when (ns) a primary may have gone on after its last sample."""
    vm = context.topology.dbms(context.old).id
    silent = [s["t"] for s in context.operations.written.samples(context.old) if not s["writable"]]
    down = [t for t, state in context.operations.states.get(vm, []) if state in ("off", "frozen")]
    return min([t for t in (*silent, *down) if t >= last], default=clock.now_ns())


def _strays(context: Context, witnesses: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    address = context.topology.dbms(context.to).address
    seen = {
        str(sender[1]): None
        for witness in witnesses
        for sender in witness["senders"]
        if sender[0] == context.to and sender[1] != address
    }
    return tuple(seen)


def objection(context: Context, lag: Lag) -> str:
    """What speaks against a promotion; empty if nothing does."""
    options, profile = context.options, context.topology.profile
    standby = f"{context.to}'s database"
    if lag.bytes is None or lag.seconds is None:
        return f"nobody knows what {standby} lacks: {context.old}'s database left no sample."
    if lag.missed:
        return (
            f"{standby} does not follow {context.old}'s as it should since that was promoted: "
            f"it {lag.missed}. The step follow is due."
        )
    if lag.strays:
        return (
            f"a receiver at {', '.join(lag.strays)} takes the name of {standby} "
            f"({context.topology.dbms(context.to).address}): commits may have waited for it."
        )
    if lag.sync:
        return ""
    limit = scaled(profile.d_rep) if options.max_lag_s is None else options.max_lag_s
    if lag.age > limit + profile.eps:
        return (
            f"what {standby} lacks is not known: {context.old}'s database was last seen {lag.age:g}"
            f" s before it went silent; at most {limit:g} s may be lost."
        )
    if lag.seconds > limit:
        return (
            f"{standby} lacks {lag.bytes} bytes, the oldest {lag.seconds:g} s old ({lag.source}); "
            f"at most {limit:g} s may be lost."
        )
    if options.max_lag_bytes is not None and lag.bytes > options.max_lag_bytes:
        return (
            f"{standby} lacks {lag.bytes} bytes ({lag.source}); "
            f"at most {options.max_lag_bytes} may be lost."
        )
    return ""
