"""A deployment's outer namespace: its init makes the networks and the VMs, and has the power.

The guard is the only process between it and the host: it ends everything when the controller ends,
however that happens.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
from collections.abc import Sequence

import msgspec

from drharness.engines.agent import channel
from drharness.engines.agent.channel import Channel, ChannelClosed
from drharness.engines.agent.init import Init, Request
from drharness.engines.agent.process import Process
from drharness.engines.local import machine, netlink, syscalls
from drharness.engines.local.machine import MachineSpec, Place
from drharness.engines.local.netlink import Netlink
from drharness.engines.local.shaping import Shaper

_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV


class Network(msgspec.Struct):
    """A layer-2 network: a bridge whose own address is the router's."""

    bridge: str
    router: str
    prefix: int


class OuterSpec(msgspec.Struct):
    """Everything the outer init must know; sent by the controller.

    :ivar run: directory of the run on the host: ``vms/<id>`` and an empty ``disks`` below it
    """

    run: str
    networks: list[Network]
    machines: list[MachineSpec]
    keep: list[str]
    nameserver: str
    hosts: str = ""


class Outer(Init):
    """PID 1 of the outer namespace, with the operations of a hypervisor and a router."""

    def __init__(self, spec: OuterSpec, control: Channel) -> None:
        super().__init__()
        self._spec = spec
        self._control = control
        self._machines = {m.id: m for m in spec.machines}
        self._inits: dict[str, Process] = {}
        self._dying: dict[int, list[Request]] = {}
        self._keep = machine.covered(spec.keep)
        self._netlink = Netlink()
        self._pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._build_networks()
        for one in spec.machines:
            self._mount_disk(one.id)
            machine.build_disk(self._disk(one.id), one, spec.hosts, spec.nameserver)
        lock = f"{spec.run}/disks/xtables.lock"
        shaper = Shaper(self, self._netlink, lock=lock, broken=self._shape_ended)
        gc.collect()
        gc.freeze()
        self.operations = {
            "power_on": self._power_on,
            "power_off": self._power_off,
            "cable": self._cable,
            "into": self._into,
            "between": self._between,
            "shape": shaper.operate,
            "limit_disk": self._limit_disk,
        }

    def _disk(self, vm: str) -> str:
        return f"{self._spec.run}/disks/{vm}"

    def _mount_disk(self, vm: str) -> None:
        """A file system of its own: one that is full leaves the others their room."""
        os.mkdir(self._disk(vm))
        options = f"size={machine.DISK_SIZE},mode=755"
        syscalls.mount("tmpfs", self._disk(vm), "tmpfs", _QUIET, options)

    def _limit_disk(self, request: Request) -> None:
        machine.limit_disk(self._disk(request["vm"]), request["free"])
        request.reply(True)

    def _build_networks(self) -> None:
        self._netlink.set_link(1, up=True)
        for network in self._spec.networks:
            self._netlink.add_bridge(network.bridge, netlink.mac_of(network.router))
        self._netlink.flush()
        for network in self._spec.networks:
            index = netlink.index_of(network.bridge)
            self._netlink.add_address(index, network.router, network.prefix)
            machine.tune_network(network.bridge)
        self._netlink.flush()
        with open("/proc/sys/net/ipv4/ip_forward", "w") as handle:
            handle.write("1")

    def _power_on(self, request: Request) -> None:
        """Start a VM's init; the answer carries the controller's end of its control channel."""
        spec = self._machines[request["vm"]]
        if spec.id in self._inits:
            raise ValueError(f"{spec.id} is on already")
        bridge = netlink.index_of(spec.bridge)
        place = Place(self._disk(spec.id), f"{self._spec.run}/vms/{spec.id}", self._keep)
        ours, theirs = channel.pair()

        def body() -> int:
            ours.close()
            machine.run_machine(spec, bridge, place, Channel(theirs))
            return 0

        def exited(status: int) -> None:
            if self._inits.get(spec.id) is child:
                del self._inits[spec.id]
                self._tell({"event": "vm_exit", "vm": spec.id, "status": status})
            for waiting in self._dying.pop(child.pid, []):
                waiting.reply(True)

        syscalls.unshare(syscalls.NEWPID)
        child = self._inits[spec.id] = self.fork(spec.id, body, exited, stdout=1, stderr=2)
        syscalls.setns(self._pid_namespace, syscalls.NEWPID)
        theirs.close()
        request.reply(True, fds=(ours.fileno(),))
        ours.close()

    def _shape_ended(self, label: str, status: int) -> None:
        self._tell({"event": "shape_exit", "shape": label, "status": status})

    def _tell(self, event: dict[str, object]) -> None:
        try:
            self._control.send(event)
        except ChannelClosed:
            os._exit(0)  # the controller has gone, and everything with it

    def _power_off(self, request: Request) -> None:
        """Cut the cable first, so that no FIN or RST escapes; answered once the VM is dead."""
        child = self._inits.pop(request["vm"], None)
        if child is None:
            request.reply(False)
            return
        self._netlink.delete_link(netlink.index_of(self._cable_of(request)))
        self._netlink.flush(ignore=(errno.ENODEV,))
        self._dying.setdefault(child.pid, []).append(request)
        os.kill(child.pid, signal.SIGKILL)

    def _cable_of(self, request: Request) -> str:
        return machine.cable_of(self._machines[request["vm"]])

    def _cable(self, request: Request) -> None:
        index = netlink.index_of(self._cable_of(request))
        self._netlink.set_link(index, up=bool(request["up"]))
        self._netlink.flush()
        request.reply(True)

    def _into(self, request: Request) -> None:
        index = netlink.index_of(self._cable_of(request))
        self._netlink.discard_outgoing(index, on=bool(request["on"]))
        self._netlink.flush(ignore=() if request["on"] else (errno.ENOENT, errno.EINVAL))
        request.reply(True)

    def _between(self, request: Request) -> None:
        on = bool(request["on"])
        self._netlink.blackhole(request["source"], request["target"], on=on)
        self._netlink.flush(ignore=(errno.EEXIST,) if on else (errno.ENOENT,))
        request.reply(True)


