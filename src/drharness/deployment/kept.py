"""A kept deployment as other processes hold it: begin one, find one, ask it, end it."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drharness.deployment import channels, register
from drharness.deployment.evidence import DEFAULT
from drharness.engines.agent import channel
from drharness.engines.agent.channel import Channel, ChannelClosed
from drharness.errors import EngineLost, StartupFailed, UsageError
from drharness.kernel import proc, waiting
from drharness.topology import Topology

LIFETIME_S = 8 * 3600.0
_END_S = 40.0  # the engine takes half of that at most


class Kept:
    """A deployment under a keeper; every request is a connection of its own."""

    def __init__(self, record: register.Record) -> None:
        self.record = record

    @property
    def name(self) -> str:
        """What it is called."""
        return self.record.name

    def ask(self, op: str, *, fds: tuple[int, ...] = (), **fields: Any) -> Any:
        """One request, answered.

        :param fds: descriptors that the keeper gets copies of
        :raises Said: the keeper answered with an error
        :raises EngineLost: it does not answer, or ended meanwhile
        """
        return self.begin(op, fds=fds, **fields)()

    def begin(self, op: str, *, fds: tuple[int, ...] = (), **fields: Any) -> Callable[[], Any]:
        """As :meth:`ask`, but the answer is waited for by calling what this returns."""
        link = self._connected()
        channels.send(link, {"op": op, **fields}, fds)

        def answer() -> Any:
            try:
                return channels.value_of(channels.receive(link))
            except ChannelClosed as error:
                raise EngineLost(
                    f"deployment {self.name!r} ended meanwhile; why, says "
                    f"{self.record.evidence}/keeper.log."
                ) from error
            finally:
                link.close()

        return answer

    def down(self) -> None:
        """End it; nothing of it is left but its evidence when this returns.

        :raises EngineLost: it did not end, with the way out
        """
        pid = self.record.pid
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:  # it has just ended
            return
        try:
            self.ask("down")
            ended, _, _ = select.select([process], [], [], waiting.scaled(_END_S))
        finally:
            os.close(process)
        if not ended:
            raise EngineLost(
                f"deployment {self.name!r}: its keeper (process {pid}) has not ended within "
                f"{waiting.scaled(_END_S):.0f} s. `kill -9 {pid}` ends it with all its machines."
            )

    def _connected(self) -> Channel:
        path = register.directory() / f"{self.name}.sock"
        try:
            return channels.connect(path)
        except OSError as error:
            current = register.find(self.name)
            if current is None:
                raise EngineLost(f"deployment {self.name!r} has just ended.") from error
            raise EngineLost(
                f"deployment {self.name!r} takes no requests: it is {current.state}. Try again in "
                f"a few seconds; `kill -9 {current.pid}` ends it with all its machines."
            ) from error


def find(name: str = "") -> Kept:
    """The kept deployment of that name; without a name the only one there is.

    :raises UsageError: there is none, or several; says what there is and what to do
    """
    if name:
        register.check_name(name)
    gone = {stale.record.name: stale for stale in register.clear_stale()}
    living = {record.name: record for record in register.living()}
    if name in living:
        return Kept(living[name])
    if len(living) == 1 and not name:
        return Kept(next(iter(living.values())))
    there = f"There is: {', '.join(living)}." if living else "None is up."
    if name in gone or (gone and not living):
        raise UsageError(f"{said_of(gone[name] if name in gone else [*gone.values()][-1])} {there}")
    if name:
        raise UsageError(f"no deployment is called {name!r}. {there} `drharness up` begins one.")
    if living:
        raise UsageError(f"which deployment? {len(living)} are up: {', '.join(living)}. Name one.")
    raise UsageError("no deployment is up. `drharness up` begins one.")


def ways_in(name: str, topology: Topology) -> list[str]:
    """Commands for those who want to look into a deployment of that name, and to end it."""
    named = "" if name == register.DEFAULT_NAME else f" --name {name}"
    region = topology.regions[0]
    application = topology.vms_of(region, "application")[0].id
    return [
        f"look      drharness status {name}",
        f"a shell   drharness exec{named} {application}",
        f"database  drharness exec{named} {topology.dbms(region).id} --user postgres -- psql",
        f"end       drharness down {name}",
    ]


def said_of(gone: register.Gone) -> str:
    """What there is to say of a deployment whose keeper was killed."""
    record = gone.record
    left = f"still there: {', '.join(gone.left)}" if gone.left else "nothing of it is left"
    where = f" but its evidence in {record.evidence}" if record.evidence and not gone.left else ""
    return (
        f"deployment {record.name!r} has gone: its keeper (process {record.pid}) was killed; "
        f"{left}{where}."
    )


def check_free(name: str) -> None:
    """Nothing to say if a deployment can be called so now.

    :raises UsageError: the name is taken, or no name
    """
    present = register.find(register.check_name(name))
    if present is not None:
        raise register.taken(present)


def begin(
    name: str,
    topology: Topology,
    *,
    engine: str = "auto",
    evidence: Path | None = None,
    lifetime: float = LIFETIME_S,
    scale: float = 1.0,
) -> Kept:
    """Bring a deployment up under a keeper of its own; returns once clients can write.

    :param evidence: where runs are kept; default ``.drharness``
    :param lifetime: seconds after which it ends by itself
    :raises UsageError: the name is taken, or no name
    :raises StartupFailed: it did not come up, and nothing of it is left
    """
    check_free(name)
    wanted = {
        "op": "begin",
        "name": name,
        "topology": topology.as_dict(),
        "engine": engine,
        "evidence": str((evidence or DEFAULT).absolute()),
        "lifetime": lifetime,
        "scale": scale,
    }
    starting = Starting()
    try:
        channels.send(starting.channel, wanted)
        channels.value_of(channels.receive(starting.channel))
        record = register.find(name)
        if record is None:
            raise StartupFailed(f"deployment {name!r} ended as soon as it was up: {starting.said}")
    except ChannelClosed as error:
        text = f"the keeper ended before {name!r} was up:\n{starting.said}"
        raise StartupFailed(text) from error
    finally:
        starting.close()
    return Kept(record)


class Starting:
    """A keeper that was just started.

    :ivar channel: on which it is told what to do
    """

    def __init__(self) -> None:
        ours, theirs = channel.pair()
        self._output = os.memfd_create("keeper")  # there is no directory for its evidence yet
        self.channel = Channel(ours)
        argv = [sys.executable, "-m", "drharness.deployment.keeper_process", "3"]
        with theirs:
            proc.detach(argv, env=proc.for_python(), passed=theirs.fileno(), output=self._output)

    @property
    def said(self) -> str:
        """The end of what it has said."""
        text = os.pread(self._output, 1 << 20, 0).decode(errors="replace").strip()
        return text[-2000:] or "it said nothing"

    def close(self) -> None:
        """Nothing more to tell it."""
        self.channel.close()
        os.close(self._output)
