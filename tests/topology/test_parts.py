"""Parts: what is no part is named before anything starts, and files are filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drharness.deployment import provision
from drharness.errors import UsageError
from drharness.topology import Topology, parse, parts

GOOD: dict[str, Any] = {"on": "framework", "image": "edoburu/pgbouncer:1.23"}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Pg", {}, "name: expected lower-case letters"),
        ("postgres", {}, "'postgres' is a service of ours"),
        ("pg", {"on": "frame"}, "on: expected one of"),
        ("pg", {"image": "a b"}, "image: expected an image's name, got 'a b'"),
        ("pg", {"command": "run it"}, "command: expected a list of words, got 'run it'"),
        ("pg", {"ready": 70000}, "ready"),
        ("pg", {"serves": "names"}, "serves: expected one of"),
        ("pg", {"serves": "dbms"}, "with a port in ready, got on='framework', ready=0"),
        ("pg", {"waits": 1}, "waits: expected true or false, got 1"),
        ("pg", {"files": {"/usr/x": ""}}, "below /etc or /var, got '/usr/x'"),
        ("pg", {"files": {"/etc/../x": ""}}, "below /etc or /var"),
        ("pg", {"files": {"/etc/x": 7}}, "/etc/x: expected text, got 7 (int)"),
    ],
)
def test_a_bad_part_is_named_with_its_value(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Topology.guide().with_part(name, **(GOOD | options))
    assert said in str(caught.value)


def test_another_of_the_same_name_takes_its_place_and_changes_keep_them() -> None:
    topology = Topology.guide().with_part("pg", **GOOD).with_part("pg", **GOOD, user="nobody")
    assert [one.user for one in topology.changed(ttl=5).parts] == ["nobody"]


def test_files_are_filled_in_and_the_configuration_server_goes_through_it() -> None:
    text = "{region} {address} {dbms} {other} {}"
    options = GOOD | {"files": {"/etc/pg.ini": text}, "serves": "dbms", "ready": 6432}
    topology = Topology.guide().with_part("pg", **options)
    found = provision.site_files(topology, "region1", Path("/x"), "/y")
    assert found["region2-framework-b"]["/etc/pg.ini"] == "region2 10.82.1.12 10.82.3.10 {other} {}"
    assert "/etc/pg.ini" not in found["region1-application-p"]
    conf = next(v for k, v in found["region2-framework-b"].items() if k.endswith("confserv.conf"))
    assert "through=127.0.0.1:6432" in conf
    assert "dbserver=10.82.3.10" in conf


def test_values_are_not_filled_in_twice() -> None:
    assert parts.filled("{a}{b}", a="1", b="2") == "12"


@pytest.mark.parametrize(
    ("section", "text", "said"),
    [
        ("part.pg", 'image = "x"', "x.toml: [part.pg] on: missing; every part needs it."),
        ("part.pg", 'on = "framework"', "x.toml: [part.pg] image: missing"),
        ("part.pg", 'on = "framework"\nimag = "x"', "Did you mean image?"),
        ("part.pg", 'on = "dns"\nimage = "x"', "x.toml: [part.pg] on: expected one of"),
        ("contexts", 'regoin1 = "far"', "x.toml: [contexts] regoin1: unknown key"),
        (
            "contexts",
            'region1 = ""',
            "x.toml: contexts: region1: expected a context's name, got ''",
        ),
        ("contexts", "region1 = 7", "expected a context's name, got 7"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_table(section: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse.loads(f"[{section}]\n{text}\n", "x.toml")
    assert said in str(caught.value)


def test_regions_can_be_on_daemons_of_their_own() -> None:
    topology = Topology.guide(regions=["east", "west"]).on_contexts({"west": "far"})
    assert eval(repr(topology)) == topology
    assert parse.loads(topology.as_toml(), "x.toml") == topology
    assert Topology.from_dict(topology.as_dict()) == topology
    assert topology.changed(ttl=3).contexts == (("west", "far"),)
    assert topology.changed(regions=["east", "north"]).contexts == ()
