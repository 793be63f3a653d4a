"""What every engine promises of shaped lines: one way, open connections too, until undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from drharness.engines.protocol import (
    POWER_OF,
    Machines,
    RegionDelay,
    RegionLoss,
    RegionRate,
    Shape,
)
from drharness.kernel.waiting import wait_until
from tests.conformance.conftest import ADDRESS, kill_in_router

CLIENT, NEIGHBOUR = "region2-application-p", "region1-application-b"
MEASURE = "drharness.engines.agent.measure"

# One established connection: milliseconds of a round trip, before and after a file appears.
TRIPS = """
import pathlib, socket, sys, time
link = socket.create_connection((sys.argv[1], 7777), 2)
link.recv(100)
def trip():
    started = time.monotonic()
    link.sendall(b"x")
    link.recv(1)
    return 1000 * (time.monotonic() - started)
first = min(trip() for _ in range(5))
pathlib.Path("/run/trips.ready").touch()
while not pathlib.Path("/run/trips.go").exists():
    __import__("select").select([], [], [], 0.01)
print(first, min(trip() for _ in range(5)))
"""


@contextmanager
def shaped(machines: Machines, *shapes: Shape) -> Iterator[None]:
    """Those shapes, for as long as the block lasts."""
    with ExitStack() as stack:
        for shape in shapes:
            machines.shape(shape)
            stack.callback(machines.unshape, shape)
        yield


def trip(machines: Machines, vm: str = CLIENT, *, count: int = 5) -> float:
    """Milliseconds of the fastest of some round trips to the server."""
    arguments = {"host": ADDRESS, "count": count}
    return float(machines.machine(vm).call(f"{MEASURE}:round_trip", arguments))


@pytest.mark.parametrize("kind", POWER_OF, ids=lambda kind: kind.__name__)
def test_this_host_has_the_power(machines: Machines, kind: type[Shape]) -> None:
    step = machines.power(POWER_OF[kind])
    assert step.ok, step.detail


def test_a_delay_is_one_way_and_for_nobody_else(machines: Machines) -> None:
    there, back = RegionDelay("region2", "region1", 0.03), RegionDelay("region1", "region2", 0.02)
    assert trip(machines) < 20
    machines.shape(there)
    assert trip(machines) >= 30
    assert trip(machines, NEIGHBOUR) < 20
    machines.shape(back)
    assert trip(machines) >= 50
    machines.unshape(there)
    assert 20 <= trip(machines) < 45
    machines.unshape(back)
    assert trip(machines) < 20


def test_a_delay_slows_open_connections(echo: Machines) -> None:
    client, delay = echo.machine(CLIENT), RegionDelay("region1", "region2", 0.04)
    argv = ["python3", "-c", TRIPS, ADDRESS]
    future = client.submit("run", timeout=20.0, argv=argv, env={}, user="", input="")
    wait_until(
        lambda: client.run(["test", "-e", "/run/trips.ready"], check=False).ok, "it", timeout=5.0
    )
    echo.shape(delay)
    client.run(["touch", "/run/trips.go"])
    before, after = map(float, future.result(20)["stdout"].split())
    echo.unshape(delay)
    assert before < 30
    assert after >= 40


def test_packets_are_lost_one_way_by_chance(machines: Machines) -> None:
    vm, arguments = machines.machine(CLIENT), {"host": ADDRESS, "count": 400}
    with shaped(machines, RegionLoss("region1", "region2", 0.3)):
        found = vm.call(f"{MEASURE}:answered", arguments)
    assert 400 * 0.7 - 60 < found < 400 * 0.7 + 60  # six standard deviations
    assert vm.call(f"{MEASURE}:answered", arguments) == 400


def test_loss_and_delay_act_together(machines: Machines) -> None:
    vm, arguments = machines.machine(CLIENT), {"host": ADDRESS, "count": 400}
    delay, loss = RegionDelay("region1", "region2", 0.03), RegionLoss("region1", "region2", 0.5)
    with shaped(machines, delay, loss):
        found = vm.call(f"{MEASURE}:answered", arguments)
        assert trip(machines, count=50) >= 30  # of 50 packets some come back, of 5 not always
    assert 200 - 60 < found < 200 + 60


def test_a_rate_is_kept_for_one_pair_of_regions_and_ends(machines: Machines) -> None:
    def carried(vm: str, host: str = ADDRESS) -> float:
        return float(machines.machine(vm).call(f"{MEASURE}:throughput", {"host": host}))

    with shaped(machines, RegionRate("region2", "region1", 1e6)):
        limited, near, outside = carried(CLIENT), carried(NEIGHBOUR), carried("dns")
    assert 0.5e6 < limited < 1.2e6
    assert min(near, outside) > 2e6
    assert carried(CLIENT) > 2e6


def test_a_shape_is_undone_whatever_is_in_force_besides(machines: Machines) -> None:
    rates = [RegionRate("region2", "region1", 1e6), RegionRate("region1", "region2", 1e6)]
    for _ in range(2):
        for rate in rates:
            machines.shape(rate)
        for rate in rates:
            machines.unshape(rate)
    assert trip(machines) < 20


def test_what_waits_in_a_delay_arrives_once_it_is_undone(machines: Machines) -> None:
    vm, delay = machines.machine(CLIENT), RegionDelay("region2", "region1", 3.0)

    def sent() -> int:
        counters = vm.run(["grep", "^IcmpMsg:", "/proc/net/snmp"]).stdout.split("IcmpMsg:")
        return int(dict(zip(counters[1].split(), counters[2].split(), strict=True))["OutType8"])

    before = sent() if trip(machines) else 0
    machines.shape(delay)
    fields = {"function": f"{MEASURE}:answered", "kwargs": {"host": ADDRESS, "count": 20}}
    counting = vm.submit("call", timeout=20.0, **fields)
    wait_until(lambda: sent() == before + 20, "20 packets under way", timeout=2.5)
    machines.unshape(delay)
    assert counting.result(20) == 20


def test_a_shape_that_ends_by_itself_is_told(machines: Machines) -> None:
    """And its packets pass, as the line does without it."""
    delay = RegionDelay("region1", "region2", 0.02)
    machines.shape(delay)
    label = "delay region1 -> region2"
    kill_in_router(machines, "drh-delay-18")
    wait_until(lambda: label in machines.lost, "the loss told", timeout=5.0)
    assert machines.lost[label] == "ended with status -9"
    assert trip(machines) < 20
    machines.unshape(delay)
