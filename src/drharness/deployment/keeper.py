"""The keeper: a process that owns a deployment and outlives the command that began it.

It is the deployment's controller: the engine's guard watches it, so nothing is left however it
ends. It ends when it is told to, by SIGTERM, when its lifetime is over, and when its record (see
``register``) has gone, because then nobody could reach it any more. How the process begins and ends
is in ``keeper_process``.

Requests come over a unix socket, one a connection, as newline-delimited JSON with descriptors:

``status``   see ``status.look``
``attach``   vm, argv, user, env, tty; stdin, stdout, stderr, a lifeline: the command's exit status
``call``     function, kwargs; stdout, stderr: what the function returns
``down``     answered once all has gone

A function called gets the deployment and both streams before its arguments. Calls are made one
after the other, in the main thread; one whose asker goes away is interrupted there.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from drharness.dbms import binaries, settings
from drharness.deployment import channels, register, status
from drharness.deployment.deployment import Deployment
from drharness.engines.agent import agent, work
from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.errors import DrHarnessError, EngineLost
from drharness.kernel import clock

_LOOK_S = 1.0  # between two looks at whether to go on
_POLL_MS = 50
_AGAIN_S = 15.0  # to stop what runs may take long; an interruption that went unnoticed is repeated


class Abandoned(BaseException):
    """Whoever asked for the call under way has gone."""


@dataclass
class _Job:
    """A call to be made in the main thread."""

    run: Callable[[], Any]
    answer: Future[Any] = field(default_factory=Future)


class Keeper:
    """Serves the requests about one deployment until it is to end."""

    def __init__(self, deployment: Deployment, claim: register.Claim, lifetime: float) -> None:
        self.deployment = deployment
        self._claim = claim
        self._deadline = clock.Deadline(lifetime)
        self._jobs: queue.Queue[_Job] = queue.Queue()
        self._running: _Job | None = None
        self._leaving: list[Channel] = []
        self._operations: Mapping[str, Callable[[Message, Channel], Any]] = {
            "status": lambda _message, _channel: status.look(self.deployment),
            "attach": self._attach,
            "call": self._call,
        }
        signal.signal(signal.SIGUSR1, self._on_abandoned)

    def open(self) -> None:
        """Take requests from now on."""
        listening = channels.listen(self._claim.socket)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        self._claim.change(state=register.UP)

    def serve(self) -> str:
        """Make the calls until the end; returns why it came, if no signal brought it."""
        while True:
            if self._deadline.passed:
                return "its lifetime is over"
            if not self._claim.holds:
                return f"its record in {self._claim.socket.parent} has gone: nobody could reach it"
            try:
                job = self._jobs.get(timeout=min(_LOOK_S, self._deadline.left))
            except queue.Empty:
                continue
            self._make(job)

    @property
    def was_told(self) -> bool:
        """Whether somebody has asked for the end."""
        return bool(self._leaving)

    def say_goodbye(self, error: Exception | None) -> None:
        """Answer those who asked for the end, now that all has gone, or could not be ended."""
        value = {"value": {"evidence": str(self.deployment.evidence)}}
        for channel in self._leaving:
            channels.send(channel, value if error is None else {"error": channels.told(error)})

    # -- the main thread -------------------------------------------------------------------

    def _make(self, job: _Job) -> None:
        if not job.answer.set_running_or_notify_cancel():
            return
        try:
            self._running = job
            try:
                value = job.run()
            finally:
                self._running = None
            job.answer.set_result(value)
        except Abandoned:
            self._running = None
            log("the call was abandoned")
            job.answer.set_exception(DrHarnessError("who asked for it has gone"))
        except Exception as error:  # noqa: BLE001 - told to the asker; the keeper goes on
            log(f"the call failed: {type(error).__name__}: {error}")
            job.answer.set_exception(error)

    def _on_abandoned(self, number: int, frame: FrameType | None) -> None:
        if self._running is not None:
            raise Abandoned

    # -- the other threads -----------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        while True:
            sock, _ = listening.accept()
            threading.Thread(target=self._converse, args=(Channel(sock),), daemon=True).start()

    def _converse(self, channel: Channel) -> None:
        try:
            channels.check_peer(channel.socket)
            message = channels.receive(channel)
            if message["op"] == "down":
                self._leaving.append(channel)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            value = self._operations[message["op"]](message, channel)
            channels.send(channel, {"value": value})
        except ChannelClosed:
            pass  # it has hung up, or has asked nothing
        except Exception as error:  # noqa: BLE001 - told to the asker; the keeper goes on
            if not isinstance(error, DrHarnessError):
                traceback.print_exc()
            channels.send(channel, {"error": channels.told(error)})
        channel.close()

    def _attach(self, message: Message, channel: Channel) -> int:
        """Hand the asker's descriptors on to the VM."""
        fds, vm = tuple(message["fds"]), message["vm"]
        try:
            machine = self.deployment.vm(vm)
            if not machine.is_on:
                raise EngineLost(f"{vm} has no power: `drharness status` shows which VMs have.")
            fields = {k: message[k] for k in ("argv", "user", "tty")}
            fields["env"] = {**_environment(), **message["env"]}
            log(f"attach {vm}: {message['argv']}")
            future = machine.submit("attach", timeout=0, fds=fds, **fields)
        finally:
            for fd in fds:
                os.close(fd)
        try:
            code: int = future.result()
        except EngineLost as error:
            raise EngineLost(f"{vm} lost its power while {message['argv'][0]} ran") from error
        return code

    def _call(self, message: Message, channel: Channel) -> Any:
        out, err = (os.fdopen(fd, "w") for fd in message["fds"])
        with out, err:
            function = work.load(message["function"])
            given = {key: value for key, value in message["kwargs"].items() if value}
            log(f"call {message['function']} {given}")
            job = _Job(lambda: function(self.deployment, out, err, **message["kwargs"]))
            over = threading.Event()
            job.answer.add_done_callback(lambda _future: over.set())
            self._jobs.put(job)
            self._watch(job, channel, over)
            return job.answer.result()

    def _watch(self, job: _Job, channel: Channel, over: threading.Event) -> None:
        """Until a call is over; should its asker go away first, it is interrupted."""
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        while not over.is_set():
            if poll.poll(_POLL_MS):
                if not job.answer.cancel() and self._running is job:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                over.wait(_AGAIN_S)


def _environment() -> dict[str, str]:
    """What spares people typing: PostgreSQL's programs, and where its socket is."""
    path = f"{agent.PATH}:{binaries.find().directory}"
    return {"PATH": path, "PGHOST": settings.SOCKET_DIRECTORY, "PGDATABASE": "config"}


def log(text: str) -> None:
    """A line in the keeper's log, with the time in UTC."""
    print(f"{clock.wall():%Y-%m-%d %H:%M:%S} {text}", flush=True)
