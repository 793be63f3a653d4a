"""The launcher: has every module loaded and forks a guard per deployment; one per controller.

Started as ``python -m drharness.engines.local.launcher FD``: not forked from pytest, which has
threads and a big heap. It ends with its controller.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys

import msgspec

from drharness.engines.agent import work
from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.engines.local import outer, syscalls
from drharness.engines.local.outer import OuterSpec

PRELOAD = (
    "drharness.components.application:main",
    "drharness.components.client:ask",
    "drharness.components.configserver:main",
    "drharness.components.csproxy:main",
    "drharness.components.lca:main",
    "drharness.dbms.contents:dump",
    "drharness.dbms.disturbance:mark",
    "drharness.dbms.observer:main",
    "drharness.dbms.promotion:promote",
    "drharness.dbms.replay:out_of_wal",
    "drharness.dbms.server:status",
    "drharness.deployment.boot:database",
    "drharness.deployment.look:look",
    "drharness.dns.control:lookup",
    "drharness.dns.resolver:main",
    "drharness.dns.server:main",
    "drharness.firewall.iptables:apply",
    "drharness.engines.agent.measure:round_trip",
    "drharness.engines.agent.reach:probe",
)


def serve(control: Channel, controller: int) -> None:
    """Fork a guard for every deployment asked for, until the controller has gone."""
    poll = select.poll()
    poll.register(control.fileno(), select.POLLIN)
    poll.register(controller, select.POLLIN)
    while True:
        if controller in (fd for fd, _ in poll.poll()):
            return
        try:
            messages = control.receive()
        except ChannelClosed:
            return
        for message in messages:
            _launch(message, control, controller)


def _launch(message: Message, control: Channel, controller: int) -> None:
    deployment, alive, log = message["fds"]
    if os.fork():
        for fd in (deployment, alive, log):
            os.close(fd)
        return
    try:
        control.close()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        spec = msgspec.convert(message["spec"], OuterSpec)
        link = Channel(socket.socket(fileno=deployment))
        outer.run_guard(spec, link, controller, alive)
    except BaseException as error:  # noqa: BLE001 - told to the controller, then gone
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def main() -> None:
    """Load the modules, then serve."""
    control = Channel(socket.socket(fileno=int(sys.argv[1])))
    parent = int(sys.argv[2])
    controller = os.pidfd_open(parent)
    if os.getppid() != parent:
        return  # the controller died while this process was starting
    syscalls.set_name("drh-launcher")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guards are reaped by the kernel
    for name in PRELOAD:
        work.load(name)
    gc.collect()
    gc.freeze()
    control.send({"event": "ready"})
    serve(control, controller)


if __name__ == "__main__":
    main()
