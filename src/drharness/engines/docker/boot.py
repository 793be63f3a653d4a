"""PID 1 of a container that is a VM: become the VM that the controller describes, run the agent.

Started by the image's entry point. Requests come on standard input and are answered on standard
output, which Docker hands to the controller alone: no port, no network of the deployment. The first
message describes the VM. Docker's own address on ``eth0`` only keeps parallel deployments apart; it
is replaced by the topology's. When the input ends the controller has gone, and so does the VM.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import importlib
import os
import select
from typing import Any

import msgspec

from drharness.engines.agent import work
from drharness.engines.agent.agent import Agent, Identity
from drharness.engines.agent.channel import Channel, ChannelClosed, PipeChannel
from drharness.engines.agent.filters import Filters
from drharness.engines.agent.init import Request
from drharness.engines.docker.guest import Guests, hold_names
from drharness.engines.local import machine, netlink, syscalls
from drharness.engines.local.machine import POSTGRES_UID, MachineSpec, Place
from drharness.engines.local.netlink import Netlink
from drharness.kernel import clock, proc

INTERFACE = "eth0"
DISK, LOGS = "/disk", "/logs"  # where the controller has the VM's disk and its logs mounted
_PR_CAPBSET_DROP, _CAP_SYS_ADMIN = 24, 21
_CAPABILITY_VERSION = 0x20080522
_UNPLUGGED = "drharness-cable"


def speak() -> Channel:
    """The channel to the controller; standard input and output are no longer its."""
    channel = PipeChannel(os.dup(0), os.dup(1))
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return channel


def told(channel: Channel) -> dict[str, Any]:
    """The first message."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        poll.poll()
        messages = channel.receive()
        if messages:
            return messages[0]


def write_sysctls() -> None:
    """Let this process write /proc/sys, which Docker mounts read-only."""
    syscalls.mount("none", "/proc/sys", None, syscalls.MS_REMOUNT | syscalls.MS_BIND)


def address(interface: str, own: str, prefix: int) -> Netlink:
    """Give an interface that address instead of what Docker gave it."""
    proc.run(["ip", "-4", "address", "flush", "dev", interface], timeout=10.0)
    link, index = Netlink(), netlink.index_of(interface)
    link.set_mac(index, netlink.mac_of(own))
    link.add_address(index, own, prefix)
    link.flush()
    return link


def forgo(capability: int) -> None:
    """Give a capability up: for this process, its children, and all that they execute."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: twice 32 bits
    done = libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
    done = done and libc.capget(header, data) == 0
    word, bit = divmod(capability, 32)
    for kind in range(3):
        data[3 * word + kind] &= ~(1 << bit)
    if not done or libc.capset(header, data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capability {capability}: {os.strerror(code)}")


class Cable:
    """The VM's only cable, which can be cut one way: inside, for nobody else may touch it.

    :param link: a netlink socket of the VM's network namespace
    """

    def __init__(self, link: Netlink) -> None:
        self._link, self._filters = link, Filters()
        self._index = netlink.index_of(INTERFACE)

    def outgoing(self, on: bool) -> None:
        """Discard whatever the VM sends, or stop that."""
        self._link.discard_outgoing(self._index, on=on)
        self._link.flush(ignore=() if on else (errno.ENOENT, errno.EINVAL))

    def incoming(self, on: bool) -> None:
        """Discard whatever is sent to the VM, or stop that."""
        if on:
            self._filters.deafen(_UNPLUGGED, self._index)
        else:
            self._filters.remove(_UNPLUGGED)

    def plug(self, request: Request) -> None:
        """``cable`` {up}."""
        self.outgoing(not request["up"])
        self.incoming(not request["up"])
        request.reply(True)

    def into(self, request: Request) -> None:
        """``into`` {on}."""
        self.incoming(bool(request["on"]))
        request.reply(True)


def _become(spec: MachineSpec) -> tuple[Cable, dict[str, int]]:
    write_sysctls()
    names = hold_names()
    if not os.path.exists(f"{DISK}/etc"):
        machine.build_disk(DISK, spec, "", "127.0.0.1")
    machine.mount_file_systems(Place(DISK, LOGS, ()))
    link = address(INTERFACE, spec.address, spec.prefix)
    link.add_default_route(spec.router, netlink.index_of(INTERFACE))
    link.flush()
    machine.tune_network(INTERFACE)
    machine.make_tools()
    os.chdir("/")
    return Cable(link), names


def main() -> None:
    """Become the VM, say so, and run its agent for ever."""
    channel = speak()
    try:
        first = told(channel)
    except ChannelClosed:
        return  # the controller has gone before it said anything
    spec = msgspec.convert(first["spec"], MachineSpec)
    clock.follow(first["behind_ns"])
    cable, names = _become(spec)
    importlib.invalidate_caches()  # modules of replaced components have come with the disk
    for name in first["preload"]:
        work.load(name)
    forgo(_CAP_SYS_ADMIN)
    gc.collect()
    gc.freeze()
    identity = Identity(spec.id, spec.region, spec.address, spec.seed, spec.profile)
    agent = Agent(identity, lambda _user: syscalls.become(POSTGRES_UID), cable.outgoing)
    agent.operations |= {"cable": cable.plug, "into": cable.into}
    Guests(agent, names, channel.send)
    agent.serve(channel, lambda: os._exit(0))
    channel.send({"event": "up"})
    agent.run()


if __name__ == "__main__":
    main()
