"""The controller's side of agents: requests as futures, answers dispatched by one thread."""

from __future__ import annotations

import selectors
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.errors import CommandFailed, DrHarnessError, EngineLost, UsageError
from drharness.kernel import validate
from drharness.kernel.proc import Completed
from drharness.kernel.waiting import scaled

_GRACE_S = 5.0  # the agent keeps the deadline; this is for an agent that does not answer at all


class RemoteError(DrHarnessError):
    """A function called in a VM failed there.

    :ivar kind: class name of the error in the VM
    """

    def __init__(self, where: str, kind: str, text: str) -> None:
        super().__init__(f"{where}: {kind}: {text}")
        self.where, self.kind, self.text = where, kind, text


class Link:
    """Requests over one channel; safe to use from several threads."""

    def __init__(
        self, name: str, channel: Channel, on_event: Callable[[str, Message], None]
    ) -> None:
        self.name = name
        self.channel = channel
        self.closed = threading.Event()
        self._on_event = on_event
        self._lock = threading.Lock()
        self._sending = threading.Lock()  # apart: answers are delivered while we wait to send
        self._last = 0
        self._waiting: dict[int, tuple[Future[Any], str]] = {}

    def submit(
        self, op: str, what: str = "", *, fds: tuple[int, ...] = (), **fields: Any
    ) -> Future[Any]:
        """Send a request. The future raises RemoteError, or EngineLost when the link breaks.

        :param fds: descriptors that go with it; the other side gets copies
        """
        future: Future[Any] = Future()
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting[number] = (future, what or op)
        try:
            if self.closed.is_set():
                raise ChannelClosed("it has gone")
            with self._sending:
                self.channel.send({"op": op, "id": number, **fields}, fds)
        except ChannelClosed as error:
            with self._lock:
                ours = self._waiting.pop(number, None)
            if ours is not None:  # else the dispatcher has told it already
                future.set_exception(EngineLost(f"{self.name} is not there: {error}"))
        return future

    def deliver(self, message: Message) -> None:
        """Called by the dispatcher for every message."""
        if "event" in message:
            self._on_event(self.name, message)
            return
        with self._lock:
            future, what = self._waiting.pop(message["id"], (Future(), "nothing asked"))
        error = message.get("error")
        if error:
            where = f"{self.name}, {what}"
            future.set_exception(RemoteError(where, error["type"], error["text"]))
        else:
            future.set_result(message["fds"] if message.get("fds") else message.get("value"))

    def break_off(self) -> None:
        """The other side has gone: every request that waits fails."""
        self.closed.set()
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for future, what in waiting.values():
            future.set_exception(EngineLost(f"{self.name} went away during {what}"))
        self._on_event(self.name, {"event": "closed"})


class Dispatcher:
    """One daemon thread that reads every link of a deployment."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ours, self._theirs = socket.socketpair()
        self._epoll = self._selector.fileno()
        self._selector.register(self._theirs, selectors.EVENT_READ, None)
        self._new: list[Link] = []
        self._links: list[Link] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="drharness-dispatch", daemon=True)
        self._thread.start()

    @property
    def thread(self) -> int:
        """Identifier of its thread."""
        return self._thread.ident or 0

    @property
    def descriptors(self) -> set[int]:
        """Those that it and its links have open; -1 is one that was closed."""
        links = {link.channel.fileno() for link in tuple(self._links)}
        return {self._epoll, self._ours.fileno(), self._theirs.fileno()} | links

    def add(self, link: Link) -> None:
        """Read this link from now on."""
        self._links.append(link)
        self._new.append(link)
        self._ours.send(b"+")

    def stop(self) -> None:
        """End the thread; links that are still open break off."""
        self._stopping = True
        self._ours.send(b".")
        self._thread.join()
        self._ours.close()
        self._theirs.close()

    def _loop(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._theirs.recv(4096)
                    while self._new:
                        link = self._new.pop()
                        self._selector.register(link.channel.fileno(), selectors.EVENT_READ, link)
                else:
                    self._read(key.data)
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                self._drop(key.data)
        self._selector.close()
        for link in self._new:  # added too late to be read
            link.channel.close()
            link.break_off()

    def _read(self, link: Link) -> None:
        try:
            for message in link.channel.receive():
                link.deliver(message)
        except ChannelClosed:
            self._drop(link)
        except Exception:  # noqa: BLE001 - a broken link must not silence all the others
            traceback.print_exc()
            self._drop(link)

    def _drop(self, link: Link) -> None:
        self._selector.unregister(link.channel.fileno())
        self._links.remove(link)
        link.channel.close()
        link.break_off()


def result(future: Future[Any], what: str, timeout: float) -> Any:
    """Wait for an answer.

    :raises EngineLost: no answer ``timeout`` s after the deadline the other side keeps
    """
    try:
        return future.result(scaled(timeout) + _GRACE_S)
    except FutureTimeout as error:
        limit = timeout + _GRACE_S
        raise EngineLost(f"{what}: the agent did not answer within {limit:.0f} s") from error


class AgentMachine:
    """A VM with an agent in it; what both real engines hand out (see ``protocol.Machine``)."""

    def __init__(self, vm: str) -> None:
        self.id = vm
        self._link: Link | None = None

    def attach(self, link: Link) -> None:
        """The VM was powered on: this is its agent."""
        self._link = link

    def detach(self) -> None:
        """The VM was powered off."""
        self._link = None

    @property
    def link(self) -> Link | None:
        """To its agent, None while it is off."""
        return self._link

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._link is not None and not self._link.closed.is_set()

    def submit(self, op: str, *, timeout: float, **fields: Any) -> Future[Any]:
        """Send the agent a request."""
        validate.number("timeout", timeout, low=0, high=86400)
        if self._link is None:
            future: Future[Any] = Future()
            future.set_exception(EngineLost(f"{self.id} is powered off"))
            return future
        what = fields.get("function") or op
        return self._link.submit(op, what=what, timeout=scaled(timeout), **fields)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 10.0,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        user: str = "",
        input: str = "",
    ) -> Completed:
        """Run a command in the VM and wait for it."""
        if isinstance(argv, str) or not argv or not all(isinstance(a, str) for a in argv):
            raise UsageError(
                f"argv: expected a list of strings, like ['iptables', '-S'], got {argv!r}; "
                "for a shell's command line use ['sh', '-c', '...']."
            )
        fields = {"argv": list(argv), "env": dict(env or {}), "user": user, "input": input}
        future = self.submit("run", timeout=timeout, **fields)
        answer = result(future, f"{self.id}: {argv[0]}", timeout)
        done = Completed(tuple(argv), answer["status"], answer["stdout"], answer["stderr"])
        if answer["timed_out"]:
            raise CommandFailed(self.id, argv, None, done.output)
        if check and not done.ok:
            raise CommandFailed(self.id, argv, done.returncode, done.output)
        return done

    def call(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, timeout: float = 10.0
    ) -> Any:
        """Call ``"module:function"`` in a fresh process in the VM."""
        kwargs = dict(arguments or {})
        future = self.submit("call", timeout=timeout, function=function, kwargs=kwargs)
        return result(future, f"{self.id}: {function}", timeout)
