"""Plays a schedule on a deployment: the one meaning of every action.

What cannot be done here and now (a target that is off, nothing to heal) is recorded and passed
over, so that a schedule of which parts were taken away can still be played. At the end everything
is brought to rest; the verdict is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NoReturn

from drharness.deployment.deployment import Deployment
from drharness.deployment.requests import Moment
from drharness.errors import ControllerDied, DrHarnessError, EngineLost
from drharness.kernel import clock
from drharness.kernel.waiting import hold
from drharness.procedures import Run, StepResult
from drharness.schedule import encoding, reach, rest
from drharness.schedule.actions import (
    MOST_STEPS,
    Action,
    Crash,
    Finish,
    Heal,
    Inject,
    Next,
    Operate,
    Wait,
)
from drharness.schedule.guards import Guards
from drharness.schedule.outcome import Acted, Ended, Play, Settled
from drharness.schedule.schedule import Schedule


class Skipped(Exception):
    """An action cannot be done here and now; nothing was."""


def play(
    schedule: Schedule,
    deployment: Deployment,
    *,
    on_act: Callable[[Acted], None] | None = None,
    enough: str = "",
) -> Play:
    """Do what the schedule says, then bring everything to rest: heal, finish, see writes go on.

    Traffic is begun if there is none, and goes on until somebody judges. Every action is an ``act``
    event of the history.

    :param deployment: of the schedule's topology
    :param on_act: called with each action once it is done
    :param enough: id of an invariant; once the history shows it broken, nobody waits for more
    :raises DrHarnessError: the machinery has gone, or traffic did not start: there is no result
    """
    playing = Playing(schedule, deployment)
    for action in schedule.actions:
        acted = playing.act(action)
        if on_act is not None:
            on_act(acted)
    return playing.settle(enough)


class Playing:
    """A schedule that is played action by action, each as somebody decides on it.

    :ivar acts: the actions that were played, in order
    """

    def __init__(self, schedule: Schedule, deployment: Deployment) -> None:
        """Begin traffic if there is none.

        :param schedule: its procedure, topology and rate count; its actions are not looked at
        :raises DrHarnessError: traffic did not start
        """
        if deployment.current_traffic is None:
            deployment.traffic(schedule.rate).__enter__()
        self.acts: list[Acted] = []
        self._schedule, self._player = schedule, _Player(schedule, deployment)

    def act(self, action: Action) -> Acted:
        """Do it, or say why not.

        :raises DrHarnessError: the machinery has gone
        """
        self.acts.append(self._player.act(len(self.acts) + 1, action))
        return self.acts[-1]

    def settle(self, enough: str = "") -> Play:
        """Bring everything to rest; how the schedule of the actions that were played went."""
        settled = self._player.settle(enough)
        schedule = replace(self._schedule, actions=tuple(a.action for a in self.acts))
        return Play(schedule, tuple(self.acts), tuple(self._player.runs), settled)


class _Player:
    """The operator, and whatever else acts.

    :ivar run: the procedure's run that is under way, or was last
    :ivar runs: how those ended that are over
    """

    def __init__(self, schedule: Schedule, deployment: Deployment) -> None:
        self.deployment = deployment
        self.operations = deployment.operations
        self.procedure = schedule.procedure.procedure
        self.guards = Guards()
        self.run: Run | None = None
        self.runs: list[Ended] = []
        self._broken_since = False
        self._halfway = False  # a run changed something, and none has ended well since
        self._begun = 0  # ns at which the procedure's last run began
        self._healed = 0  # ns at which everything was
        self._opened = 0  # ns at which a procedure last let its Framework into the database
        self._number = 0
        self._do: Mapping[type[Action], Callable[..., tuple[str, str, str]]] = {
            Inject: self._inject,
            Heal: self._heal,
            Next: lambda action: self._steps(action.steps),
            Finish: lambda _: self._steps(MOST_STEPS),
            Crash: self._crash,
            Wait: self._wait,
            Operate: self._operate,
        }

    def act(self, number: int, action: Action) -> Acted:
        """Do it, or say why not."""
        self._number = number
        record = self.operations.recorder.record
        said = {"n": number, "do": encoding.action(action)}
        record("act", type="invoke", **said)
        begun = clock.now_ns()
        try:
            self.operations.check_engine()
            type_, text, step = self._do[type(action)](action)
        except Skipped as why:
            type_, text, step = "skipped", str(why), ""
        record("act", type=type_, **said, **({"text": text} if text else {}))
        return Acted(number, action, type_, text, begun, clock.now_ns(), step)

    # -- faults ----------------------------------------------------------------------------

    def _inject(self, action: Inject) -> tuple[str, str, str]:
        fault = action.fault
        why = self.guards.in_the_way(fault) or reach.in_the_way(fault, self.operations)
        self.guards.expect()
        if why:
            raise Skipped(why)
        try:
            self.guards.add(self.deployment.inject(fault))
        except EngineLost:
            raise
        except DrHarnessError as error:
            raise Skipped(str(error)) from error
        self._broken_since = True
        return "ok", "", ""

    def _heal(self, action: Heal) -> tuple[str, str, str]:
        if action.which is None:
            if not self.guards.in_force():
                raise Skipped("nothing is broken")
            left = self.guards.heal_all()
            return ("fail", left, "") if left else ("ok", "", "")
        why = self.guards.not_healable(action.which)
        if why:
            raise Skipped(why)
        failed = self.guards.heal(action.which)
        return ("fail", failed, "") if failed else ("ok", "", "")

    # -- the procedure ---------------------------------------------------------------------

    def _steps(self, count: int) -> tuple[str, str, str]:
        run = self._due_run()
        result = self._next(run)
        for _ in range(count - 1):
            if run.done:
                break
            result = self._next(run)
        return result.type, result.text, result.id

    def _next(self, run: Run) -> StepResult:
        result = run.next()
        if (result.id, result.type) == ("unblock", "ok"):
            self._opened = clock.now_ns()
        self._halfway |= result.type == "ok" and result.id != "preflight"
        if run.done:
            self._ended(run)
        return result

    def _due_run(self) -> Run:
        if self.run is None or self.run.done:
            if self.runs and self.runs[-1].status == "ok" and not self._broken_since:
                raise Skipped("the procedure is done, and nothing broke since")
            self._begin()
        assert self.run is not None
        return self.run

    def _begin(self) -> Run:
        self._broken_since, self._begun = False, clock.now_ns()
        self.run = self.deployment.begin(self.procedure)
        return self.run

    def _ended(self, run: Run) -> None:
        last = run.steps[-1] if run.steps else None
        if run.interrupted:
            self.runs.append(Ended("interrupted", last.id if last else "", run.interrupted))
        elif last is None or last.type == "ok":
            self._halfway = False
            self.runs.append(Ended("ok"))
        else:
            self.runs.append(Ended(last.type, last.id, last.text))

    def _crash(self, action: Crash) -> tuple[str, str, str]:
        run = self.run
        if not action.call:
            if run is None or run.done:
                raise Skipped("no procedure is under way")
            run.die()
            self._ended(run)
            return "ok", "", ""
        run = self._due_run()
        moment = Moment(within=run.following, call=action.call, sent=action.sent)
        self.operations.requests.at(moment, _die)
        result = self._next(run)
        self.operations.requests.forget(_die)
        if run.done and result.type not in ("ok", "interrupted"):
            return result.type, result.text, result.id
        if not run.done:
            run.die()
            self._ended(run)
        return "ok", "", result.id

    # -- the rest --------------------------------------------------------------------------

    def _wait(self, action: Wait) -> tuple[str, str, str]:
        hold(action.seconds)
        return "ok", "", ""

    def _operate(self, action: Operate) -> tuple[str, str, str]:
        seen = reach.operate(action, self.operations, value=f"act {self._number}")
        if not seen:
            raise Skipped(f"no client of {action.via} can be asked")
        return "ok", "", ""

    def settle(self, enough: str) -> Settled:
        """Heal, finish, and see writes go on; say what is not as it should be then.

        :param enough: as :func:`play` takes it
        """
        record, said = self.operations.recorder.record, {"n": 0, "do": {"do": "settle"}}
        record("act", type="invoke", **said)
        begun = clock.now_ns()
        texts = [self.guards.heal_all()]
        self._healed = clock.now_ns()
        certain = self._certain(enough)
        last = Ended("ok") if certain else self._finish(enough)
        certain = certain or (last.status != "ok" and self._certain(enough))
        shut = self._shut()
        texts.append(f"{enough} failed" if certain else rest.service(self.deployment, shut=shut))
        # A refusal is right where the system works as it is.
        if last.status != "ok" and (shut or last.status != "refused"):
            how = {"fail": "failed", "refused": "refused"}.get(last.status, last.status)
            texts.append(f"the procedure {how} at {last.step}: {last.text}")
        text = "; ".join(t for t in texts if t)
        record("act", type="fail" if text else "ok", **said, **({"text": text} if text else {}))
        return Settled(text, begun, clock.now_ns())

    def _certain(self, invariant: str) -> bool:
        """Whether an invariant is broken for good.

        What has happened stays so. What did not come in time is due again if the procedure has to
        be run again: so that must have failed although nothing was broken any more.
        """
        if not invariant:
            return False
        if not invariant.startswith(("S", "D")):
            failed = bool(self.runs) and self.runs[-1].status == "fail"
            if not failed or self._begun < self._healed:
                return False
        return rest.broken_already(self.deployment, invariant)

    def _finish(self, enough: str) -> Ended:
        """Run the procedure until it succeeds, if it was begun and is not done."""
        if self.run is None:
            return Ended("ok")
        if self.run.done and self.runs[-1].status == "ok" and not self._shut():
            return self.runs[-1]
        patience = self.deployment.topology.profile.rto_bound
        return rest.until_done(
            self._run_out,
            needed=self._is_needed,
            patience=patience,
            enough=lambda: self._certain(enough),
        )

    def _is_needed(self) -> bool:
        return self._halfway or self._shut()

    def _shut(self) -> bool:
        return rest.behind_boot_rules(self.deployment, self._opened)

    def _run_out(self) -> Ended:
        self.operations.check_engine()
        run = self._begin() if self.run is None or self.run.done else self.run
        while not run.done:
            self._next(run)
        return self.runs[-1]


def _die() -> NoReturn:
    raise ControllerDied
