"""The door to subprocesses of the controller: argument lists, a deadline, captured output."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drharness.errors import CommandFailed

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


Popen = subprocess.Popen[bytes]  # a child that runs


@dataclass(frozen=True)
class Completed:
    """What a command left behind; ``returncode`` is negative for a signal."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0."""
        return self.returncode == 0

    @property
    def output(self) -> str:
        """Both streams, standard error last."""
        return self.stdout + self.stderr


def path_with_sbin(path: str | None = None) -> str:
    """A PATH that also has the sbin directories, which an ordinary user's lacks."""
    parts = (path if path is not None else os.environ.get("PATH", "/usr/bin:/bin")).split(":")
    return ":".join([*parts, *(p for p in SBIN if p not in parts)])


def which(program: str) -> str | None:
    """Absolute path of a program, looked up in the sbin directories too."""
    return shutil.which(program, path=path_with_sbin())


def for_python() -> dict[str, str]:
    """This process's environment, for another Python.

    What is importable here is so there: replacements of components ("module:Class"), for one.
    """
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def run(
    argv: Sequence[str],
    *,
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run a command on this host and wait for it.

    :raises CommandFailed: non-zero status (unless ``check`` is false) or not ended in ``timeout`` s
    """
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, timeout=timeout, env=env, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed("this host", argv, None, str(error.output or "")) from error
    completed = Completed(tuple(argv), done.returncode, done.stdout, done.stderr)
    if check and not completed.ok:
        raise CommandFailed("this host", argv, done.returncode, completed.output)
    return completed


def end(process: subprocess.Popen[bytes], *, grace: float) -> None:
    """Wait ``grace`` seconds for a child that was asked to end; then kill it."""
    try:
        process.wait(timeout=grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def popen(
    argv: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int] = (), stderr: int
) -> subprocess.Popen[bytes]:
    """Start a long-running child in a session of its own, its errors going to ``stderr`` (a fd)."""
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        pass_fds=tuple(pass_fds),
        stdin=subprocess.DEVNULL,
        stdout=stderr,
        stderr=stderr,
        start_new_session=True,
    )


def attend(argv: Sequence[str], *, env: Mapping[str, str], stderr: int) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that notices our end: its input ends then.

    What it prints can be read; its errors go to ``stderr`` (a fd).
    """
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[bytes], *, within: float, told: bytes = b"") -> bool:
    """Close its input, having told it something, and wait. False: it still runs."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            process.stdin.write(told)
            process.stdin.close()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    if process.stdout is not None:
        process.stdout.close()
    return True


def detach(argv: Sequence[str], *, env: Mapping[str, str], passed: int, output: int) -> int:
    """Start a process that outlives this one, in a session of its own; its id.

    :param passed: a descriptor that becomes its number 3; ``output``: both its output streams
    """
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    streams = ((null, 0), (output, 1), (output, 2), (passed, 3))
    moves = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in streams]
    try:
        return os.posix_spawn(argv[0], list(argv), dict(env), file_actions=moves, setsid=True)
    finally:
        os.close(null)


def descriptors() -> dict[int, str]:
    """This process's open descriptors: number to what it is."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the listing's own, or just closed by another thread
            continue
    return found
