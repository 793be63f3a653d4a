"""``drharness drill``: deploy, put under traffic, break, run the procedure, judge; live.

However it ends, the evidence is collected first, then the deployment is taken down, then said how
it went.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drharness import report
from drharness.checks import Budget, Judgement, Verdict, judge, worst
from drharness.cli import records
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.plan import Drill
from drharness.cli.progress import Progress, label_of, proof_of
from drharness.cli.screen import Screen
from drharness.deployment import Deployment, deploy
from drharness.deployment.traffic import Traffic
from drharness.errors import DrHarnessError, WaitTimeout
from drharness.faults import ControllerKilled
from drharness.history import History
from drharness.procedures import Outcome

_AFTER = 20  # acknowledged writes that show that the recovered system stays up


@dataclass(frozen=True)
class Ended:
    """How one drill ended; ``summary`` is its machine-readable result."""

    code: int
    line: str
    summary: dict[str, Any]


def carry_out(drill: Drill, screen: Screen, errors: Screen) -> Ended:
    """One drill from the deployment to the verdict.

    :param errors: where error messages go
    """
    progress = Progress(screen, drill.evidence)
    INTERRUPTS.unshield()
    try:
        outcome, complete = _deployed(drill, screen, progress)
        return results(drill, progress.run or Path(), screen, outcome, complete=complete)
    except Interrupted:
        INTERRUPTS.shield()
        screen.end("--", "interrupted")
        errors.say(f"interrupted ({INTERRUPTS.signal})", "bold yellow")
        return _early(progress, screen, INTERRUPTS.EXIT_CODE, {"interrupted": INTERRUPTS.signal})
    except DrHarnessError as error:
        screen.end("FAIL")
        errors.say(f"error: {error}", "bold red")
        return _early(progress, screen, error.exit_code, {"error": _told(error)})
    except Exception as error:  # noqa: BLE001 - shown whole, with the evidence, and exit 3
        screen.end("FAIL")
        errors.say("".join(traceback.format_exception(error)))
        errors.say(f"error: unexpected {type(error).__name__}: {error}", "bold red")
        return _early(progress, screen, 3, {"error": _told(error)})


def _told(error: Exception) -> dict[str, str]:
    return {"kind": type(error).__name__, "text": str(error)}


def _deployed(drill: Drill, screen: Screen, progress: Progress) -> tuple[Outcome, bool]:
    screen.begin("deployment")
    with deploy(
        drill.topology, engine=drill.engine, evidence_dir=drill.evidence, listeners=[progress]
    ) as deployment:
        dormant = " and ".join(deployment.topology.others(deployment.active))
        screen.end("ok", f"{deployment.active} is active, {dormant} dormant")
        try:
            done = drilled(drill, deployment, screen)
        except BaseException as error:
            INTERRUPTS.shield()
            deployment.recorder.record("note", text=f"ended early: {type(error).__name__} {error}")
            records.merge(deployment.evidence)
            raise
        INTERRUPTS.shield()
    INTERRUPTS.unshield()
    return done


def drilled(drill: Drill, deployment: Deployment, screen: Screen) -> tuple[Outcome, bool]:
    """Traffic, fault, procedure, judgement; the outcome, and whether writes went on after it."""
    # Not as a context: judge() ends the traffic, and an interruption shall not wait for clients.
    traffic = deployment.traffic(drill.rate)
    with screen.task("traffic") as task:
        traffic.__enter__()
        least = drill.topology.profile.min_acked
        task.detail = f"{traffic.rate:g} writes/s, the first {least} acknowledged"
    if drill.fault is not None:
        with screen.task(label_of(drill.fault)) as task:
            guard = deployment.inject(drill.fault)
            armed = isinstance(drill.fault, ControllerKilled)
            task.detail = "armed" if armed else proof_of(guard.receipt)
    screen.say()
    outcome = deployment.run(drill.procedure)
    if outcome.status == "interrupted":
        screen.say(f"  {outcome.text}; another one begins anew")
        outcome = deployment.run(drill.procedure.uninterrupted())
    screen.say()
    for line in _forced(outcome):
        screen.say(line, "bold yellow")
    complete = not outcome.ok or _goes_on(traffic, deployment, screen)
    deployment.budget = drill.budget
    with screen.task("judgement") as task:
        results = deployment.judge().results
        task.detail = f"{sum(r.exercised for r in results)} of {len(results)} checks exercised"
    return outcome, complete


def _forced(outcome: Outcome) -> list[str]:
    """What the procedure went on in spite of."""
    return [
        f"  forced past {step.id}: {str(step.seen['why']).partition(chr(10))[0]}"
        for step in outcome.steps
        if step.seen.get("forced")
    ]


def _goes_on(traffic: Traffic, deployment: Deployment, screen: Screen) -> bool:
    """Whether clients still get their writes acknowledged after the procedure."""
    profile = deployment.topology.profile
    limit = profile.rto_bound + 2 * _AFTER / traffic.rate
    screen.begin("more traffic")
    try:
        traffic.wait_writes(_AFTER, timeout=limit)
    except WaitTimeout as error:
        deployment.recorder.record("note", text=str(error))
        screen.end("FAIL", str(error))
        return False
    screen.end("ok", f"{_AFTER} writes acknowledged after the procedure")
    return True


def results(drill: Drill, run: Path, screen: Screen, outcome: Outcome, *, complete: bool) -> Ended:
    """Say how it went."""
    history, judgement = _read(run, drill.budget)
    code = records.EXIT_CODES[judgement.status]
    if code == 0 and not (outcome.ok and complete):
        code = 3 if outcome.ok else 1
    screen.say()
    for line in report.step_lines(history, judgement):
        screen.say(line)
    screen.say()
    for line in (*report.rto_lines(judgement), *report.lost_lines(judgement)):
        screen.say(line, "bold" if line.startswith("R") else "")
    screen.say()
    screen.verdict(judgement.findings_text)
    screen.say()
    if not outcome.ok:
        how = "was refused" if outcome.status == "refused" else "failed"
        why = outcome.text.partition("\n")[0]
        screen.say(f"the procedure {how} at step {outcome.step}: {why}", "bold red")
    if code:
        count = f"{len(judgement.findings)} findings, see above"
        why = "the checks passed, the run did not" if judgement.ok else count
        screen.say(f"{judgement.status}: {why}; exit code {code}", "bold red")
    for line in records.where(run):
        screen.say(line)
    return Ended(code, _line(judgement), _summary(run, history, judgement, code=code))


def _read(run: Path, budget: Budget) -> tuple[History, Judgement]:
    """As anybody would who judges the evidence later."""
    history = records.load(run)
    return history, judge(history, budget=budget)


def _line(judgement: Judgement, status: str = "") -> str:
    rto, lost = judgement.rto, judgement.lost
    return (
        f"{status or judgement.status!s:<8} RTO {'-' if rto is None else f'{rto:.3f} s'}, "
        f"lost {'?' if lost is None else len(lost)}, run {judgement.run_id}"
    )


def _summary(run: Path, history: History, judgement: Judgement, *, code: int) -> dict[str, Any]:
    return {**report.summary(history, judgement), "exit_code": code, "evidence": str(run)}


def _early(progress: Progress, screen: Screen, code: int, why: dict[str, Any]) -> Ended:
    """The rest after an interruption or an error: judge what there is, and say where it lies."""
    run = progress.run
    judgement = records.collect(run) if run else None
    if run is None or judgement is None:
        blank = {"v": report.VERSION, "kind": "drharness run", "status": "UNKNOWN"}
        if run is not None:
            screen.say(records.where(run)[0])
        return Ended(
            code, "UNKNOWN", {**blank, **why, "exit_code": code, "evidence": run and str(run)}
        )
    history = records.load(run)
    if history.of_kind("start"):
        screen.say(f"the run is incomplete; findings so far: {len(judgement.findings)}")
    for line in records.where(run):
        screen.say(line)
    found = _summary(run, history, judgement, code=code)
    status = str(worst([judgement.status, Verdict.UNKNOWN]))
    return Ended(code, _line(judgement, status), {**found, **why, "status": status})
