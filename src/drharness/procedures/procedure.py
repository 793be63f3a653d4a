"""A procedure as a value, and its variations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from drharness.deployment.deployment import Deployment
from drharness.deployment.requests import Moment
from drharness.kernel import validate
from drharness.procedures.run import Outcome, Run
from drharness.procedures.step import DEFAULTS, Options, Step


@dataclass(frozen=True, repr=False)
class Procedure:
    """A sequence of steps towards making region ``to`` the active one.

    :ivar variations: how it differs from the shipped one, as code
    :ivar interruption: the moment at which the controller that carries it out dies, if it does
    """

    name: str
    to: str
    steps: tuple[Step, ...]
    variations: tuple[str, ...] = ()
    options: Options = DEFAULTS
    interruption: Moment | None = None

    def __repr__(self) -> str:
        dies = f".interrupted({self.interruption.code})" if self.interruption else ""
        varied = "".join(self.variations)
        return f"procedures.{self.name}(to={self.to!r}{self.options.code}){varied}{dies}"

    def _index(self, step: str) -> int:
        ids = [s.id for s in self.steps]
        return ids.index(validate.choice("step", step, ids))

    def _varied(self, steps: Sequence[Step], code: str) -> Procedure:
        return dataclasses.replace(
            self, steps=tuple(steps), variations=(*self.variations, f".{code}")
        )

    def without(self, step: str) -> Procedure:
        """The same without one step.

        :raises UsageError: no such step
        """
        index = self._index(step)
        return self._varied(self.steps[:index] + self.steps[index + 1 :], f"without({step!r})")

    def swapped(self, one: str, other: str) -> Procedure:
        """The same with two steps in each other's place.

        :raises UsageError: no such step
        """
        a, b = self._index(one), self._index(other)
        steps = list(self.steps)
        steps[a], steps[b] = steps[b], steps[a]
        return self._varied(steps, f"swapped({one!r}, {other!r})")

    def repeated(self, step: str) -> Procedure:
        """The same with one step done twice in a row.

        :raises UsageError: no such step
        """
        index = self._index(step)
        return self._varied((*self.steps[: index + 1], *self.steps[index:]), f"repeated({step!r})")

    def delayed(self, step: str, seconds: float) -> Procedure:
        """The same with a pause before one step.

        :raises UsageError: no such step, or no number of seconds
        """
        index = self._index(step)
        pause = validate.number("seconds", seconds, low=0, high=86400)
        late = dataclasses.replace(self.steps[index], delay=pause)
        steps = (*self.steps[:index], late, *self.steps[index + 1 :])
        return self._varied(steps, f"delayed({step!r}, {seconds!r})")

    def interrupted(
        self, *, after: str = "", within: str = "", call: int = 1, sent: bool = True
    ) -> Procedure:
        """The same, whose controller is killed at a moment: nothing it knew is left.

        :param after: once this step has ended; or
        :param within: while this step is under way, at its request number ``call`` to a VM
        :param sent: that request has left and its answer is not read; false: it does not leave
        :raises UsageError: no such step, or not one of ``after`` and ``within``
        """
        moment = Moment(after, within, call, sent)
        self._index(moment.step)
        return dataclasses.replace(self, interruption=moment)

    def uninterrupted(self) -> Procedure:
        """The same, whose controller lives on."""
        return dataclasses.replace(self, interruption=None)

    def begin(self, deployment: Deployment) -> Run:
        """A run that has done nothing yet; the caller advances it step by step."""
        return Run(self, deployment)

    def carry_out(self, deployment: Deployment) -> Outcome:
        """Run all steps; the first that fails or refuses ends the run. Can be run again."""
        run = self.begin(deployment)
        while not run.done:
            run.next()
        return run.outcome()
