"""The records file: a zone as JSON on the DNS VM's disk; a rebooted VM serves what it served.

    {"zone": "dr.internal", "serial": 7, "ttl": 1, "negative_ttl": 1,
     "records": {"cfgmaster-p.dr.internal": ["10.81.1.11"],
                 "www.dr.internal": {"ttl": 30, "A": ["10.81.2.11"], "TXT": ["\\"two words\\""]}}}

Only ``records`` is required. SOA, name server and ``ns1`` are made by the server.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from drharness.dns import names, rdata
from drharness.dns.zone import SERIALS, Zone, seconds
from drharness.errors import UsageError
from drharness.kernel import validate

KEYS = ("zone", "serial", "ttl", "negative_ttl", "records")
_KIND = {number: kind for kind, number in rdata.TYPES.items()}


def empty(origin: str, address: str, *, ttl: int = 1, negative_ttl: int | None = None) -> Zone:
    """A zone without names of its own, served from ``address``."""
    negative = ttl if negative_ttl is None else negative_ttl
    wire = names.to_wire(origin, where="zone")
    return Zone(wire, address, ttl=ttl, negative_ttl=negative)


def load(text: str, path: str, *, origin: str, address: str) -> Zone:
    """The zone that a records file describes.

    :param path: the file's name, for errors
    :param origin: the zone that the server is to serve; the file may not name another one
    :raises UsageError: file, key, value and what was expected
    """
    try:
        table = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path}: expected JSON: {error}") from None
    if not isinstance(table, dict):
        raise UsageError(f"{path}: expected a JSON object, got {table!r}.")
    for key in table:
        validate.choice(f"{path}: key", key, KEYS)
    _same_zone(table.get("zone", origin), origin, path)
    ttl = seconds(f"{path}: ttl", table.get("ttl", 1))
    negative = seconds(f"{path}: negative_ttl", table.get("negative_ttl", ttl))
    serial = table.get("serial", 1)
    if not isinstance(serial, int) or not 1 <= serial < SERIALS:
        raise UsageError(f"{path}: serial: expected 1 to {SERIALS - 1}, got {serial!r}.")
    zone = empty(origin, address, ttl=ttl, negative_ttl=negative)
    filled = _filled(zone, table.get("records"), path)
    return dataclasses.replace(filled, serial=serial)


def _same_zone(named: object, origin: str, path: str) -> None:
    if not isinstance(named, str) or names.to_wire(named, where=path) != names.to_wire(origin):
        raise UsageError(f"{path}: zone: expected {origin!r} (option -zone), got {named!r}.")


def _filled(zone: Zone, records: Any, path: str) -> Zone:
    if not isinstance(records, dict):
        raise UsageError(f"{path}: records: expected an object of names, got {records!r}.")
    change = zone.transaction()
    for name, values in records.items():
        where = f"{path}: records.{name}"
        if not values:
            raise UsageError(f"{where}: expected at least one record, got {values!r}.")
        change.set(name, values, where=where)
    return change.commit()


def as_table(zone: Zone) -> dict[str, Any]:
    """The zone in the file's form; each name as ``{"ttl": s, "<type>": [values]}``."""
    records = {}
    for owner, node in sorted(zone.nodes.items()):
        ttl = min(rrset.ttl for rrset in node.values())
        records[names.to_text(owner)] = {
            "ttl": ttl,
            **{_KIND[t]: list(rrset.values) for t, rrset in node.items()},
        }
    return {
        "zone": zone.name,
        "serial": zone.serial,
        "ttl": zone.ttl,
        "negative_ttl": zone.negative_ttl,
        "records": records,
    }


def dump(zone: Zone) -> str:
    """The text of a records file that :func:`load` reads back as the same zone."""
    return json.dumps(as_table(zone), indent=1) + "\n"