def _try_nested() -> None:
    """Databases run in a user namespace of their own; a host that allows none is found out here."""
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.become(machine.POSTGRES_UID)
        except OSError as error:
            os.write(2, f"nested user namespace: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise OSError("no database can run here")


def _prepare_file_systems(run: str) -> None:
    """Everything of the host read-only, but the VMs' log directories; disks in memory."""
    logs, disks = f"{run}/vms", f"{run}/disks"
    syscalls.mount(logs, logs, None, syscalls.MS_BIND)
    syscalls.set_read_only("/", recursive=True)
    syscalls.set_read_only(logs, read_only=False)
    syscalls.mount("tmpfs", disks, "tmpfs", _QUIET, "size=1m,mode=755")
    syscalls.mount("proc", "/proc", "proc", _QUIET | syscalls.MS_NOEXEC)


def _enter_namespaces() -> None:
    uid, gid = os.getuid(), os.getgid()
    flags = syscalls.NEWNET | syscalls.NEWNS | syscalls.NEWPID | syscalls.NEWIPC | syscalls.NEWUTS
    if uid == 0:
        syscalls.unshare(flags)
    else:
        syscalls.unshare(flags | syscalls.NEWUSER)
        syscalls.map_ids(0, 0, uid, gid)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


def run_guard(spec: OuterSpec, control: Channel, controller: int, alive: int) -> None:
    """In a fresh child of the launcher: start the outer init, and end it with the controller.

    :param controller: a pidfd of the controller, opened before any namespace was entered. A pidfd,
        not PDEATHSIG: that fires when the *thread* that started us ends.
    :param alive: writing end of a pipe nobody else holds: its end tells the controller "all gone"
    """
    os.setsid()
    syscalls.set_name("drh-guard")
    control.send({"event": "guard", "pid": os.getpid()})
    _enter_namespaces()
    pid = os.fork()
    if pid == 0:
        os.close(alive)
        os.close(controller)
        syscalls.die_with_parent()
        syscalls.set_name("drh-outer")
        _prepare_file_systems(spec.run)
        _try_nested()
        outer = Outer(spec, control)
        outer.serve(control, lambda: os._exit(0))
        control.send({"event": "up"})
        outer.run()
    control.close()
    child = os.pidfd_open(pid)
    _wait_any((controller, child))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.write(2, b"guard: the outer init has ended by itself\n")
    os.waitpid(pid, 0)  # returns once every process of its pid namespace is dead
    os._exit(0)


def _wait_any(fds: Sequence[int]) -> None:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    poll.poll()
