"""What the Docker daemon can do, step by step."""

from __future__ import annotations

import ipaddress
from typing import Any

from drharness.engines.docker import daemon, images
from drharness.engines.protocol import ProbeStep
from drharness.errors import Unsupported
from drharness.topology import addresses

_REGIONS = 5  # that a topology may have
_OURS = [ipaddress.ip_network(addresses.network(number)) for number in range(_REGIONS + 1)]


def examine() -> list[ProbeStep]:
    """Stops at the first required step that fails."""
    try:
        client = daemon.reach()
    except Unsupported as error:
        return [ProbeStep("daemon", ok=False, required=True, detail=_detail(error))]
    try:
        info = client.info()
        text = f"{info['Name']}, Docker {info['ServerVersion']}, {info['OSType']}"
        steps = [ProbeStep("daemon", ok=True, required=True, detail=text), _networks(client, info)]
        return [*steps, _images(client)] if steps[-1].ok else steps
    finally:
        client.close()


def _detail(error: Unsupported) -> str:
    return f"{error.reason} -- way out: {error.way_out}"


def _networks(client: Any, info: dict[str, Any]) -> ProbeStep:
    """Other networks must not have our addresses: what is bridged passes their rules, too."""
    taken = [] if not info.get("BridgeNfIptables") else _overlapping(client)
    detail = "no other network has the regions' addresses"
    if taken:
        detail = (
            f"{taken[0]} has addresses of the regions ({_OURS[1]} ...), and its rules change "
            "packets between our containers, too (bridge-nf-call-iptables) "
            f"-- way out: docker network rm {taken[0].split()[0]}"
        )
    return ProbeStep("networks", ok=not taken, required=True, detail=detail)


def _overlapping(client: Any) -> list[str]:
    found = []
    for network in client.networks.list():
        for config in (network.attrs.get("IPAM") or {}).get("Config") or ():
            subnet = ipaddress.ip_network(config.get("Subnet", "0.0.0.0/32"), strict=False)
            if subnet.version == 4 and any(subnet.overlaps(own) for own in _OURS):
                found.append(f"{network.name} ({subnet})")
    return found


def _images(client: Any) -> ProbeStep:
    lacking = images.missing(client, images.names())
    detail = "there" if not lacking else f"the first deployment builds {' and '.join(lacking)}"
    return ProbeStep("images", ok=True, required=False, detail=detail)
