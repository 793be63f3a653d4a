"""The requests that a step sends to VMs, counted one by one: where something can happen within it.

A controller may die, or a region come back, before a request leaves or after it left and before
its answer was read. Only requests of a procedure's step count, not those of traffic or judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from drharness.engines.client import AgentMachine
from drharness.engines.protocol import Machine
from drharness.errors import UsageError


@dataclass(frozen=True)
class Moment:
    """An instant of a procedure's run.

    :ivar after: id of a step: once it has ended and before the next one begins; or
    :ivar within: id of a step: at its request number ``call``, counted from 1
    :ivar sent: the request has left and its answer is not read; false: it does not leave
    """

    after: str = ""
    within: str = ""
    call: int = 1
    sent: bool = True

    def __post_init__(self) -> None:
        if bool(self.after) == bool(self.within):
            raise UsageError(
                f"after, within: expected the id of a step for one of them, got "
                f"after={self.after!r}, within={self.within!r}."
            )
        if not isinstance(self.call, int) or self.call < 1:
            raise UsageError(f"call: expected a number from 1 on, got {self.call!r}.")

    @property
    def step(self) -> str:
        """Id of the step it names."""
        return self.after or self.within

    @property
    def code(self) -> str:
        """As keyword arguments."""
        if self.after:
            return f"after={self.after!r}"
        return f"within={self.within!r}, call={self.call}, sent={self.sent}"

    def __str__(self) -> str:
        if self.after:
            return f"after step {self.after}"
        return f"within step {self.within}, request {self.call} {'' if self.sent else 'not '}sent"


class Requests:
    """Counts, and lets things happen at moments that were named before.

    :ivar step: id of the step under way, empty between steps
    :ivar plan: number of the procedure's run
    :ivar counts: how many requests each step of the last run has sent, by id
    """

    def __init__(self) -> None:
        self.step = ""
        self.plan = 0
        self.counts: dict[str, int] = {}
        self._planned: list[tuple[Moment, Callable[[], None]]] = []
        self._held = False

    def at(self, moment: Moment, action: Callable[[], None]) -> None:
        """Let something happen once, in the next run of a procedure that comes to that moment."""
        self._planned.append((moment, action))

    def forget(self, action: Callable[[], None]) -> None:
        """Not that one any more."""
        self._planned = [entry for entry in self._planned if entry[1] != action]

    def begin(self, plan: int) -> None:
        """A run begins."""
        self.plan, self.counts = plan, {}

    def end(self) -> list[Moment]:
        """The run is over; the moments that it never came to, forgotten from now on."""
        missed = [moment for moment, _ in self._planned]
        self._planned.clear()
        self.step = ""
        return missed

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Inside it, requests are the step's."""
        self.step = step
        self.counts[step] = 0
        try:
            yield
        finally:
            self.step = ""

    def ended(self, step: str) -> None:
        """A step has ended."""
        self._come_to(Moment(after=step))

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around one request."""
        if not self.step or self._held:
            yield
            return
        step = self.step
        self.counts[step] += 1
        number = self.counts[step]
        self._come_to(Moment(within=step, call=number, sent=False))
        yield
        self._come_to(Moment(within=step, call=number, sent=True))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside it, requests are nobody's: something else happens while a step is under way."""
        held, self._held = self._held, True
        try:
            yield
        finally:
            self._held = held

    def _come_to(self, moment: Moment) -> None:
        due = [entry for entry in self._planned if entry[0] == moment]
        self._planned = [entry for entry in self._planned if entry[0] != moment]
        for _, action in due:
            with self.aside():
                action()

    def watch(self, machine: Machine) -> Machine:
        """The machine, with its requests counted while a step is under way."""
        return _Watched(machine, self) if self.step and not self._held else machine


class _Watched(AgentMachine):
    """A machine whose requests are counted; calls and commands are requests, too."""

    def __init__(self, machine: Machine, requests: Requests) -> None:
        super().__init__(machine.id)
        self._machine = machine
        self._requests = requests

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._machine.is_on

    def submit(self, op: str, *, timeout: float, **fields: Any) -> Future[Any]:
        """Send the agent a request."""
        with self._requests.one():
            return self._machine.submit(op, timeout=timeout, **fields)
