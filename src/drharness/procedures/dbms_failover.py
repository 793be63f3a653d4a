"""DBMS failover (FLO-3): only the active DBMS VM is down; the Framework stays and changes database.

The names stay, too, and so do the proxies' addresses: the proxies find the same master again.
"""

from __future__ import annotations

from typing import Any

from drharness.kernel.waiting import wait_until
from drharness.procedures import lag, preflight, servers, steps
from drharness.procedures.fence import fence as fence_off
from drharness.procedures.procedure import Procedure
from drharness.procedures.standbys import with_others
from drharness.procedures.step import Context, Options, Step, StepRefused


def dbms_failover(
    to: str = "region2",
    *,
    force: bool = False,
    max_lag_s: float | None = None,
    max_lag_bytes: int | None = None,
    regions: int = 2,
) -> Procedure:
    """The procedure that makes the database of region ``to`` the active one, and nothing else.

    :param to: the region whose replica is promoted
    :param force: and the rest: as for ``full_failover``
    :raises UsageError: names the argument, its value and what was expected
    """
    options = Options(
        "out-of-band", force, max_lag_s, max_lag_bytes, framework="stay", regions=regions
    )
    return Procedure("dbms_failover", to, with_others(_STEPS, options), options=options)


def _preflight(context: Context) -> dict[str, Any]:
    """Does the Framework run, does nobody work on the old database, and is there one to promote?"""
    framework, operations = context.framework, context.operations
    vms = context.vms(framework, "framework")
    if not vms:
        raise StepRefused(f"the Framework of {framework} is down, too: it has to move as well.")
    if operations.are_cut(framework, context.to):
        raise StepRefused(f"{framework}'s Framework is cut off from the database of {context.to}.")
    for server in servers.unheard(context, vms, servers.statuses(context, vms)):
        raise StepRefused(
            f"{server} runs and does not answer: it may believe in {context.old}'s database still."
        )
    old = lag.old_primary(context)
    if old is not None and old["writable"]:
        for server in servers.masters(context, vms, context.old):
            raise StepRefused(f"{server} works on {context.old}'s database: it is not down.")
    return preflight.preflight(context)


def _repoint(context: Context) -> dict[str, Any]:
    """Tell the Framework which database counts now; one of its pair is seen to be primary on it."""
    told = steps.repoint(context)
    seen = wait_until(
        lambda: servers.masters(context, list(told), context.database),
        f"a Configuration Server of {context.framework} primary on {context.database}'s database",
        timeout=context.topology.profile.rto_bound,
        interval=0.02,
        describe=lambda: _reasons(servers.statuses(context, list(told))),
    )
    masters = {s: {k: v[k] for k in ("role", "db", "epoch", "seq")} for s, v in seen.items()}
    return {"files": told, **masters}


def _reasons(found: dict[str, dict[str, Any]]) -> str:
    said = (f"{s} is {v['role']} ({v['reason'] or 'no reason'})" for s, v in found.items())
    return ", ".join(said) or "no answer"


_STEPS = (
    Step("preflight", "FLO-3", "{to}-dbms", _preflight),
    Step("fence", "DBM-5", "{old}-dbms", fence_off),
    Step("promote", "DBM-2", "{to}-dbms", steps.promote),
    Step("unblock", "DBM-5", "{to}-dbms", steps.unblock),
    Step("repoint", "DBM-2", "the active framework", _repoint),
    Step("reconnect", "PXY-4", "application VMs", steps.reconnect),
)
