"""A VM's services: what starts at power-on, in order, and what is started again when it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from drharness.engines.agent import work
from drharness.engines.agent.init import Init
from drharness.engines.agent.process import Process, open_log
from drharness.errors import UsageError

BOOT_FILE = "/etc/drharness/boot.json"
LOG_DIR = "/var/log/drharness"


class Service(msgspec.Struct, forbid_unknown_fields=True):
    """One line of the boot list; exactly one of ``run``, ``call``, ``program`` and ``component``.

    :ivar run: a command that must end with status 0 before the next line is started
    :ivar call: ``"module:function"`` with ``kwargs``, likewise
    :ivar program: a command that stays; ``user`` as whom, ``env`` added to its environment
    :ivar component: ``"module:callable"``, a component's factory, with ``argv``
    :ivar image: of ``program``: it runs in a container of that image, which gets the VM's ``files``
        (paths) as they are then; an empty command is the image's own
    :ivar restart_s: start it again that long after it ended; None: leave it
    :ivar waits: it is started when a component asks for it, not at boot
    """

    name: str
    run: list[str] | None = None
    call: str | None = None
    kwargs: dict[str, Any] = {}
    program: list[str] | None = None
    image: str | None = None
    files: list[str] = []
    user: str | None = None
    env: dict[str, str] = {}
    component: str | None = None
    argv: list[str] = []
    restart_s: float | None = None
    waits: bool = False

    @property
    def prepares(self) -> bool:
        """Whether it only prepares the VM and ends (done also when services are held)."""
        return self.run is not None or self.call is not None


def write_boot_list(services: list[Service]) -> str:
    """The text of :data:`BOOT_FILE`."""
    return msgspec.json.format(msgspec.json.encode(services)).decode() + "\n"


def _last_words(name: str) -> str:
    with open(f"{LOG_DIR}/{name}.log", errors="replace") as log:
        return log.read()[-500:].strip() or "its log is empty"


@dataclass
class Running:
    """A service that has been started."""

    service: Service
    process: Process


class Services:
    """Boots the list and keeps it running; one per agent."""

    def __init__(
        self,
        init: Init,
        environment: Mapping[str, str],
        become: Callable[[str], None],
        start_component: Callable[[str, str, list[str], Callable[[int], None]], Process],
    ) -> None:
        self._init = init
        self._environment = environment
        self._become = become
        self._start_component = start_component
        self.start_guest: Callable[[Service, Callable[[int], None]], Process] | None = None
        self._waiting: dict[str, Service] = {}
        self.running: dict[str, Running] = {}
        self.listed: set[str] = set()  # what every boot starts; the rest was asked for and is gone

    def boot(self, *, hold: bool, done: Callable[[str | None], None]) -> None:
        """Go through the boot list; ``done`` gets None, or what went wrong.

        :param hold: prepare the VM (firewall, files) but start nothing that stays
        """
        try:
            with open(BOOT_FILE, "rb") as handle:
                services = msgspec.json.decode(handle.read(), type=list[Service])
        except FileNotFoundError:
            services = []
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            done(f"{BOOT_FILE}: {error}")
            return
        self._waiting = {s.name: s for s in services if s.waits}
        self.listed = {s.name for s in services if not s.waits}
        self._next([s for s in services if s.prepares or not (hold or s.waits)], done)

    def _next(self, services: list[Service], done: Callable[[str | None], None]) -> None:
        if not services:
            done(None)
            return
        service, *rest = services
        if service.prepares:
            self._prepare(service, lambda error: done(error) if error else self._next(rest, done))
        else:
            if service.name not in self.running:
                self.start(service)
            self._next(rest, done)

    def _prepare(self, service: Service, then: Callable[[str | None], None]) -> None:
        log = open_log(f"{LOG_DIR}/{service.name}.log")

        def body() -> int:
            if service.run is not None:
                return work.execute(service.run, self._environment, None, self._become)
            work.load(service.call or "")(**service.kwargs)
            return 0

        def finished(status: int) -> None:
            text = f"{service.name} ended with status {status}"
            then(f"{text}: {_last_words(service.name)}" if status else None)

        self._init.fork(service.name, body, finished, stdout=log, stderr=log)
        os.close(log)

    def start(self, service: Service) -> Process:
        """Start a service that stays."""
        log = open_log(f"{LOG_DIR}/{service.name}.log")

        def ended(status: int) -> None:
            if self.running.get(service.name) is running:
                del self.running[service.name]
                if service.restart_s is not None:
                    self._init.after(service.restart_s, lambda: self._restart(service))

        if service.component is not None:
            child = self._start_component(service.name, service.component, service.argv, ended)
        elif service.image is not None:
            if self.start_guest is None:
                raise UsageError(f"{service.name}: this engine has no containers.")
            child = self.start_guest(service, ended)
        else:

            def body() -> int:
                argv, env = service.program or [], {**self._environment, **service.env}
                return work.execute(argv, env, service.user, self._become)

            child = self._init.fork(service.name, body, ended, stdout=log, stderr=log)
        os.close(log)
        running = self.running[service.name] = Running(service, child)
        return child

    def start_part(self, name: str, ended: Callable[[int], None]) -> Process:
        """Start a part that waits for being asked for; it is not started again.

        :raises LookupError: there is none of that name
        """
        service = self._waiting.get(name)
        if service is None or self.start_guest is None:
            known = ", ".join(self._waiting) or "none"
            raise LookupError(f"no part {name!r} that waits for a component; known: {known}")
        return self.start_guest(service, ended)

    def _restart(self, service: Service) -> None:
        if service.name not in self.running:
            self.start(service)

    def stop(self, name: str, number: int = signal.SIGKILL) -> bool:
        """End a service for good (it is not started again). False: it did not run."""
        running = self.running.pop(name, None)
        if running is None or not self._init.alive(running.process):
            return False
        os.kill(running.process.pid, number)
        return True
