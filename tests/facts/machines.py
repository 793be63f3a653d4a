"""Firewall measurements on two machines: a server that echoes, new and open connections to it."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from typing import Any

from drharness.engines.protocol import Machines
from drharness.kernel.waiting import wait_until

SERVER, ADDRESS = "region1-dbms", "10.81.3.10"
CLIENT, CLIENT_SUBNET = "region1-framework-p", "10.81.1.0/24"
PORT = 7777
_REACH = "drharness.engines.agent.reach"
_ECHO = f"""
import socket, threading
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
def serve(link):
    while data := link.recv(100):
        link.sendall(data)
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""


def serve(machines: Machines) -> None:
    """Start the echo server, for both versions of IP."""
    program = [sys.executable, "-c", _ECHO]
    machines.machine(SERVER).submit("start", timeout=5, name="echo", program=program).result(5)
    wait_until(lambda: new(machines) == "ok", "the echo server", timeout=5.0)


def new(machines: Machines, client: str = CLIENT, address: str = ADDRESS) -> str:
    """What a new connection meets: ok, refused, reset or timeout."""
    seen = machines.machine(client).call(
        f"{_REACH}:probe", {"targets": [[address, PORT]], "timeout": 0.9}
    )
    return str(seen[0])


def hold(machines: Machines) -> Future[Any]:
    """Open a connection that :func:`use` will use."""
    vm = machines.machine(CLIENT)
    held = vm.submit(
        "call",
        timeout=20.0,
        function=f"{_REACH}:probe_established",
        kwargs={"host": ADDRESS, "port": PORT, "timeout": 0.9},
    )
    seen = "/run/drharness/gate.waiting"
    wait_until(
        lambda: vm.run(["test", "-e", seen], check=False).ok, "an open connection", timeout=5.0
    )
    return held


def use(machines: Machines, held: Future[Any]) -> str:
    """What the open connection meets: ok, reset or timeout."""
    machines.machine(CLIENT).call(f"{_REACH}:open_gate")
    return str(held.result(20))


def rules(machines: Machines, *lines: str) -> None:
    """Let these be the only rules of the server, each as after ``iptables``; none: no rules."""
    vm = machines.machine(SERVER)
    for chain in ("INPUT", "OUTPUT"):
        vm.run(["iptables", "-F", chain])
    for line in lines:
        vm.run(["iptables", *line.split()])
