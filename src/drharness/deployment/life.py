"""A deployment's way up and its way down, apart; :func:`deploy` does both around a block."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from drharness.deployment import bring_up, census, evidence, trouble
from drharness.deployment.deployment import Deployment
from drharness.deployment.engines import engine_named, portable
from drharness.engines.protocol import Machines
from drharness.errors import DrHarnessError, StartupFailed, UsageError
from drharness.history import store
from drharness.history.recorder import Listener, Recorder
from drharness.topology import Topology


class Keeping(Protocol):
    """A process that can go on with a deployment; see :mod:`drharness.deployment.custody`."""

    taken: bool

    def fork(self, spec: Any, fds: tuple[int, ...]) -> None:
        """Have a guard forked that watches that process."""


class Life:
    """One deployment from its run's directory to its end; each half may be done by any thread.

    :ivar run: the directory of its run; made at once, so that runs are in the order of their lives
    """

    def __init__(
        self,
        topology: Topology | None = None,
        *,
        engine: str = "auto",
        evidence_dir: Path | str | None = None,
        listeners: Sequence[Listener] = (),
        custody: Keeping | None = None,
    ) -> None:
        """Take what :func:`deploy` takes; nothing is started yet.

        :raises UsageError: no topology, no such engine, or a directory that cannot be written
        """
        self.topology = Topology.guide() if topology is None else topology
        if not isinstance(self.topology, Topology):
            raise UsageError(f"topology: expected a Topology, got {topology!r}.")
        self._engine = engine_named(engine) if custody is None else portable(engine, custody.fork)
        self._custody = custody
        self.run = evidence.new_run(Path(evidence_dir) if evidence_dir else None)
        self._file = store.AppendFile(self.run / store.RECORD)
        self._recorder = Recorder(self._file, *listeners)
        self._machines: Machines | None = None
        self._ending = threading.Lock()
        self._over = False

    def up(self) -> Deployment:
        """Bring it up: once, and :meth:`down` is due even if this raises.

        :raises Unsupported: this host cannot run the engine; says why and the way out
        :raises StartupFailed: it did not come up; ``evidence`` of any error is the run's directory
        """
        active = self.topology.regions[0]
        try:
            self._machines = bring_up.start(
                self.topology, self._engine, self.run, active, self._recorder
            )
            deployment = Deployment(self.topology, self._machines, self._recorder, self.run, active)
            _come_up(deployment)
        except DrHarnessError as error:
            error.evidence = str(self.run)
            raise
        return deployment

    def down(self) -> None:
        """End it; nothing is left but its evidence. A second time does nothing.

        One that was given away goes on; only what this process has of it ends.

        :raises EngineLost: something still runs
        """
        with self._ending:
            if self._over:
                return
            self._over = True
            try:
                if self._machines is not None:
                    self._machines.down()  # nothing to do for those that were given away
            finally:
                self._file.close()
                if self._custody is None or not self._custody.taken:
                    evidence.close_run(self.run)

    def forget(self) -> None:
        """Remove the evidence of a life that nobody saw; it is down."""
        shutil.rmtree(self.run)


@contextmanager
def deploy(
    topology: Topology | None = None,
    *,
    engine: str = "auto",
    evidence_dir: Path | str | None = None,
    listeners: Sequence[Listener] = (),
    custody: Keeping | None = None,
) -> Iterator[Deployment]:
    """Bring a deployment up, and take it down at the end; its evidence stays.

    :param topology: default :meth:`Topology.guide`
    :param engine: ``local``, or ``auto`` for the first engine this host can run
    :param evidence_dir: where runs are kept; default ``.drharness``
    :param listeners: called with every event the controller records
    :param custody: a process that may be given the deployment: then it stays at the end
    :raises Unsupported: this host cannot run the engine; says why and the way out
    :raises StartupFailed: it did not come up, and nothing of it is left
    """
    life = Life(
        topology, engine=engine, evidence_dir=evidence_dir, listeners=listeners, custody=custody
    )
    try:
        yield life.up()
    finally:
        life.down()


def _come_up(deployment: Deployment) -> None:
    try:
        trouble.check_replacements(deployment.operations)
        bring_up.open_for_clients(deployment.operations)
        census.take(deployment.operations, "start", briefly=True)
    except UsageError:
        raise
    except DrHarnessError as error:
        logs = trouble.logs_about(deployment.evidence, str(error))
        raise StartupFailed(f"the deployment did not come up: {error}\n{logs}") from error
    deployment.operations.on_boot = partial(census.fence, deployment.operations)
