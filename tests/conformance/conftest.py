"""Machines without any service, on every engine this suite knows; one set per module."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness.deployment.engines import engine_named, require
from drharness.engines.docker import daemon
from drharness.engines.docker.machines import DockerMachines
from drharness.engines.protocol import Engine, Machine, Machines, Site
from drharness.kernel import runid
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology
from fixtures import leaks

ENGINES = ("local", pytest.param("docker", marks=pytest.mark.docker))
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
def engine(request: pytest.FixtureRequest) -> Engine:
    """One that this host can run."""
    engine = engine_named(request.param)
    require(engine)
    return engine


@pytest.fixture(scope="module")
def machines(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Running machines without services."""
    started = engine.start(site(tmp_path_factory.mktemp(runid.new_run_id())))
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
    serve_echo(machines.machine(SERVER), "python3")
    yield machines
    machines.machine(SERVER).submit("stop", timeout=5.0, name="echo").result(5)


def kill_in_router(machines: Machines, name: str) -> None:
    """Kill the process of that name which works for the line between the regions."""
    if not isinstance(machines, DockerMachines):
        os.kill(leaks.first_of(name, os.getpid()), signal.SIGKILL)
        return
    client = daemon.reach()
    ours = [client.containers.get(c.id) for c in daemon.found(client, machines.run)["containers"]]
    routers = [c for c in ours if c.attrs["Config"]["Hostname"] == "router"]
    status, said = routers[0].exec_run(["pkill", "-KILL", "-x", name])
    client.close()
    assert (len(routers), status) == (1, 0), said
