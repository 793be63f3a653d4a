"""The agent: the init of a VM, with its services, its components, and the controller's requests.

Operations (all answer): ``boot`` {hold}, ``run``, ``call``, ``start`` {name}, ``stop`` {name,
signal}, ``signal`` {pid, signal}, ``freeze``, ``thaw``, ``processes``, ``kept``, ``states``,
``cut`` {on}, ``filter`` {name, source, port, how, answers}, ``unfilter`` {name}, ``attach`` (with
descriptors). Components ask over a channel of their own: ``spawn`` {name, factory, argv}, ``part``
{name}; they are told ``exit``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from drharness.engines.agent import attach, channel, processes, work
from drharness.engines.agent.channel import Channel, ChannelClosed
from drharness.engines.agent.environment import run_component
from drharness.engines.agent.filters import Filters
from drharness.engines.agent.init import Init, Request
from drharness.engines.agent.process import Process, open_log, write_log
from drharness.engines.agent.services import LOG_DIR, Service, Services
from drharness.engines.agent.stalls import StallWatch

TOOLS = "/run/drharness/bin"
PATH = f"{TOOLS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "XTABLES_LOCKFILE": "/run/xtables.lock",
}


@dataclass(frozen=True)
class Identity:
    """Who this VM is, and the timing its components keep."""

    vm: str
    region: str
    address: str
    seed: str
    profile: Mapping[str, object]


class Agent(Init):
    """PID 1 of a VM.

    :param become: takes on a user's identity in a child before it runs a program
    :param cut_outgoing: makes the VM's interface discard what it sends, or stop doing so
    """

    def __init__(
        self,
        identity: Identity,
        become: Callable[[str], None],
        cut_outgoing: Callable[[bool], None],
    ) -> None:
        super().__init__()
        self.identity = identity
        self._become, self._cut_outgoing = become, cut_outgoing
        self.environment = {**_ENVIRONMENT, "HOSTNAME": identity.vm}
        os.environ.clear()  # a function called here runs its programs as a command would
        os.environ.update(self.environment)
        self._log = open_log(f"{LOG_DIR}/agent.log")
        self._filters = Filters()
        StallWatch(identity.vm, self.after).start()
        self._spawned: dict[str, Process] = {}
        self._parents: dict[str, Channel] = {}
        self._parts: dict[Channel, list[Process]] = {}
        self.services = Services(self, self.environment, become, self._start_component)
        self.operations = self._handlers()

    def _handlers(self) -> dict[str, Callable[[Request], None]]:
        return {
            "boot": self._boot,
            "run": lambda r: work.run_command(self, r, self.environment, self._become),
            "attach": lambda r: attach.attach_command(self, r, self.environment, self._become),
            "call": lambda r: work.call_function(self, r, self._log),
            "start": self._start,
            "stop": lambda r: r.reply(self.services.stop(r["name"], r.get("signal", 9))),
            "signal": self._signal,
            "freeze": lambda r: self._signal_all(r, signal.SIGSTOP),
            "thaw": lambda r: self._signal_all(r, signal.SIGCONT),
            "processes": self._processes,
            "states": lambda r: r.reply(processes.states()),
            "kept": self._kept,
            "cut": self._cut,
            "filter": self._filter,
            "unfilter": lambda r: r.reply(self._filters.remove(r["name"])),
            "spawn": self._spawn,
            "part": self._part,
        }

    def _boot(self, request: Request) -> None:
        def done(error: str | None) -> None:
            if error:
                request.fail("BootFailed", error)
            else:
                request.reply(True)

        self.services.boot(hold=bool(request.get("hold")), done=done)

    def _start(self, request: Request) -> None:
        fields = {k: v for k, v in request.message.items() if k not in ("op", "id", "timeout")}
        service = msgspec.convert(fields, Service)
        request.reply(self.services.start(service).pid)

    def _signal(self, request: Request) -> None:
        os.kill(request["pid"], request["signal"])
        request.reply(True)

    def _signal_all(self, request: Request, number: int) -> None:
        try:
            os.kill(-1, number)  # everything in this pid namespace but this process
        except ProcessLookupError:
            request.reply(False)
            return
        request.reply(True)

    def _processes(self, request: Request) -> None:
        request.reply({str(child.pid): child.name for child in self.children.values()})

    def _kept(self, request: Request) -> None:
        """Process ids of what comes again after a boot: listed services, and components."""
        running, listed = self.services.running, self.services.listed
        services = {name: it.process.pid for name, it in running.items() if name in listed}
        request.reply(services | {name: child.pid for name, child in self._spawned.items()})

    def _cut(self, request: Request) -> None:
        self._cut_outgoing(bool(request["on"]))
        request.reply(True)

    def _filter(self, request: Request) -> None:
        name, source, port = (request[key] for key in ("name", "source", "port"))
        self._filters.add(name, source, port=port, how=request["how"], answers=request["answers"])
        request.reply(True)

    def _start_component(
        self, name: str, factory: str, argv: list[str], ended: Callable[[int], None]
    ) -> Process:
        ours, theirs = channel.pair()
        link = Channel(ours)
        self.serve(link, lambda: self._end_parts(link))
        log = open_log(f"{LOG_DIR}/{name}.log")

        def body() -> int:
            run_component(self.identity, name, work.load(factory), argv, Channel(theirs))
            return 0

        def exited(status: int) -> None:
            write_log(self._log, f"{name} ended with status {status}")
            ended(status)

        child = self.fork(name, body, exited, stdout=log, stderr=log)
        os.close(log)
        theirs.close()
        return child

    def _spawn(self, request: Request) -> None:
        """Start a component whose end is told to the asking component (its logical parent).

        One that runs already (its parent was started again) gets the asker as its new parent.
        """
        name = request["name"]
        present = self._spawned.get(name)
        if present is not None:
            self._parents[name] = request.channel
            request.reply(present.pid)
            return

        def ended(status: int) -> None:
            child = self._spawned.pop(name)
            try:
                self._parents[name].send({"event": "exit", "pid": child.pid, "status": status})
            except ChannelClosed:
                write_log(self._log, f"{name}: its parent has ended before it")

        self._parents[name] = request.channel
        self._spawned[name] = self._start_component(
            name, request["factory"], request["argv"], ended
        )
        request.reply(self._spawned[name].pid)

    def _part(self, request: Request) -> None:
        """Start a part that waits for a component; it ends with the asking one."""
        asker, mine = request.channel, self._parts.setdefault(request.channel, [])

        def ended(status: int) -> None:
            if child in mine:
                mine.remove(child)
                asker.send({"event": "exit", "pid": child.pid, "status": status})

        child = self.services.start_part(request["name"], ended)
        mine.append(child)
        request.reply(child.pid)

    def _end_parts(self, asker: Channel) -> None:
        """A component has ended: so do the parts that it has started."""
        mine = self._parts.pop(asker, [])
        for child in tuple(mine):
            mine.remove(child)
            os.kill(child.pid, signal.SIGKILL)
