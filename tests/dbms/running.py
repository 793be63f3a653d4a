"""Real servers as children of the test: each in its own directory, on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from drharness.dbms import server
from drharness.dbms.as_postgres import launcher
from drharness.dbms.settings import Server
from drharness.dbms.store import PgStore
from drharness.errors import WaitTimeout
from drharness.kernel import proc, waiting
from drharness.topology import Topology

T = TypeVar("T")
LOOPBACK = ("127.0.0.0/8",)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    return asyncio.run(work)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether a process runs; one that its new parent has not reaped yet does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def server_of(
    region: str, home: Path, *, port: int, peer_port: int, synchronous: bool = False
) -> Server:
    """A region's settings, moved to the loopback interface."""
    return replace(
        Server.of(Topology.guide(replication="sync" if synchronous else "async"), region),
        peer_address="127.0.0.1",
        peer_port=peer_port,
        clients=LOOPBACK,
        replicas=LOOPBACK,
        listen="127.0.0.1",
        port=port,
        socket_directory=str(home),
    )


class Running:
    """A provisioned server and its process."""

    def __init__(self, settings: Server, home: Path) -> None:
        self.settings, self.home = settings, str(home)
        self.log = home / "postgres.log"
        self.process: Any = None

    def start(self) -> None:
        """Start it as user postgres, to be gone with us whatever happens."""
        server.clean_stale_locks(home=self.home)
        argv = launcher(server.command(home=self.home), with_parent=True)
        with self.log.open("ab") as log:
            self.process = proc.popen(argv, env={"PATH": os.environ["PATH"]}, stderr=log.fileno())

    def accepting(self) -> dict[str, Any]:
        """Wait until it accepts sessions."""
        try:
            return run(server.wait_accepting(home=self.home, timeout=20))
        except WaitTimeout as error:
            error.add_note(self.log.read_text()[-2000:])
            raise

    def processes(self) -> list[int]:
        """The postmaster and its children."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        return [pid, *map(int, children.read_text().split())] if children.exists() else []

    def signal_all(self, number: int) -> None:
        """A signal for each of its processes (each has a session of its own)."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End it as a power-off would, and wait until all of it has gone."""
        if self.process is None:
            return
        pids = self.processes() if self.process.poll() is None else []
        self.signal_all(signal.SIGKILL)
        self.process.wait(20)
        self.process = None
        waiting.wait_until(
            lambda: not any(alive(pid) for pid in pids),
            f"processes of {self.home} gone",
            timeout=20,
        )

    def stop(self) -> None:
        """Shut it down in good order."""
        run(server.stop(home=self.home))
        self.process.wait(20)
        self.process = None

    def store(self, **options: str) -> PgStore:
        """A store on it; ``response_timeout="1"`` becomes the setting ``response-timeout``."""
        given = {name.replace("_", "-"): value for name, value in options.items()}
        address = {"dbserver": "127.0.0.1", "dbport": str(self.settings.port)}
        return PgStore({**address, "reconnect-timeout": "5", **given})


class Pair:
    """A primary (region1) and its standby (region2)."""

    def __init__(self, primary: Running, standby: Running) -> None:
        self.primary, self.standby = primary, standby

    def start(self) -> None:
        """Start both and wait until the standby streams."""
        self.primary.start()
        self.primary.accepting()
        run(server.create_slot(name="region2", home=self.primary.home))
        self.standby.start()
        self.standby.accepting()
        self.streaming()

    def streaming(self) -> dict[str, Any]:
        """Wait until the standby streams."""
        return run(server.wait_streaming(name="region2", home=self.primary.home, timeout=20))
