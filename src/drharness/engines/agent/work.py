"""Work an init does in a child on request: run a command, or call a Python function, and answer."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from drharness.engines.agent.init import Init, Request

_CHUNK = 1 << 20


def load(name: str) -> Callable[..., Any]:
    """The callable behind ``"module:name"``.

    :raises LookupError: says what is missing
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # a user's module may fail in any way
        raise LookupError(f"{name}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise LookupError(f"{name} is not callable")
    return found  # type: ignore[no-any-return]


def find(name: str) -> None:
    """Like :func:`load`, for those who only want to know.

    :raises LookupError: says what is missing
    """
    load(name)


class Pipe:
    """A pipe a child writes to; collected by the init's loop without ever blocking."""

    def __init__(self, init: Init) -> None:
        self._init = init
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reading, False)
        self._parts: list[bytes] = []
        self._open = True
        init.watch(self._reading, self._read)

    @property
    def child_end(self) -> int:
        """The descriptor for the child."""
        return self._writing

    def forked(self) -> None:
        """The child has its end now: close ours, so that its exit ends the stream."""
        os.close(self._writing)

    def _read(self) -> bool:
        try:
            data = os.read(self._reading, _CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._parts.append(data)
            return True
        self._close()
        return False

    def _close(self) -> None:
        self._open = False
        self._init.unwatch(self._reading)
        os.close(self._reading)

    def drain(self) -> bytes:
        """Everything written so far; a grandchild that still holds the pipe is not waited for."""
        while self._open and self._read():
            pass
        if self._open:
            self._close()
        return b"".join(self._parts)


def _input_from(text: str) -> None:
    memory = os.memfd_create("stdin")
    os.write(memory, text.encode())
    os.lseek(memory, 0, os.SEEK_SET)
    os.dup2(memory, 0)


def execute(
    argv: list[str], env: Mapping[str, str], user: str | None, become: Callable[[str], None]
) -> int:
    """Replace this process by a program, as ``user``; returns 127 with a message when it cannot."""
    if user:
        become(user)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # what programs other than Python's expect
    try:
        os.execvpe(argv[0], argv, dict(env))
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    return 127


def run_command(
    init: Init, request: Request, environment: Mapping[str, str], become: Callable[[str], None]
) -> None:
    """``run``: argv, env, user, input, timeout -> {status, stdout, stderr, timed_out}."""
    argv = list(request["argv"])
    env = {**environment, **(request.get("env") or {})}
    out, err = Pipe(init), Pipe(init)
    late = False

    def body() -> int:
        _input_from(request.get("input") or "")
        return execute(argv, env, request.get("user"), become)

    def finished(status: int) -> None:
        request.reply(
            {
                "status": status,
                "stdout": out.drain().decode(errors="replace"),
                "stderr": err.drain().decode(errors="replace"),
                "timed_out": late,
            }
        )

    def expire() -> None:
        nonlocal late
        late = init.kill_session(child)

    child = init.fork(argv[0], body, finished, stdout=out.child_end, stderr=err.child_end)
    out.forked()
    err.forked()
    init.after(request["timeout"], expire)


def _answer(function: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        value = load(function)(**kwargs)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
    except Exception as error:  # noqa: BLE001 - handed to the asker, who raises it
        return {"error": {"type": type(error).__name__, "text": str(error)}}
    return {"value": value}


def call_function(init: Init, request: Request, log: int) -> None:
    """``call``: function, kwargs, timeout -> the function's JSON value, or its error."""
    name = request["function"]
    result = Pipe(init)
    late = False

    def body() -> int:
        data = memoryview(msgspec.json.encode(_answer(name, request.get("kwargs") or {})))
        while data:
            data = data[os.write(result.child_end, data) :]
        return 0

    def finished(status: int) -> None:
        data = result.drain()
        if late:
            request.fail("TimeoutError", f"{name}: no answer within {request['timeout']:.1f} s")
        elif status != 0 or not data:
            request.fail("ChildProcessError", f"{name}: ended with status {status}")
        else:
            answer = msgspec.json.decode(data)
            error = answer.get("error")
            if error:
                request.fail(error["type"], error["text"])
            else:
                request.reply(answer["value"])

    def expire() -> None:
        nonlocal late
        late = init.kill_session(child)

    child = init.fork(name, body, finished, stdout=log, stderr=log)
    result.forked()
    init.after(request["timeout"], expire)
