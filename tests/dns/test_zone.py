"""Zones as values: changes, serials, and the text of every refusal."""

from __future__ import annotations

import pytest

from drharness.dns import names, zonefile
from drharness.dns.zone import Zone
from drharness.errors import UsageError


def changed(zone: Zone, name: str, values: object, ttl: int | None = None) -> Zone:
    change = zone.transaction()
    change.set(name, values, ttl=ttl)  # type: ignore[arg-type]
    return change.commit()


def test_serial_rises_with_every_change(zone: Zone) -> None:
    first = changed(zone, "cfgmaster-p.dr.internal", ["10.82.1.11"])
    second = changed(first, "cfgmaster-p.dr.internal", ["10.81.1.11"])
    assert (first.serial, second.serial) == (zone.serial + 1, zone.serial + 2)


def test_serial_stays_when_nothing_is_different(zone: Zone) -> None:
    assert changed(zone, "cfgmaster-p.dr.internal", ["10.81.1.11"], ttl=1) is zone


def test_another_ttl_alone_is_a_change(zone: Zone) -> None:
    assert changed(zone, "cfgmaster-p.dr.internal", ["10.81.1.11"], ttl=2).serial > zone.serial


def test_serial_wraps_past_zero() -> None:
    last = zonefile.load(
        '{"serial": 4294967295, "records": {}}', "f", origin="dr.internal", address="10.80.0.53"
    )
    assert changed(last, "a.dr.internal", ["10.0.0.1"]).serial == 1


def test_a_snapshot_never_changes(zone: Zone) -> None:
    name = names.to_wire("cfgmaster-p.dr.internal")
    changed(zone, "cfgmaster-p.dr.internal", ["10.82.1.11"])
    ((_, rrset),) = zone.find(name, 1).answers
    assert rrset.values == ("10.81.1.11",)


def test_an_empty_list_removes_a_name(zone: Zone) -> None:
    without = changed(zone, "cfgmaster-p.dr.internal", [])
    assert without.find(names.to_wire("cfgmaster-p.dr.internal"), 1).rcode == 3


def test_names_in_record_data_are_whole(zone: Zone) -> None:
    ((_, soa),) = zone.find(zone.origin, 6).answers
    wire = names.to_wire("ns1.dr.internal") + names.to_wire("hostmaster.dr.internal")
    assert soa.wires[0].startswith(wire)


def test_the_zone_returns_from_its_file_as_it_was(zone: Zone) -> None:
    text = zonefile.dump(zone)
    again = zonefile.load(text, "zone.json", origin="dr.internal", address="127.0.0.1")
    assert (again.nodes, again.serial, again.ttl, again.negative_ttl) == (
        zone.nodes, zone.serial, zone.ttl, zone.negative_ttl,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "zone.json: expected JSON"),
        ("[]", r"zone.json: expected a JSON object, got \[\]"),
        ('{"record": {}}', "zone.json: key: .* got 'record'. Did you mean 'records'"),
        ("{}", "zone.json: records: expected an object of names, got None"),
        ('{"records": [1]}', r"zone.json: records: expected an object of names, got \[1\]"),
        ('{"zone": "x.org", "records": {}}', "zone.json: zone: expected 'dr.internal' .*'x.org'"),
        ('{"ttl": "1", "records": {}}', "zone.json: ttl: expected whole seconds, got '1' .str"),
        ('{"ttl": -1, "records": {}}', "zone.json: ttl: expected a number from 0 .* got -1"),
        ('{"serial": 0, "records": {}}', "zone.json: serial: expected 1 to 4294967295, got 0"),
        ('{"records": {"a.dr.internal": []}}', "records.a.dr.internal: expected at least one"),
        ('{"records": {"a.org": ["10.0.0.1"]}}', "records.a.org: expected a name in zone dr.int"),
        ('{"records": {"a..dr.internal": ["10.0.0.1"]}}', "expected labels of 1 to 63"),
        ('{"records": {"a.dr.internal": ["10.0.0"]}}',
         "zone.json: records.a.dr.internal.A: expected A record data, got '10.0.0'"),
        ('{"records": {"a.dr.internal": "10.0.0.1"}}', "expected a list of addresses or a table"),
        ('{"records": {"a.dr.internal": {"AA": ["10.0.0.1"]}}}', "AA: .*Did you mean"),
        ('{"records": {"a.dr.internal": {"A": "10.0.0.1"}}}', "a list of at least one value"),
        ('{"records": {"a.dr.internal": {"SRV": ["1 2"]}}}', "expected SRV record data"),
        ('{"records": {"a.dr.internal": {"ttl": 1.5, "A": ["10.0.0.1"]}}}', "ttl: expected whole"),
        ('{"records": {"a.dr.internal": [7]}}', "expected the text of one A record, got 7"),
        ('{"records": {"a.dr.internal": ["10.0.0.1", "10.0.0.1"]}}', "expected every value once"),
        ('{"records": {"a.dr.internal": {"CNAME": ["b."], "A": ["10.0.0.1"]}}}', "one CNAME and"),
        ('{"records": {"dr.internal": {"CNAME": ["b."]}}}', "no CNAME at the zone's own name"),
    ],
)  # fmt: skip
def test_a_malformed_records_file_names_key_and_value(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        zonefile.load(text, "zone.json", origin="dr.internal", address="127.0.0.1")
