"""Deployments one after the other, the next brought up while the current one is used.

Every lease is of a fresh deployment: what a test did to one is in no other. A lease waits next to
nothing, because the next deployment is brought up, and the last one taken down, in the background.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from drharness.deployment.deployment import Deployment
from drharness.deployment.engines import engine_named
from drharness.deployment.job import Job
from drharness.deployment.life import Keeping, Life
from drharness.deployment.remains import Audit, Remains
from drharness.errors import DrHarnessError, EngineLost, UsageError
from drharness.kernel import clock, validate
from drharness.topology import Topology

_UP_S, _DOWN_S = 120.0, 150.0  # far above the deadlines of the steps, which say what they wait for
_ENDING = 2  # deployments that may be on their way down at once
_MOST = 16


class Staged:
    """A deployment on its way up, or up and not used yet."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self._deployment: Deployment | None = None
        self._since = clock.now()
        self.job = Job(f"the start of run {life.run.name}", self._up)

    def _up(self) -> None:
        try:
            self._deployment = self.life.up()
        except BaseException:
            self.life.down()
            raise
        self._since = clock.now()

    @property
    def waits(self) -> bool:
        """Whether it is up and all of it runs."""
        return self._deployment is not None and not self._deployment.operations.lost()

    def ready(self) -> Deployment:
        """Wait until it is up.

        :raises DrHarnessError: it did not come up, or something of it has ended since
        """
        waited = self.job.over
        self.job.result(_UP_S)
        assert self._deployment is not None  # else the job has raised
        self._deployment.operations.check_engine()
        if waited:
            idle = clock.now() - self._since
            self._deployment.recorder.record("note", text=f"up {idle:.1f} s before its first use")
        return self._deployment


class Pool:
    """Fresh deployments of one topology, one lease after the other or several at once.

    :ivar remains: what the last audit found; one follows each take-down
    """

    def __init__(
        self,
        topology: Topology | None = None,
        *,
        engine: str = "auto",
        evidence_dir: Path | str | None = None,
        staged: int = 1,
    ) -> None:
        """Nothing is started before the first lease.

        :param staged: how many deployments come up, or wait, while one is leased; 0: each lease
            brings up its own
        :raises UsageError: not a topology, no such engine, or not such a number
        """
        self.topology = Topology.guide() if topology is None else topology
        if not isinstance(self.topology, Topology):
            raise UsageError(f"topology: expected a Topology, got {topology!r}.")
        self.remains = Remains()
        self._engine, self._evidence = engine, evidence_dir
        self._wanted = _count(staged)
        self._lock = threading.RLock()
        self._auditing = threading.Lock()
        self._audit = Audit(engine_named(engine))
        self._staged: deque[Staged] = deque()
        self._leased: list[Staged] = []
        self._ending: deque[Job] = deque()
        self._trouble: deque[DrHarnessError] = deque()
        self._closed = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """How many deployments are up, run, and are used by nobody yet."""
        with self._lock:
            return sum(one.waits for one in self._staged)

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way down."""
        with self._lock:
            return all(job.over for job in self._ending)

    def settle(self) -> None:
        """Wait until nothing is on its way down; the next lease tells what went wrong there."""
        with self._lock:
            ending = tuple(self._ending)
        for job in ending:
            job.settle(_DOWN_S)

    def stage(self, count: int) -> None:
        """Let so many wait from now on; those too many end, and their evidence is removed.

        More are brought up with the next lease.
        """
        with self._lock:
            self._wanted = _count(count)
            while len(self._staged) > self._wanted:
                self._end(self._staged.pop(), used=False)

    @contextmanager
    def lease(
        self, *, staged: int | None = None, custody: Keeping | None = None
    ) -> Iterator[Deployment]:
        """A fresh deployment for a block; while the block runs, the next one comes up.

        :param staged: from now on another number of them, as :meth:`stage` takes it
        :param custody: a process that may be given the deployment, as :func:`deploy` takes it: so
            none of those that wait
        :raises DrHarnessError: it did not come up (``evidence`` is the directory of its run), or
            one before it was not taken down; nothing is tried again but by another lease
        :raises UsageError: the pool was closed
        """
        with self._lock:
            one = self._take(custody)
            self.stage(self._wanted if staged is None else staged)
        try:
            deployment = one.ready()
            self._fill()
            yield deployment
        finally:
            with self._lock:
                if one in self._leased:  # else the pool was closed meanwhile
                    self._leased.remove(one)
                    self._end(one, used=True)

    def close(self) -> None:
        """End all that is leased, staged or on its way down; a second time does nothing.

        :raises DrHarnessError: something was not taken down or is left; all the rest is
        """
        with self._lock:
            self._closed = True
            for one in self._staged:
                self._end(one, used=False)
            for one in self._leased:
                self._end(one, used=True)
            self._staged.clear()
            self._leased.clear()
            ending = tuple(self._ending)
        for job in ending:
            job.settle(_DOWN_S)
        self._raise_trouble()

    # -- up --------------------------------------------------------------------------------

    def _take(self, custody: Keeping | None) -> Staged:
        if self._closed:
            raise UsageError("pool: it is closed; make another one.")
        self._raise_trouble()
        waits = custody is None and self._staged
        one = self._staged.popleft() if waits else self._begin(custody)
        self._leased.append(one)
        return one

    def _fill(self) -> None:
        with self._lock:
            while len(self._staged) < self._wanted and not self._closed:
                try:
                    self._staged.append(self._begin())
                except DrHarnessError as error:  # not this lease's: the next one tells it
                    self._trouble.append(error)
                    return

    def _begin(self, custody: Keeping | None = None) -> Staged:
        self._reap(_ENDING - 1)
        engine, base = self._engine, self._evidence
        return Staged(Life(self.topology, engine=engine, evidence_dir=base, custody=custody))

    # -- down ------------------------------------------------------------------------------

    def _end(self, one: Staged, *, used: bool) -> None:
        name = one.life.run.name
        self._ending.append(Job(f"the end of run {name}", lambda: self._down(one, used=used)))

    def _reap(self, most: int) -> None:
        """Forget what has ended; wait until no more than ``most`` are on their way down."""
        while self._ending and (self._ending[0].over or len(self._ending) > most):
            self._ending[0].settle(_DOWN_S)
            self._ending.popleft()

    def _down(self, one: Staged, *, used: bool) -> None:
        """In the background: take it down and look what is left."""
        try:
            try:
                one.job.settle(_UP_S)
            finally:
                one.life.down()
            with self._auditing:
                found = self.remains = self._audit.after(one.life.run)
            if found.left:
                raise EngineLost(f"run {one.life.run.name} was taken down and left {found}")
            if not used:
                one.life.forget()
        except DrHarnessError as error:
            self._trouble.append(error)
        except OSError as error:
            self._trouble.append(EngineLost(f"the end of run {one.life.run.name}: {error}"))

    def _raise_trouble(self) -> None:
        """Tell once what went wrong in the background."""
        first = self._trouble.popleft() if self._trouble else None
        if first is not None:
            while self._trouble:
                first.add_note(str(self._trouble.popleft()))
            raise first


def _count(staged: int) -> int:
    return int(validate.number("staged", staged, low=0, high=_MOST))
