"""Where everything is: one layer-2 network per region, sliced by purpose (all IPv4).

region n = 10.(80+n).0.0/16: .1.0/24 Framework, .2.0/24 Application, .3.0/24 DBMS, .4.0/24 services;
10.80.0.0/16 is outside the regions (DNS). The first host of each network, .0.1, is the router.
A pair's two VMs are neighbours: .11 and .12, those of the next pair .13 and .14.
"""

from __future__ import annotations

DOMAIN = "dr.internal"
FRAMEWORK_NAMES = (f"cfgmaster-p.{DOMAIN}", f"cfgmaster-b.{DOMAIN}")
OUTSIDE = "outside"
DNS_SERVER = "10.80.0.53"
PREFIX = 16
SLICES = {"framework": 1, "application": 2, "dbms": 3, "services": 4}
HOSTS = {"p": 11, "b": 12, "": 10}

POSTGRES_PORT = 5432
CONFIGSERVER_PORT = 2020
MANAGEMENT_PORT = 2021
PROXY_PORT = 2030
LCA_PORT = 4999
APPLICATION_PORT = 7000


def network(number: int) -> str:
    """The region's network, ``10.81.0.0/16`` for region 1; number 0 is outside the regions."""
    return f"10.{80 + number}.0.0/{PREFIX}"


def router(number: int) -> str:
    """The router's address in a region's network."""
    return f"10.{80 + number}.0.1"


def address(number: int, role: str, side: str = "", *, pair: int = 1) -> str:
    """A VM's address: ``address(1, "framework", "p")`` is ``10.81.1.11``."""
    return f"10.{80 + number}.{SLICES[role]}.{HOSTS[side] + 2 * (pair - 1)}"


def subnet(number: int, role: str) -> str:
    """A slice in the form the guide's firewall rule takes: ``10.81.1.0/24``."""
    return f"10.{80 + number}.{SLICES[role]}.0/24"
