"""Can this host run the local engine? Tried step by step in a throw-away process; about 50 ms."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from drharness.engines.local import faketime, netlink, queueing, shaping, syscalls
from drharness.engines.local.netlink import Netlink
from drharness.engines.protocol import FAKETIME, QUEUES, RATES, STATISTIC, ProbeStep
from drharness.kernel import proc, validate

Report = Callable[[ProbeStep], None]
_ASIDE = " -- way out: "
_CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12}  # capability.h


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _status() -> dict[str, str]:
    lines = _read("/proc/self/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _lacking() -> list[str]:
    """The capabilities that root needs and does not have, as in a container."""
    effective = int(_status().get("CapEff", "0"), 16)
    return [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]


def hints() -> list[str]:
    """Known reasons on this host for namespaces being refused, each with the way out.

    To be asked before any namespace is entered: in a new one everybody is root.
    """
    found = []
    if os.getuid() == 0 and _lacking():
        found.append(
            f"this process is root without {' and '.join(_lacking())}, as in a default container: "
            "start it with --cap-add SYS_ADMIN --cap-add NET_ADMIN, or run as an ordinary user"
        )
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" and os.getuid():
        found.append(
            "AppArmor restricts user namespaces (Ubuntu 23.10 and later): run with sudo, or "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give "
            f"{os.path.realpath(sys.executable)} a profile with `userns,`"
        )
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0" and os.getuid():
        found.append("`sudo sysctl kernel.unprivileged_userns_clone=1` is needed")
    found += [
        f"`sudo sysctl user.max_{kind}_namespaces=10000` is needed (it is 0)"
        for kind in ("user", "net", "mnt", "pid", "ipc", "uts")
        if _read(f"/proc/sys/user/max_{kind}_namespaces") == "0"
    ]
    if _status().get("Seccomp") == "2":
        found.append(
            "a seccomp filter is active, as in a default container: start it with "
            "--security-opt seccomp=unconfined --security-opt systempaths=unconfined "
            "(as root: also --cap-add SYS_ADMIN --cap-add NET_ADMIN)"
        )
    return found


def _attempt(
    report: Report, name: str, action: Callable[[], object], known: str, *, required: bool
) -> None:
    try:
        found = action()
    except (OSError, RuntimeError) as error:
        detail = f"{error}"
        if known and _ASIDE not in detail:
            detail += _ASIDE + known
        report(ProbeStep(name, False, required, detail))
        if required:
            os._exit(0)
        return
    report(ProbeStep(name, True, required, found if isinstance(found, str) else ""))


def _bridge() -> None:
    with Netlink() as link:
        link.set_link(1, up=True)
        link.add_bridge("br0", netlink.mac_of("10.0.0.1"))
        link.flush()


def _veth() -> None:
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with Netlink() as link:
        mac = netlink.mac_of("10.0.0.2")
        link.add_veth("v0", netlink.index_of("br0"), "v1", namespace, mac)
        link.flush()
    os.close(namespace)


def _queue() -> None:
    with Netlink() as link:
        link.discard_outgoing(netlink.index_of("v0"), on=True)
        link.blackhole("10.81.0.0/16", "10.82.0.0/16", on=True)
        link.flush()


def _forwarding() -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _nested() -> None:
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.become(26)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, f"{os.strerror(status)} (PostgreSQL refuses to run as uid 0)")


def _iptables() -> None:
    if not proc.which("iptables"):
        raise OSError("iptables is not installed" + _ASIDE + "`sudo apt-get install iptables`")
    _append("INPUT", "-p tcp --dport 5432 --src 10.81.1.0/24 -j REJECT")


def _append(chain: str, rule: str) -> None:
    env = {"PATH": proc.path_with_sbin(), "XTABLES_LOCKFILE": "/tmp/xtables.lock"}
    done = proc.run(["iptables", "-A", chain, *rule.split()], env=env, check=False)
    if not done.ok:
        raise OSError(done.output.strip()[:200])


_NETWORKS = ("10.81.0.0/16", "10.82.0.0/16")


def _packet_queue() -> None:
    queueing.bind(1).close()
    _append("FORWARD", shaping.queue_rule(*_NETWORKS, 1))


def _statistic() -> None:
    _append("FORWARD", shaping.loss_rule(*_NETWORKS, 0.5))


def _rates() -> None:
    with Netlink() as link:
        bridge = netlink.index_of("br0")
        link.add_classes(bridge)
        link.flush()
        link.add_limit(bridge, 1, _NETWORKS[0], bits_per_s=1e6)
        link.flush()


def _enter() -> None:
    kinds = syscalls.NEWNET | syscalls.NEWNS | syscalls.NEWPID | syscalls.NEWUTS | syscalls.NEWIPC
    syscalls.unshare(kinds)
    if os.fork():
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))


def _private() -> None:
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


def _read_only() -> None:
    syscalls.set_read_only("/", recursive=True)


def _file_systems() -> None:
    syscalls.mount("tmpfs", "/tmp", "tmpfs", 0, "size=1m")
    Path("/tmp/hosts").write_text("")
    syscalls.mount("/tmp/hosts", "/etc/hosts", None, syscalls.MS_BIND)


def _steps(report: Report) -> None:
    uid, gid = os.getuid(), os.getgid()
    known = "; ".join(hints())
    required: list[tuple[str, Callable[[], object]]] = []
    if uid:
        required = [
            ("user namespace", lambda: syscalls.unshare(syscalls.NEWUSER)),
            ("user map", lambda: syscalls.map_ids(0, 0, uid, gid)),
        ]
    required += [
        ("net, mount, pid, uts and ipc namespaces", _enter),
        ("private mounts", _private),
        ("read-only host files (Linux 5.12)", _read_only),
        ("own /proc", lambda: syscalls.mount("proc", "/proc", "proc")),
        ("own /tmp and a bound /etc/hosts", _file_systems),
        ("bridge", _bridge),
        ("cable (veth)", _veth),
        ("cuts (routing rule, blackhole queue)", _queue),
        ("routing", _forwarding),
        ("nested user namespace", _nested),
        ("iptables with the guide's rule", _iptables),
    ]
    for name, action in required:
        _attempt(report, name, action, known, required=True)
    for name, (action, way_out) in _OPTIONAL.items():
        _attempt(report, name, action, way_out, required=False)


_MODULE = "`sudo modprobe {}`, or a kernel that has it"
_OPTIONAL: dict[str, tuple[Callable[[], object], str]] = {
    QUEUES: (_packet_queue, _MODULE.format("-a nfnetlink_queue xt_NFQUEUE")),
    STATISTIC: (_statistic, _MODULE.format("xt_statistic")),
    RATES: (_rates, _MODULE.format("-a sch_htb cls_u32")),
    FAKETIME: (faketime.library, "`sudo apt-get install libfaketime`"),
}


def probe() -> list[ProbeStep]:
    """The steps tried, in order; the last one is the first required one that failed, if any did.

    Tried in a process of its own: the caller may have threads, and the steps enter namespaces.
    """
    if platform.system() != "Linux":
        reason = f"{platform.system()} has no Linux namespaces; WSL 2 or a Linux VM has"
        return [ProbeStep("Linux", False, True, reason)]
    done = proc.run([sys.executable, "-m", __name__], env=proc.for_python(), check=False)
    steps = [msgspec.json.decode(line, type=ProbeStep) for line in done.stdout.splitlines()]
    if not done.ok or not steps:
        steps.append(ProbeStep("probe", False, True, done.output.strip()[-500:]))
    return steps


@functools.cache
def _powers() -> dict[str, ProbeStep]:
    return {step.name: step for step in probe()}


def power(name: str) -> ProbeStep:
    """One of the steps that only some faults need; the host is asked once per process."""
    validate.choice("power", name, _OPTIONAL)
    missing = ProbeStep(name, False, False, "it was not tried" + _ASIDE + "see `drharness doctor`")
    return _powers().get(name, missing)


def _write_step(step: ProbeStep) -> None:
    os.write(1, msgspec.json.encode(step) + b"\n")


if __name__ == "__main__":
    _steps(_write_step)
