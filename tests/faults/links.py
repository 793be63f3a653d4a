"""Connections between VMs that are open before a fault: used after it, or told goodbye."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from typing import Any

from drharness.deployment import Deployment
from drharness.kernel.waiting import wait_until

ECHO_PORT, MUTE_PORT = 7777, 7778

_ECHO = """
import socket, sys, threading
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
def serve(link):
    while data := link.recv(100):
        link.sendall(data)
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""
# Says x, and is told x: the connection is open. Then waits for the file, speaks, and listens.
_HOLD = """
import pathlib, select, socket, sys
address, port, name, words = sys.argv[1:]
while True:
    try:
        link = socket.create_connection((address, int(port)), 2)
        break
    except ConnectionRefusedError:
        select.select([], [], [], 0.01)
link.sendall(b"x")
link.recv(9)
pathlib.Path(f"/run/{name}.open").touch()
while not pathlib.Path(f"/run/{name}.go").exists():
    select.select([], [], [], 0.005)
link.settimeout(1.0)
try:
    link.sendall(words.encode())
    print("ok" if link.recv(9) else "closed")
except TimeoutError:
    print("timeout")
except ConnectionError:
    print("reset")
"""


def serve(deployment: Deployment, vm: str, port: int) -> None:
    """Start an echo server; :func:`hold` waits until it listens."""
    argv = [sys.executable, "-c", _ECHO, str(port)]
    start = deployment.vm(vm).submit("start", timeout=5.0, name=f"echo-{port}", program=argv)
    start.result(5)


def stop(deployment: Deployment, vm: str, port: int) -> None:
    """Kill it: its kernel closes what it had open."""
    deployment.vm(vm).submit("stop", timeout=5.0, name=f"echo-{port}").result(5)


def hold(
    deployment: Deployment, vm: str, target: str, *, port: int, name: str, words: str
) -> Future[Any]:
    """Open a connection; after :func:`use` it says these words (or nothing) and listens for 1 s."""
    machine = deployment.vm(vm)
    machine.run(["rm", "-f", f"/run/{name}.open", f"/run/{name}.go"])
    address = deployment.topology.vm(target).address
    argv = [sys.executable, "-c", _HOLD, address, str(port), name, words]
    return machine.submit("run", timeout=30.0, argv=argv, env={}, user="", input="")


def wait_open(deployment: Deployment, vm: str, name: str) -> None:
    """Until the connection of that name is open."""
    wait_until(
        lambda: deployment.vm(vm).run(["test", "-e", f"/run/{name}.open"], check=False).ok,
        f"connection {name} open",
        timeout=10.0,
    )


def use(deployment: Deployment, vm: str, name: str) -> None:
    """Let a held connection go on."""
    deployment.vm(vm).run(["touch", f"/run/{name}.go"])
