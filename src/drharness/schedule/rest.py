"""What is awaited when a schedule is over: the procedure's success, and clients that go on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

from drharness.checks import judge
from drharness.deployment.deployment import Deployment
from drharness.deployment.operations import NOT_YET, Operations
from drharness.deployment.traffic import acked, unbroken_clients, wait_to_go_on
from drharness.errors import WaitTimeout
from drharness.kernel import clock
from drharness.kernel.waiting import hold
from drharness.schedule.outcome import Ended

_RUNS = 5
_ALIKE = {"refused": 2, "fail": 3}  # ends for the same reason by which there is no hope
_PAUSE_S = 0.3  # an operator looks and tries again: a standby that was away needs a moment


def until_done(
    once: Callable[[], Ended],
    *,
    needed: Callable[[], bool],
    patience: float,
    enough: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a procedure until it succeeds; or refuses twice, or fails three times, for one reason.

    :param once: runs it to its end
    :param needed: whether nothing else lets writes in, or a run got halfway: then a refusal is
        tried again as long as ``patience`` (s), for its reason may pass (who has lost a database
        is late to know, who was started is late to answer)
    :param enough: whether no further run is wanted, asked after each that did not succeed
    """
    trying = clock.Deadline(patience)
    last, runs, alike = once(), 1, 1
    while last.status != "ok":
        refused = last.status == "refused"
        waits = refused and not trying.passed and needed()
        given_up = _ALIKE["refused" if refused else "fail"]
        if not waits and (runs >= _RUNS or alike >= given_up):
            break
        if enough():
            break
        hold(_PAUSE_S)
        before, last, runs = last, once(), runs + 1
        alike = alike + 1 if _words(last) == _words(before) else 1
    return last


def _words(ended: Ended) -> str:
    """What was said, without its figures, which differ from try to try."""
    return re.sub(r"[\d./]+", "", f"{ended.status} {ended.step} {ended.text}")


def broken_already(deployment: Deployment, invariant: str) -> bool:
    """Whether the history so far breaks an invariant."""
    return bool(judge(deployment.history, invariants=[invariant]).failed)


def behind_boot_rules(deployment: Deployment, opened: int) -> bool:
    """Whether the active database's VM booted since it was last opened, Frameworks shut out.

    :param opened: ns at which a procedure last opened it; 0: none did, it was open at the start
    """
    if deployment.topology.return_fence != "boot-deny":
        return False
    vm = deployment.topology.dbms(deployment.active).id
    boots = [t for t, state in deployment.operations.states.get(vm, ()) if state == "on"]
    return max(boots, default=0) > opened


def service(deployment: Deployment, *, shut: bool) -> str:
    """See writes go on through every region that has a client; what is missing, or nothing.

    A client that lost its power does not begin anew: where none is left, nobody is waited for.

    :param shut: only a procedure would let writes in: none are awaited, but reads
    """
    clients = unbroken_clients(deployment.operations)
    if not any(clients.values()):
        _try_once(deployment)
        return ""
    wanted, count = ("read", _reads) if shut else ("write", acked)
    what = f"{wanted}s through every region at rest"
    try:
        wait_to_go_on(deployment.operations, clients, what, count=count)
    except WaitTimeout as error:
        deployment.operations.check_engine()
        return str(error)
    return ""


def _reads(operations: Operations, vm: str) -> int:
    """How many reads of a client have ended, however."""
    events = operations.written.events_of(f"{vm}.application")
    return sum(e["kind"] == "op" and e["type"] != "invoke" and e["f"] == "read" for e in events)


def _try_once(deployment: Deployment) -> None:
    """One change and one read through each region, however they end: so that somebody looked."""
    operations = deployment.operations
    for region in deployment.topology.regions:
        with contextlib.suppress(*NOT_YET):
            operations.canary(region, "at rest", deadline=deployment.topology.profile.op_deadline)
