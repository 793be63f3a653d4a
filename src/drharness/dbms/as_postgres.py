"""Run a PostgreSQL program as the user it asks for: ``as_postgres.py [OPTION ...] -- argv...``.

PostgreSQL refuses to run as uid 0 and wants an entry in /etc/passwd. Instead of changing users
(files would change owner, and a Python below /root would become unreadable) the program gets a user
namespace in which our own uid is called 26. The same for root and for everybody else. A private IPC
namespace takes the server's shared memory along when it is killed.

Standard library only and runnable as a file: it is started once per program, so start-up counts.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence

POSTGRES_UID = 26
_NEWNS, _NEWIPC, _NEWUSER = 0x00020000, 0x08000000, 0x10000000
_MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE = 4096, 8192, 16384, 1 << 18
_PR_SET_PDEATHSIG = 1
_PASSWD = "root:x:0:0::/:/bin/sh\npostgres:x:{uid}:{uid}::/:/bin/sh\n"


def launcher(argv: Sequence[str], *, with_parent: bool = False, stdin: str = "") -> list[str]:
    """The command line that runs ``argv`` as user postgres; its process id is the program's.

    :param with_parent: the program is told to shut down at once when the starting thread ends
    :param stdin: file to read standard input from
    """
    options = ["--with-parent"] if with_parent else []
    options += [f"--stdin={stdin}"] if stdin else []
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), *options, "--", *argv]


def become_postgres(*, own_memory: bool = True) -> None:
    """Move this single-threaded process into namespaces where it is uid 26, named ``postgres``.

    :param own_memory: give it a /dev/shm of its own: what a server that is killed leaves there goes
    :raises OSError: the host allows no user namespaces
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    _check(libc.unshare(_NEWUSER | _NEWNS | _NEWIPC), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{POSTGRES_UID} {uid} 1")
    _write("/proc/self/gid_map", f"{POSTGRES_UID} {gid} 1")
    _check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount /")
    if own_memory:
        memory = libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(0), None)
        _check(memory, "mount /dev/shm")
    try:
        pwd.getpwuid(POSTGRES_UID)
    except KeyError:
        _own_etc(libc)


def _own_etc(libc: ctypes.CDLL) -> None:
    """An /etc like the host's, with an own file of users.

    To bind a file over the host's would not last: whoever adds a user on the host renames a new
    file to that name, and with the old one goes, in every namespace, what is bound over it.
    """
    none, both = ctypes.c_ulong(0), ctypes.c_ulong(_MS_BIND | _MS_REC)
    _check(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", none, b"mode=755"), "mount tmpfs")
    os.mkdir("/tmp/.host")
    _check(libc.mount(b"/etc", b"/tmp/.host", None, both, None), "mount a copy of /etc")
    for name in os.listdir("/etc"):
        link = f"/etc/{name}"
        # A symbolic link is copied: its target may be relative to /etc.
        target = os.readlink(link) if os.path.islink(link) else f"/etc/.host/{name}"
        if name != "passwd":
            os.symlink(target, f"/tmp/{name}")
    _write("/tmp/passwd", _PASSWD.format(uid=POSTGRES_UID))
    _check(libc.mount(b"/tmp", b"/etc", None, ctypes.c_ulong(_MS_MOVE), None), "move to /etc")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def main(args: Sequence[str]) -> int:
    """Entry point; returns only on failure (126: the host refused, 127: no such program)."""
    split = list(args).index("--") if "--" in args else 0
    options, argv = args[:split], args[split + 1 :]
    if not argv or any(o != "--with-parent" and not o.startswith("--stdin=") for o in options):
        sys.stderr.write("usage: as_postgres.py [--with-parent] [--stdin=FILE] -- PROGRAM ...\n")
        return 2
    try:
        become_postgres(own_memory=not any("/dev/shm/" in arg for arg in args))
    except OSError as error:
        sys.stderr.write(f"as_postgres: cannot become uid {POSTGRES_UID}: {error}\n")
        return 126
    try:
        for option in options:
            _obey(option)
        os.execv(argv[0], list(argv))
    except OSError as error:
        sys.stderr.write(f"as_postgres: {argv[0]}: {error}\n")
    return 127


def _obey(option: str) -> None:
    if option == "--with-parent":
        libc = ctypes.CDLL(None, use_errno=True)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # what a script starts with & ignores it
        _check(libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGQUIT), 0, 0, 0), "prctl")
        return
    file = os.open(option.removeprefix("--stdin="), os.O_RDONLY)
    os.dup2(file, 0)
    os.close(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
