"""Machines without any service, on every engine this suite knows; one set per module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness.deployment.engines import engine_named, require
from drharness.engines.protocol import Machine, Machines, Site
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology

ENGINES = ("local",)
SERVER, ADDRESS = "region1-application-p", "10.81.2.11"

ECHO = """
import socket, threading
server = socket.create_server(("0.0.0.0", 7777))
def serve(link, peer):
    link.sendall(peer[0].encode() + b"\\n")
    while data := link.recv(100):
        link.sendall(data)
while True:
    threading.Thread(target=serve, args=server.accept(), daemon=True).start()
"""
TALK = """
import pathlib, socket, sys
link = socket.create_connection((sys.argv[1], 7777), 2)
link.recv(100)
pathlib.Path("/run/talk.ready").touch()
while not pathlib.Path("/run/talk.go").exists():
    select = __import__("select").select([], [], [], 0.01)
link.settimeout(1.0)
try:
    link.sendall(b"x")
    answer = link.recv(100)
    print("ok" if answer == b"x" else "closed")
except TimeoutError:
    print("timeout")
except OSError as error:
    print("reset" if isinstance(error, ConnectionError) else "unreachable")
"""


def site(evidence: Path, files: dict[str, dict[str, str]] | None = None) -> Site:
    """All machines of the guide's architecture, with nothing on them."""
    return Site(Topology.guide(), evidence, files or {}, [], "seed")


@pytest.fixture(scope="module", params=ENGINES)
def machines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    """Running machines without services."""
    engine = engine_named(request.param)
    require(engine)
    started = engine.start(site(tmp_path_factory.mktemp("site")))
    yield started
    started.down()


def serve_echo(machine: Machine, python: str) -> None:
    """A TCP server in a VM that tells the caller's address and then echoes."""
    machine.submit("start", timeout=5.0, name="echo", program=[python, "-c", ECHO]).result(5)
    wait_until(
        lambda: machine.run([python, "-c", PROBE, "127.0.0.1"], check=False).stdout.strip(),
        f"echo server in {machine.id}",
        timeout=5.0,
    )


PROBE = """
import socket, sys
try:
    print(socket.create_connection((sys.argv[1], 7777), 0.5).recv(100).decode())
except OSError:
    print("")
"""


@pytest.fixture(scope="module")
def echo(machines: Machines) -> Iterator[Machines]:
    """Machines with an echo server in region 1."""
    serve_echo(machines.machine(SERVER), sys.executable)
    yield machines
    machines.machine(SERVER).submit("stop", timeout=5.0, name="echo").result(5)
