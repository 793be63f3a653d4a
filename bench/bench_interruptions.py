"""Whole sweeps over the moments of a full failover: its controller dies, or region 1 comes back.

    python bench/bench_interruptions.py [--returns boot-deny|none] [--spinners N] [STEP ...]

A moment is the end of a step, or one of the requests that it sends to VMs: before it leaves (``-``)
or after it left and before its answer is read (``+``). Each has a deployment of its own under
traffic, whose region 1 goes down first. How often a step asks again whether something is ready
differs from run to run: a moment that did not come is told, and is no failure.

Without ``--returns`` the controller is killed there and another one carries the procedure out from
its beginning. Expected is one end: that run is ok, every check passes, and the deployment is as an
uninterrupted run leaves it. With ``--returns`` all VMs of region 1 are powered on there, and what
is refused or fails is done again; expected with ``boot-deny`` is that every check passes; with
``none`` the table says what breaks. A spinner is a process that computes for ever.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence

from spinners import spinning

from drharness import faults, procedures
from drharness.checks import Verdict
from drharness.deployment import Deployment, deploy
from drharness.deployment.requests import Moment
from drharness.errors import DrHarnessError
from drharness.kernel import clock
from drharness.topology import Topology

_NEVER = "it never came"
_AFTER = 20  # writes acknowledged after the end
_PROCEDURE = procedures.full_failover(to="region2")

State = dict[str, object]


def moments(counts: dict[str, int], steps: Sequence[str]) -> Iterator[Moment]:
    """All of them, in the order of the procedure."""
    for step in steps:
        for call in range(1, counts[step] + 1):
            yield Moment(within=step, call=call, sent=False)
            yield Moment(within=step, call=call, sent=True)
        yield Moment(after=step)


def state_of(deployment: Deployment) -> State:
    """What a failover is to leave: who is on, which database is writable, what the names mean."""
    operations = deployment.operations
    status = operations.database_status("region2")
    return {
        "on": [vm.id for vm in deployment.topology.vms if operations.is_on(vm.id)],
        "active": deployment.active,
        "writable": status["writable"],
        "timeline": status["tli"],
        "synchronous_standby_names": status["sync_names"],
        "names": deployment.dns.zone()["records"],
    }


def interrupted(deployment: Deployment, moment: Moment) -> str:
    """Let the controller die at a moment, and another one do it all; what went wrong."""
    first = deployment.run(
        _PROCEDURE.interrupted(
            after=moment.after, within=moment.within, call=moment.call, sent=moment.sent
        )
    )
    if first.ok:
        return _NEVER
    if first.status != "interrupted":
        return f"not interrupted, but {first.status}: {first.text}"
    second = deployment.run(_PROCEDURE)
    return "" if second.ok else f"{second.status} at {second.step}: {second.text}"


def returned(deployment: Deployment, moment: Moment, guard: faults.Guard) -> str:
    """Let the region come back at a moment; what went wrong."""
    deployment.operations.requests.at(moment, guard.heal)
    outcome = deployment.run(_PROCEDURE)
    if not guard.healed:
        return _NEVER
    again = "" if outcome.ok else f"{outcome.status} at {outcome.step}, then "
    if again:
        outcome = deployment.run(_PROCEDURE)
    return "" if outcome.ok else f"{again}{outcome.status} at {outcome.step}: {outcome.text}"


def drill(moment: Moment | None, fence: str) -> tuple[str, State, dict[str, int]]:
    """One deployment; what went wrong, the state at the end, and the requests of each step."""
    topology = Topology.guide(return_fence=fence or "boot-deny")
    with tempfile.TemporaryDirectory() as evidence, deploy(topology, evidence_dir=evidence) as d:
        with d.traffic() as traffic:
            guard = d.inject(faults.RegionDown("region1"))
            if moment is None:
                wrong = d.run(_PROCEDURE).text
            else:
                wrong = returned(d, moment, guard) if fence else interrupted(d, moment)
            counts = d.operations.requests.counts
            try:
                traffic.wait_writes(_AFTER, timeout=d.topology.profile.rto_bound)
            except DrHarnessError as error:
                wrong = wrong or str(error)
        verdict = d.judge()
        state = state_of(d)
        bad = ", ".join(dict.fromkeys(f"{f.verdict} {f.invariant}" for f in verdict.findings))
        if verdict.status is not Verdict.PASS and not (fence == "none" and not wrong):
            print(f"\n--- {moment}\n{verdict.findings_text}", file=sys.stderr)
    return "; ".join(filter(None, (wrong, bad))) or "PASS", state, counts


def sweep(fence: str, steps: Sequence[str]) -> int:
    """Every moment of these steps; how many did not end as expected."""
    text, wanted, counts = drill(None, "")
    print(f"undisturbed: {text}; requests {counts}", flush=True)
    unlike = 0
    for number, moment in enumerate(moments(counts, steps), start=1):
        text, state, _ = drill(moment, fence)
        if not fence and state != wanted:
            text += "".join(f"; {k} is {state[k]}" for k in wanted if state[k] != wanted[k])
        unlike += text not in ("PASS", _NEVER)
        where = f"request {moment.call:>2} {'+' if moment.sent else '-'}"
        shown = "its end" if moment.after else where
        print(f"{number:>3}  {moment.step:<16} {shown:<14} {text}", flush=True)
    return unlike


def main() -> None:
    """Print a row per moment, and how many there were that ended in another way."""
    ids = [step.id for step in _PROCEDURE.steps]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--returns", choices=("boot-deny", "none"), default="")
    parser.add_argument("--spinners", type=int, default=0)
    parser.add_argument("steps", nargs="*", metavar="STEP", default=ids)
    given = parser.parse_args()
    took = clock.Deadline(0)
    with spinning(given.spinners):
        unlike = sweep(given.returns, given.steps)
    print(f"{unlike} moments did not end in PASS; {took.waited:.0f} s, {given.spinners} spinners")
    sys.exit(1 if unlike and given.returns != "none" else 0)


if __name__ == "__main__":
    main()
