"""PID 1 of a router container: joins the networks of its daemon, holds their VMs' disks.

It has a cable in every network. A disk is a file system in memory that lasts as long as one
container has it mounted, which is this one: so it outlives its VM's power, and can be limited here.
So do the VMs' logs, which are read here for the controller.
"""

from __future__ import annotations

import errno
import os

import msgspec

from drharness.engines.agent.channel import Channel, ChannelClosed, Message
from drharness.engines.agent.init import Init, Request
from drharness.engines.docker import boot
from drharness.engines.docker.collector import EVERY_S, Collector
from drharness.engines.local import machine, syscalls
from drharness.engines.local.netlink import Netlink
from drharness.engines.local.shaping import Shaper
from drharness.kernel import clock, proc

DISKS, ALL_LOGS = "/disks", "/logs"
_LOCK = "/run/xtables.lock"


class Leg(msgspec.Struct):
    """One of the router's cables.

    :ivar mac: by which it is found: Docker names interfaces in an order of its own
    """

    mac: str
    address: str
    prefix: int
    number: int


class Route(msgspec.Struct):
    """Another place's network, and the address of the router that has it."""

    network: str
    via: str


class Router(Init):
    """The operations of a router and of a disk array."""

    def __init__(self, legs: list[Leg], control: Channel) -> None:
        super().__init__()
        self._control = control
        self._netlink = Netlink()
        names = {_mac(name): name for name in os.listdir("/sys/class/net")}
        self._interfaces = {leg.number: names[leg.mac] for leg in legs}
        for leg in legs:
            boot.address(self._interfaces[leg.number], leg.address, leg.prefix)
            machine.tune_network(self._interfaces[leg.number])
        with open("/proc/sys/net/ipv4/ip_forward", "w") as handle:
            handle.write("1")
        for disk in (*os.scandir(DISKS), *os.scandir(ALL_LOGS)):
            machine.limit_disk(disk.path, None)
        shaper = Shaper(self, self._netlink, lock=_LOCK, broken=self._shape_ended)
        self._shaper = shaper
        self._collector = Collector(ALL_LOGS, self._tell)
        self.after(EVERY_S, self._collect_now_and_then)
        self.operations = {
            "collect": self._collect,
            "between": self._between,
            "shape": self._shape,
            "limit_disk": self._limit_disk,
            "clock": lambda request: request.reply([clock.now_ns(), clock.source()]),
        }

    def _shape(self, request: Request) -> None:
        request.message["bridge"] = self._interfaces[request["leg"]]
        self._shaper.operate(request)

    def _shape_ended(self, label: str, status: int) -> None:
        self._tell({"event": "shape_exit", "shape": label, "status": status})

    def _tell(self, event: Message) -> None:
        try:
            self._control.send(event)
        except ChannelClosed:
            os._exit(0)

    def _collect(self, request: Request) -> None:
        self._collector.collect()
        request.reply(True)

    def _collect_now_and_then(self) -> None:
        self._collector.collect()
        self.after(EVERY_S, self._collect_now_and_then)

    def _between(self, request: Request) -> None:
        on = bool(request["on"])
        self._netlink.blackhole(request["source"], request["target"], on=on)
        self._netlink.flush(ignore=(errno.EEXIST,) if on else (errno.ENOENT,))
        request.reply(True)

    def _limit_disk(self, request: Request) -> None:
        machine.limit_disk(f"{DISKS}/{request['vm']}", request["free"])
        request.reply(True)


def _mac(interface: str) -> str:
    with open(f"/sys/class/net/{interface}/address") as handle:
        return handle.read().strip()


def _forget_connections() -> None:
    """Keep the kernel from following connections through the router.

    Docker's rules for its own name server make it do so in every container on a network, and then
    it discards all but one of the packets that a delay lets go at once: their connection is new.
    """
    proc.run(["iptables", "-t", "raw", "-A", "PREROUTING", "-j", "CT", "--notrack"], timeout=10.0)


def _set_routes(routes: list[Route]) -> None:
    for route in routes:
        proc.run(["ip", "route", "add", route.network, "via", route.via], timeout=10.0)


def main() -> None:
    """Take the legs that the controller names, say so, and route for ever."""
    channel = boot.speak()
    try:
        told = boot.told(channel)
    except ChannelClosed:
        return
    boot.write_sysctls()
    _forget_connections()
    _set_routes(msgspec.convert(told["routes"], list[Route]))
    router = Router(msgspec.convert(told["legs"], list[Leg]), channel)
    syscalls.set_name("drh-router")
    router.serve(channel, lambda: os._exit(0))
    channel.send({"event": "up"})
    router.run()


if __name__ == "__main__":
    main()
