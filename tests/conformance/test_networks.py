"""What every engine promises of the network: routes, cuts one way and both, silent power-off."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from drharness.engines.protocol import Cut, Machines, RegionCut, VmCut
from drharness.kernel.waiting import wait_until
from tests.conformance.conftest import ADDRESS, PROBE, SERVER, TALK, serve_echo

CLIENT, CLIENT_ADDRESS = "region2-application-p", "10.82.2.11"


def call(machines: Machines, client: str = CLIENT) -> str:
    """The address the server sees when the client connects anew; empty if it cannot."""
    argv = ["python3", "-c", PROBE, ADDRESS]
    return machines.machine(client).run(argv, check=False).stdout.strip()


def hold(machines: Machines, client: str = CLIENT) -> Future[Any]:
    """Open a connection that is used only after :func:`use`."""
    vm = machines.machine(client)
    vm.run(["rm", "-f", "/run/talk.ready", "/run/talk.go"])
    argv = ["python3", "-c", TALK, ADDRESS]
    future = vm.submit("run", timeout=20.0, argv=argv, env={}, user="", input="")
    wait_until(
        lambda: vm.run(["test", "-e", "/run/talk.ready"], check=False).ok,
        "a connection",
        timeout=5.0,
        describe=lambda: str(future.result(0) if future.done() else "not open yet"),
    )
    return future


def use(machines: Machines, held: Future[Any], client: str = CLIENT) -> str:
    """What comes of sending over the held connection: ok, timeout, reset or closed."""
    machines.machine(client).run(["touch", "/run/talk.go"])
    return str(held.result(20)["stdout"]).strip()


def test_the_source_address_survives_the_way_between_regions(echo: Machines) -> None:
    assert call(echo) == CLIENT_ADDRESS


@pytest.mark.parametrize(
    "cut",
    [
        RegionCut("region1", "region2"),
        RegionCut("region2", "region1"),
        VmCut(SERVER, "in"),
        VmCut(SERVER, "out"),
        VmCut(SERVER, "both"),
    ],
    ids=str,
)
def test_a_cut_is_silent_for_new_and_open_connections_until_it_heals(
    echo: Machines, cut: Cut
) -> None:
    held = hold(echo)
    echo.cut(cut)
    assert use(echo, held) == "timeout"
    assert call(echo) == ""
    echo.heal(cut)
    assert wait_until(lambda: call(echo), "healed", timeout=5.0) == CLIENT_ADDRESS


def test_a_one_way_cut_lets_the_other_way_through(echo: Machines) -> None:
    """Datagrams from region 2 arrive in region 1 while nothing comes back."""
    listen = (
        "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('', 7778))\n"
        "open('/run/listening', 'w')\ns.settimeout(5)\nprint(s.recv(9).decode())"
    )
    send = f"import socket; socket.socket(type=2).sendto(b'through', ('{ADDRESS}', 7778))"
    cut = RegionCut("region1", "region2")
    server = echo.machine(SERVER)
    argv = ["python3", "-c", listen]
    heard = server.submit("run", timeout=10.0, argv=argv, env={}, user="", input="")
    wait_until(
        lambda: server.run(["test", "-e", "/run/listening"], check=False).ok, "it", timeout=5.0
    )
    echo.cut(cut)
    echo.machine(CLIENT).run(["python3", "-c", send])
    assert heard.result(10)["stdout"].strip() == "through"
    assert call(echo) == ""
    echo.heal(cut)


def test_a_cut_between_regions_leaves_a_region_whole(echo: Machines) -> None:
    cut = RegionCut("region2", "region1")
    echo.cut(cut)
    assert call(echo, "region1-application-b") == "10.81.2.12"
    echo.heal(cut)


def test_power_off_lets_no_goodbye_escape(machines: Machines) -> None:
    server = machines.machine("region1-application-b")
    serve_echo(server, "python3")
    talk = ["python3", "-c", TALK.replace("1.0", "0.7"), "10.81.2.12"]
    client = machines.machine(CLIENT)
    client.run(["rm", "-f", "/run/talk.ready", "/run/talk.go"])
    held = client.submit("run", timeout=20.0, argv=talk, env={}, user="", input="")
    wait_until(
        lambda: client.run(["test", "-e", "/run/talk.ready"], check=False).ok, "it", timeout=5.0
    )
    machines.power_off(server.id)
    assert use(machines, held) in ("timeout", "unreachable")
    machines.power_on(server.id)
