"""The system calls Python does not offer: namespaces, mounts, process control. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
import struct

NEWNS, NEWUTS, NEWIPC = 0x00020000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

_AT_FDCWD, _AT_RECURSIVE, _SYS_MOUNT_SETATTR, _ATTR_RDONLY = -100, 0x8000, 442, 1
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def unshare(flags: int) -> None:
    """Move this process into new namespaces (with NEWPID: its future children)."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(fd: int, flags: int = 0) -> None:
    """Join the namespace behind ``fd`` (with NEWPID: for future children)."""
    _check(_libc.setns(fd, flags), "setns")


def mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, data: str = ""
) -> None:
    """mount(2); the error names source and target."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {source} on {target}")


def set_read_only(path: str, *, recursive: bool = False, read_only: bool = True) -> None:
    """Make a mount (or all below it) read-only, or writable again; mount_setattr(2), Linux 5.12."""
    on, off = (_ATTR_RDONLY, 0) if read_only else (0, _ATTR_RDONLY)
    attributes = struct.pack("=QQQQ", on, off, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, attributes, len(attributes)
    )
    _check(result, f"mount_setattr {path}")


def die_with_parent() -> None:
    """SIGKILL this process when its parent *thread* ends: only for single-threaded parents."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """The name `ps` shows, at most 15 bytes."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def set_hostname(name: str) -> None:
    """Host name in this UTS namespace."""
    _check(_libc.sethostname(name.encode(), len(name)), "sethostname")


def map_ids(inside_uid: int, inside_gid: int, outside_uid: int, outside_gid: int) -> None:
    """Map one user and one group into the user namespace just created; needs no setuid helper."""
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside_uid} {outside_uid} 1"),
        ("gid_map", f"{inside_gid} {outside_gid} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as handle:
            handle.write(text)


def become(uid: int) -> None:
    """See oneself as ``uid`` without changing owner: PostgreSQL refuses uid 0, files stay ours."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    unshare(NEWUSER)
    map_ids(uid, uid, outer_uid, outer_gid)
