"""Making a VM: its namespaces, its cable, its own file system view; then it runs the agent.

A VM sees the host's files read-only. Its own are /etc, /var (on its disk: they survive power-off),
and /tmp, /run and /dev/shm (memory: they do not). Host entries of /etc that a VM does not replace
are symlinks into /run/host/etc, so that programs find what they expect and edits stay in the VM.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drharness.engines.agent.agent import TOOLS, Agent, Identity
from drharness.engines.agent.channel import Channel
from drharness.engines.local import netlink, syscalls
from drharness.engines.local.netlink import Netlink

POSTGRES_UID = 26
DISK_SIZE = 1 << 30  # bytes, of each VM; memory is used only for what is written
_ATTEMPTS = 10
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV
_HOST_ETC = "/run/host/etc"
_VAR = ("cache", "lib", "log", "spool", "tmp", "opt", "local")
_SUDO = """#!/bin/sh
# Everybody is root in a VM: sudo only has to execute what the runbook types behind it.
while [ $# -gt 0 ]; do
  case "$1" in
    -u|-g|--user|--group) shift 2 ;;
    --) shift; break ;;
    -*|*=*) shift ;;
    *) break ;;
  esac
done
exec "$@"
"""


@dataclass(frozen=True)
class MachineSpec:
    """What the outer init must know to make a VM.

    :ivar bridge: the bridge of its network; ``router`` its gateway's address
    :ivar files: files put on its disk before the first boot, by absolute path below /etc or /var
    """

    id: str
    region: str
    address: str
    prefix: int
    router: str
    bridge: str
    files: Mapping[str, str]
    profile: Mapping[str, object]
    seed: str


@dataclass(frozen=True)
class Place:
    """Directories of one VM on the host.

    :ivar disk: its disk; ``logs``: where its logs and events go, readable by the controller
    :ivar keep: host directories that its own /tmp, /var … would hide but its programs need
    """

    disk: str
    logs: str
    keep: Sequence[str]


def cable_of(spec: MachineSpec) -> str:
    """Name of a VM's cable in the outer namespace: ``v-r1-app-p`` of region 1, whatever it is
    called, for names of interfaces have at most 15 characters."""
    place = spec.id.removeprefix(f"{spec.region}-")
    region = "" if place == spec.id else f"r{spec.bridge.removeprefix('br-')}-"
    return f"v-{region}" + "-".join(word[:3] for word in place.split("-"))


def build_disk(disk: str, spec: MachineSpec, hosts: str, nameserver: str) -> None:
    """Lay out a new VM's disk below ``disk``: its /etc, its /var and the files it was given."""
    for directory in ("etc", *(f"var/{name}" for name in _VAR)):
        os.makedirs(f"{disk}/{directory}")
    os.chmod(f"{disk}/var/tmp", 0o1777)
    own = {
        "hosts": f"127.0.0.1 localhost\n{spec.address} {spec.id}\n{hosts}",
        "hostname": f"{spec.id}\n",
        "resolv.conf": f"nameserver {nameserver}\noptions timeout:1 attempts:2\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "passwd": "root:x:0:0:root:/root:/bin/sh\n"
        f"postgres:x:{POSTGRES_UID}:{POSTGRES_UID}::/var/lib/postgresql:/bin/sh\n"
        "nobody:x:65534:65534::/:/bin/false\n",
        "group": f"root:x:0:\npostgres:x:{POSTGRES_UID}:\nnogroup:x:65534:\n",
    }
    for name in os.listdir("/etc"):
        if name not in own and name != "mtab":
            os.symlink(f"{_HOST_ETC}/{name}", f"{disk}/etc/{name}")
    for path, text in {**{f"/etc/{n}": t for n, t in own.items()}, **spec.files}.items():
        target = disk + path
        _own(disk, os.path.dirname(path))
        with contextlib.suppress(FileNotFoundError):  # of the host, by a link
            os.unlink(target)
        with open(target, "w") as handle:
            handle.write(text)


def _own(disk: str, directory: str) -> None:
    """Make a directory of a disk, its parents too; what links to the host's gets its entries."""
    if os.path.isdir(disk + directory) and not os.path.islink(disk + directory):
        return
    _own(disk, os.path.dirname(directory))
    entries: list[str] = []
    if os.path.islink(disk + directory):
        entries = os.listdir(directory)
        os.unlink(disk + directory)
    os.mkdir(disk + directory)
    for name in entries:
        os.symlink(f"/run/host{directory}/{name}", f"{disk}{directory}/{name}")


def limit_disk(disk: str, free: int | None) -> None:
    """Leave a disk that many free bytes, rounded up to pages; None: all of its size."""
    for attempt in reversed(range(_ATTEMPTS)):
        size = DISK_SIZE if free is None else _used(disk, free)
        try:
            syscalls.mount("tmpfs", disk, "tmpfs", syscalls.MS_REMOUNT | _QUIET, f"size={size}")
            break
        except OSError as error:
            if error.errno != errno.EINVAL or not attempt:  # more was written meanwhile
                raise


