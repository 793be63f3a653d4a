"""A schedule tried on a deployment of its own: played, judged, and written beside its history."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from drharness.checks.verdict import Judgement, Verdict, worst
from drharness.deployment.deployment import Deployment
from drharness.deployment.pool import Pool
from drharness.kernel import clock
from drharness.schedule.interpreter import play
from drharness.schedule.outcome import Acted, Play
from drharness.schedule.reading import At
from drharness.schedule.schedule import Schedule

FILE = "schedule.json"
_MOST_ACTIONS = 10_000


@dataclass(frozen=True)
class Trial:
    """How a schedule went, once.

    :ivar run: the run's evidence, with the schedule in it
    :ivar seconds: from the deployment being asked for, when it was its turn, to the verdict
    """

    play: Play
    judgement: Judgement
    run: Path
    seconds: float

    @property
    def schedule(self) -> Schedule:
        """What was tried."""
        return self.play.schedule

    @property
    def status(self) -> Verdict:
        """The verdict; UNKNOWN instead of PASS if the system did not come to rest as it should."""
        verdicts = [self.judgement.status]
        if not self.play.settled.ok:
            verdicts.append(Verdict.UNKNOWN)
        return worst(verdicts)

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the invariants that failed."""
        return self.judgement.failed

    @property
    def ok(self) -> bool:
        """Whether everything was judged and passed."""
        return self.status is Verdict.PASS

    def __repr__(self) -> str:
        """In a line, for the assertion that shows it: what failed, and how to replay it."""
        bad = [f"{f.invariant} {f.seen.splitlines()[0]}" for f in self.judgement.findings[:3]]
        bad += [] if self.play.settled.ok else [self.play.settled.text.splitlines()[0]]
        again = "" if self.ok else f"; again: drharness replay {_shown(self.run / FILE)}"
        return f"<{self.status}{': ' if bad else ''}{'; '.join(bad)}{again}>"

    def __str__(self) -> str:
        """For an assertion: what failed with its proof, the actions, and how to replay them."""
        lines = [self.judgement.findings_text]
        if not self.play.settled.ok:
            lines.append(f"not at rest: {self.play.settled.text}")
        lines += ["actions:", *(f"  {act}" for act in self.play.acts)]
        file = _shown(self.run / FILE)
        return "\n".join([*lines, f"schedule: {file}", f"again: drharness replay {file}"])


def _shown(path: Path) -> str:
    """Relative to the current directory if it lies there."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def attempt(
    schedule: Schedule,
    pool: Pool,
    *,
    on_act: Callable[[Acted], None] | None = None,
    enough: str = "",
    turn: AbstractContextManager[object] | None = None,
) -> Trial:
    """Play a schedule on a deployment of its own, and judge.

    :param pool: of the schedule's topology
    :param turn: held while it is played, not while it is judged; a semaphore for as many as are
        played at once
    :param enough: as :func:`drharness.schedule.interpreter.play` takes it
    :raises DrHarnessError: the deployment did not come up, or has gone: there is no result
    """
    with ExitStack() as stack:
        with turn or nullcontext():
            begun = clock.Deadline(0)
            deployment = stack.enter_context(pool.lease())
            write(schedule, deployment.evidence)
            played = play(schedule, deployment, on_act=on_act, enough=enough)
        return judged(played, deployment, begun)


def judged(played: Play, deployment: Deployment, begun: clock.Deadline) -> Trial:
    """Judge what was played, and write its schedule with what came of it.

    :param begun: a deadline that has waited since the deployment was asked for
    """
    trial = Trial(played, deployment.judge(), deployment.evidence, begun.waited)
    write(trial.schedule, deployment.evidence, found=_found(trial))
    return trial


def write(schedule: Schedule, run: Path, *, found: dict[str, Any] | None = None) -> Path:
    """Write a schedule into a run's directory; the file.

    :param found: what came of it, for who replays it
    """
    path = run / FILE
    path.write_text(schedule.to_json(found=found), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Found:
    """What came of a schedule when it was written down; all empty if nobody said.

    :ivar failed: ids of the invariants that failed; ``skipped``: numbers of the actions that could
        not be done
    """

    status: str = ""
    failed: tuple[str, ...] = ()
    skipped: tuple[int, ...] = ()


def found_in(text: str, file: str) -> Found:
    """What a schedule's file says came of it.

    :raises UsageError: names the file, the place in it, the value and what was expected
    """
    top = At.document(text, file)
    if not isinstance(top.value, dict) or "found" not in top.value:
        return Found()
    given = At(top.value["found"], file, "found").fields([f.name for f in fields(Found)])
    status = given["status"].text() if "status" in given else ""
    failed = tuple(i.text() for i in given["failed"].items()) if "failed" in given else ()
    skipped = given["skipped"].items() if "skipped" in given else []
    return Found(status, failed, tuple(i.whole(1, _MOST_ACTIONS) for i in skipped))


def _found(trial: Trial) -> dict[str, Any]:
    return {
        "status": str(trial.status),
        "failed": list(trial.failed),
        "skipped": list(trial.play.skipped),
    }
