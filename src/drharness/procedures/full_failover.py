"""Full failover (FLO-1): every VM of the active region is down; the other region takes over.

The order is what matters: the old database is fenced before the new one is promoted, opened only
then, and the names move only once a master is ready behind them.
"""

from __future__ import annotations

from drharness.procedures import steps
from drharness.procedures.fence import fence as fence_off
from drharness.procedures.preflight import preflight
from drharness.procedures.procedure import Procedure
from drharness.procedures.standbys import with_others
from drharness.procedures.step import Options, Step


def full_failover(
    to: str = "region2",
    fence: str = "out-of-band",
    *,
    force: bool = False,
    max_lag_s: float | None = None,
    max_lag_bytes: int | None = None,
    regions: int = 2,
) -> Procedure:
    """The procedure that makes region ``to`` the active one.

    :param to: the region that survives
    :param fence: ``out-of-band`` or ``firewall``: how the old database is kept from committing
    :param force: go on without proof that it is, or with too much lag; recorded as the cause
    :param max_lag_s: seconds of acknowledged changes that may be lost with asynchronous
        replication; default: the timing profile's ``d_rep``
    :param max_lag_bytes: the same in bytes of WAL; default: any
    :param regions: of the topology; with more than two it ends with the step ``follow``: the other
        standbys follow the new database. Without a word of it a run adds that step where it is due
    :raises UsageError: names the argument, its value and what was expected
    """
    options = Options(fence, force, max_lag_s, max_lag_bytes, regions=regions)
    return Procedure("full_failover", to, with_others(_STEPS, options), options=options)


_STEPS = (
    Step("preflight", "FLO-1", "{to}-dbms", preflight),
    Step("fence", "DBM-5", "{old}-dbms and framework", fence_off),
    Step("promote", "DBM-2", "{to}-dbms", steps.promote),
    Step("unblock", "DBM-5", "{to}-dbms", steps.unblock),
    Step("start-framework", "CFG-4", "{to}-framework", steps.start_framework),
    Step("switch-names", "DNS-1", "dns", steps.switch_names),
    Step("flush", "DNS-4", "application VMs", steps.flush),
    Step("reconnect", "PXY-4", "application VMs", steps.reconnect),
)
