"""The router's lines between regions: slower, lossy or narrow; asked for by the controller.

One way each, by requests of ``label``, ``kind`` (delay, loss, rate), ``source`` and ``target``
(networks), ``bridge`` (the target's), ``number`` (the pair's), ``value`` and ``on``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from drharness.engines.agent import work
from drharness.engines.agent.init import Init, Request
from drharness.engines.agent.process import Process
from drharness.engines.local import netlink, queueing, syscalls
from drharness.engines.local.netlink import Netlink
from drharness.kernel import proc


class Shaper:
    """Shapes what the outer namespace forwards.

    :param lock: path of a file for iptables to lock; the host's /run is read-only here
    :param broken: told the label of a delay whose process ended by itself, and its status
    """

    def __init__(
        self, init: Init, link: Netlink, *, lock: str, broken: Callable[[str, int], None]
    ) -> None:
        self._init = init
        self._netlink = link
        self._broken = broken
        self._environment = {"PATH": proc.path_with_sbin(), "XTABLES_LOCKFILE": lock}
        self._delays: dict[str, Process] = {}
        self._rates: dict[str, set[int]] = {}

    def operate(self, request: Request) -> None:
        """Serve one request."""
        action = {"delay": self._delay, "loss": self._loss, "rate": self._rate}[request["kind"]]
        action(request)

    # -- delay -----------------------------------------------------------------------------

    def _delay(self, request: Request) -> None:
        """A delay's rule comes last: what a queue accepts skips the rules behind it."""
        label, queue = request["label"], request["number"]
        rule = queue_rule(request["source"], request["target"], queue)
        if request["on"]:
            self._start_delay(label, queue, request["value"])

            def undo(error: str) -> None:
                self._end_delay(label, lambda: request.fail("OSError", error))

            self._change(f"-A FORWARD {rule}", done=lambda: request.reply(True), failed=undo)
        else:
            self._change(
                f"-D FORWARD {rule}",
                done=lambda: self._end_delay(label, lambda: request.reply(True)),
                failed=lambda error: request.fail("OSError", error),
            )

    def _start_delay(self, label: str, queue: int, seconds: float) -> None:
        link = queueing.bind(queue)

        def body() -> int:
            syscalls.set_name(f"drh-delay-{queue}")
            queueing.delay(link, queue, seconds)
            return 0

        def ended(status: int) -> None:
            if self._delays.pop(label, None) is not None:
                self._broken(label, status)

        self._delays[label] = self._init.fork(label, body, ended, stdout=1, stderr=2)
        link.close()  # only its process holds it: the queue is bound as long as that lives

    def _end_delay(self, label: str, then: Callable[[], None]) -> None:
        """Its process lets go at once what still waits, and ends."""
        child = self._delays.pop(label, None)
        if child is None:
            then()
            return
        child.on_exit = lambda _status: then()
        os.kill(child.pid, signal.SIGTERM)

    # -- loss ------------------------------------------------------------------------------

    def _loss(self, request: Request) -> None:
        """A loss's rule comes first: what a delay's queue accepts skips the rules behind it."""
        rule = loss_rule(request["source"], request["target"], request["value"])
        self._change(
            f"-I FORWARD 1 {rule}" if request["on"] else f"-D FORWARD {rule}",
            done=lambda: request.reply(True),
            failed=lambda error: request.fail("OSError", error),
        )

    def _change(
        self, line: str, *, done: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        """Change a rule by iptables."""
        output = work.Pipe(self._init)

        def body() -> int:
            argv = ["iptables", *line.split()]
            return work.execute(argv, self._environment, None, lambda _user: None)

        def finished(status: int) -> None:
            said = output.drain().decode(errors="replace").strip()
            if status:
                failed(f"iptables {line}: {said or status}")
            else:
                done()

        end = output.child_end
        self._init.fork("iptables", body, finished, stdout=end, stderr=end)
        output.forked()

    # -- rate ------------------------------------------------------------------------------

    def _rate(self, request: Request) -> None:
        bridge, number = request["bridge"], request["number"]
        index, limits = netlink.index_of(bridge), self._rates.setdefault(bridge, set())
        if request["on"]:
            try:
                self._add_rate(index, number, request, first=not limits)
            except OSError:
                if not limits:
                    self._netlink.remove_classes(index)
                    self._netlink.flush(ignore=netlink.ABSENT)
                raise
            limits.add(number)
        else:
            limits.discard(number)
            if limits:
                self._netlink.remove_limit(index, number)
            else:
                self._netlink.remove_classes(index)
            self._netlink.flush()
        request.reply(True)

    def _add_rate(self, index: int, number: int, request: Request, *, first: bool) -> None:
        if first:
            self._netlink.add_classes(index)
            self._netlink.flush()
        self._netlink.add_limit(index, number, request["source"], bits_per_s=request["value"])
        self._netlink.flush()


def queue_rule(source: str, target: str, queue: int) -> str:
    """Packets of a pair of networks to a queue; without a process on it they just pass."""
    return f"-s {source} -d {target} -j NFQUEUE --queue-num {queue} --queue-bypass"


def loss_rule(source: str, target: str, share: float) -> str:
    """Drop that share of the packets of a pair of networks, by chance."""
    random = f"-m statistic --mode random --probability {share:.6f}"
    return f"-s {source} -d {target} {random} -j DROP"
