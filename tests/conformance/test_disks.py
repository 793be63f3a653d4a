"""What every engine promises of a VM's disk: room of its own, that can be taken and given back."""

from __future__ import annotations

from drharness.engines.protocol import Machines

VM, OTHER = "region1-dbms", "region2-dbms"
MEASURE = "drharness.engines.agent.measure"


def write(machines: Machines, vm: str, size: int) -> str:
    """What comes of writing a file of that size to a VM's disk; the file is removed."""
    arguments = {"directory": "/var/lib", "size": size}
    return str(machines.machine(vm).call(f"{MEASURE}:write_file", arguments))


def test_a_disk_without_room_keeps_what_is_on_it_and_harms_no_other(machines: Machines) -> None:
    vm = machines.machine(VM)
    vm.run(["sh", "-c", "head -c 3000000 /dev/zero >/var/lib/there"])
    machines.limit_disk(VM, 0)
    assert write(machines, VM, 5000) == "no space"
    assert vm.run(["sh", "-c", "echo new >/etc/new"], check=False).returncode != 0
    assert vm.run(["stat", "-c", "%s", "/var/lib/there"]).stdout == "3000000\n"
    assert write(machines, OTHER, 5_000_000) == "ok"
    machines.limit_disk(VM, None)
    assert write(machines, VM, 50_000_000) == "ok"
    vm.run(["rm", "/var/lib/there"])


def test_so_many_bytes_are_left(machines: Machines) -> None:
    machines.limit_disk(VM, 1 << 20)
    assert write(machines, VM, 1 << 20) == "ok"
    assert write(machines, VM, (1 << 20) + 5000) == "no space"
    machines.limit_disk(VM, None)


def test_a_limit_lasts_over_a_power_off_and_ends_while_off(machines: Machines) -> None:
    machines.limit_disk(OTHER, 0)
    machines.power_off(OTHER)
    machines.power_on(OTHER)
    assert write(machines, OTHER, 5000) == "no space"
    machines.power_off(OTHER)
    machines.limit_disk(OTHER, None)
    machines.power_on(OTHER)
    assert write(machines, OTHER, 5000) == "ok"
