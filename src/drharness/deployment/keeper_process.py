"""A keeper's process: ``python -m drharness.deployment.keeper_process FD``.

Started by :mod:`drharness.deployment.kept`, in a session of its own. On FD it is told to bring a
deployment up and keep it, or to wait: then guards forked by it watch it, and the deployments that
another process (a test) operates can be handed over to it; see ``custody``.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from types import FrameType

from drharness.deployment import channels, custody, register
from drharness.deployment.keeper import Keeper, log
from drharness.deployment.life import deploy
from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.errors import DrHarnessError
from drharness.history.event import Data
from drharness.kernel import clock, waiting
from drharness.topology import Topology

LOG = "keeper.log"
_CANARY_S = 10.0


class Ended(BaseException):
    """The keeper is to end now; the text names the signal."""


class KeeperProcess:
    """From the first message to the end of the deployment."""

    def __init__(self, starter: Channel) -> None:
        self._starter = starter
        self._up = threading.Event()
        self._keeper: Keeper | None = None

    def run(self) -> None:
        """Take the name, have a deployment, serve, take it down."""
        failure: Exception | None = None
        try:
            wanted = channels.receive(self._starter)
            waiting.set_scale(wanted["scale"])
            if wanted["op"] == "wait":
                wanted = custody.wait(self._starter)
            claim = register.claim(wanted["name"], pid=os.getpid(), **_times(wanted["lifetime"]))
        except DrHarnessError as error:
            channels.send(self._starter, {"error": channels.told(error)})
            return
        except (ChannelClosed, Ended):
            return
        try:
            self._keep(wanted, claim)
        except Ended as signaled:
            told = self._keeper is not None and self._keeper.was_told
            log(f"ended: {'it was told to' if told else signaled}")
        except Exception as error:  # noqa: BLE001 - told to who began it, or to who ended it
            traceback.print_exc()
            failure = error
            channels.send(self._starter, {"error": channels.told(error)})
        finally:
            claim.release()
        if self._keeper is not None:
            self._keeper.say_goodbye(failure)

    def _keep(self, wanted: Message, claim: register.Claim) -> None:
        if wanted["op"] == "begin":
            self._begin(wanted, claim)
            return
        channels.send(self._starter, {"value": True})  # the name is taken: hand over now
        with custody.take(wanted, self._starter) as deployment:
            run = deployment.evidence
            _log_to(run)
            claim.change(
                evidence=str(run), topology=deployment.topology.as_dict(), origin=wanted["origin"]
            )
            self._serve(Keeper(deployment, claim, wanted["lifetime"]), claim)

    def _begin(self, wanted: Message, claim: register.Claim) -> None:
        threading.Thread(target=self._watch_starter, daemon=True).start()
        base = Path(wanted["evidence"])
        topology = Topology.from_dict(wanted["topology"])
        claim.change(topology=topology.as_dict())

        def listener(event: Data) -> None:
            if event["kind"] == "run":
                _log_to(base / event["run"])
                claim.change(evidence=str(base / event["run"]))

        with deploy(
            topology, engine=wanted["engine"], evidence_dir=base, listeners=[listener]
        ) as deployment:
            for region in topology.regions:  # clients can write, everywhere
                seen = deployment.operations.canary(region, "up", deadline=_CANARY_S)
                if not seen["ok"]:
                    raise DrHarnessError(f"no client of {region} can write: {seen}")
            self._serve(Keeper(deployment, claim, wanted["lifetime"]), claim)

    def _serve(self, keeper: Keeper, claim: register.Claim) -> None:
        """Say that it is up, and serve; from the end on nothing interrupts any more."""
        try:
            keeper.open()
            self._keeper = keeper
            log(f"{claim.record.name} is up, until {claim.record.until}")
            self._up.set()
            channels.send(self._starter, {"value": True})
            self._starter.close()
            log(f"ended: {keeper.serve()}")
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN)
            claim.change(state=register.ENDING)

    def _watch_starter(self) -> None:
        """Should whoever began it go away before it is up, nobody wants it."""
        select.select([self._starter], [], [])
        if not self._up.is_set():
            os.kill(os.getpid(), signal.SIGTERM)


def _on_end(number: int, frame: FrameType | None) -> None:
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    raise Ended(signal.Signals(number).name)


def _times(lifetime: float) -> dict[str, str]:
    begun = clock.wall()
    until = begun + timedelta(seconds=lifetime)
    return {"since": f"{begun:%Y-%m-%d %H:%M:%S} UTC", "until": f"{until:%Y-%m-%d %H:%M:%S} UTC"}


def _log_to(run: Path) -> None:
    fd = os.open(run / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def main() -> None:
    """Set the signals, then run."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_end)
    KeeperProcess(Channel(socket.socket(fileno=int(sys.argv[1])))).run()


if __name__ == "__main__":
    main()