def _used(disk: str, free: int) -> int:
    """Bytes that a file system has in use and ``free`` more, in whole pages."""
    now = os.statvfs(disk)
    pages = now.f_blocks - now.f_bfree - (-free // now.f_frsize)
    return min(pages * now.f_frsize, DISK_SIZE)


def _cable(spec: MachineSpec, bridge: int, outer: Netlink) -> Netlink:
    """Plug the VM in; returns a netlink socket of the VM's own network namespace."""
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    outer.add_veth(cable_of(spec), bridge, "eth0", fd, netlink.mac_of(spec.address))
    outer.flush()
    os.close(fd)
    own = Netlink()
    index = netlink.index_of("eth0")
    own.set_link(1, up=True)
    own.set_link(index, up=True)
    own.add_address(index, spec.address, spec.prefix)
    own.add_default_route(spec.router, index)
    own.flush()
    return own


def _sysctl(name: str, value: str) -> None:
    with open(f"/proc/sys/{name.replace('.', '/')}", "w") as handle:
        handle.write(value)


def tune_network(interface: str) -> None:
    """IPv4 only; a healed cable works again at once (neighbours are asked every 20 ms, not 1 s).

    ICMP errors are not rationed (one a second for each peer by default), so that a rejected
    connection is refused every time.
    """
    _sysctl(f"net.ipv4.neigh.{interface}.retrans_time_ms", "20")
    _sysctl("net.ipv4.icmp_ratelimit", "0")
    if os.path.exists("/proc/sys/net/ipv6"):
        _sysctl("net.ipv6.conf.all.disable_ipv6", "1")


def _bind_fd(fd: int, target: str) -> None:
    syscalls.mount(f"/proc/self/fd/{fd}", target, None, syscalls.MS_BIND | syscalls.MS_REC)


def _mount_kernel_views() -> None:
    flags = _QUIET | syscalls.MS_NOEXEC
    syscalls.mount("proc", "/proc", "proc", flags)
    syscalls.mount("sysfs", "/sys", "sysfs", flags)


def mount_file_systems(place: Place) -> None:
    """Cover the host's changeable directories by the VM's own; see the module's docstring."""
    held = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in place.keep]
    held.append(("/var/log/drharness", os.open(place.logs, os.O_PATH | os.O_CLOEXEC)))
    disk = [(f"/{top}", os.open(f"{place.disk}/{top}", os.O_PATH)) for top in ("etc", "var")]
    for path, mode in (("/run", "755"), ("/tmp", "1777"), ("/dev/shm", "1777")):
        syscalls.mount("tmpfs", path, "tmpfs", _QUIET, f"size=64m,mode={mode}")
    os.makedirs(_HOST_ETC)
    # Before /etc is covered: a recursive bind also takes along what is mounted on its source.
    syscalls.mount("/etc", _HOST_ETC, None, syscalls.MS_BIND | syscalls.MS_REC)
    for path, fd in [*disk, *held]:
        os.makedirs(path, exist_ok=True)
        _bind_fd(fd, path)
        os.close(fd)


def make_tools() -> None:
    """Programs of the guide's VMs that the host need not have, and a place for sockets."""
    os.makedirs(TOOLS)
    with open(f"{TOOLS}/sudo", "w") as handle:
        handle.write(_SUDO)
    os.chmod(f"{TOOLS}/sudo", 0o755)
    os.makedirs("/run/postgresql", exist_ok=True)


def covered(paths: Sequence[str]) -> list[str]:
    """Those of ``paths`` that a VM's own directories would hide (a checkout below /tmp, say)."""
    hidden = ("/etc/", "/var/", "/tmp/", "/run/", "/dev/shm/")
    found = sorted({os.path.realpath(p) for p in paths if os.path.isdir(p)})
    return [p for p in found if f"{p}/".startswith(hidden)]


def run_machine(spec: MachineSpec, bridge: int, place: Place, control: Channel) -> None:
    """In the VM's first process: become the VM, say so, and run the agent for ever."""
    syscalls.die_with_parent()
    with Netlink() as outer:
        syscalls.unshare(syscalls.NEWNET | syscalls.NEWNS | syscalls.NEWUTS | syscalls.NEWIPC)
        own = _cable(spec, bridge, outer)
    os.makedirs(place.logs, exist_ok=True)
    _mount_kernel_views()
    mount_file_systems(place)
    tune_network("eth0")
    make_tools()
    syscalls.set_hostname(spec.id)
    syscalls.set_name("drh-" + cable_of(spec)[2:])
    os.chdir("/")
    index = netlink.index_of("eth0")

    def cut_outgoing(on: bool) -> None:
        own.discard_outgoing(index, on=on)
        own.flush(ignore=() if on else (errno.ENOENT, errno.EINVAL))

    identity = Identity(spec.id, spec.region, spec.address, spec.seed, spec.profile)
    agent = Agent(identity, lambda _user: syscalls.become(POSTGRES_UID), cut_outgoing)
    agent.serve(control, lambda: os._exit(0))
    control.send({"event": "up"})
    agent.run()
