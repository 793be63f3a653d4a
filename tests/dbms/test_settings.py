"""Configuration files of the reference architecture's two servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drharness.dbms import server, settings
from drharness.errors import UsageError
from drharness.topology import Topology


def conf(
    region: str, major: int, *, replication: str = "sync", timing: str = "fast"
) -> dict[str, str]:
    """Names and values of a ``postgresql.conf``."""
    topology = Topology.guide(replication=replication, timing=timing)
    text = settings.postgresql_conf(settings.Server.of(topology, region), major)
    pairs = [line.split(" = ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: value[1:-1] for name, value in pairs}


def test_provision_writes_the_files_of_its_region(template_directory: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    given = json.loads(json.dumps(Topology.guide().as_dict()))  # as it comes over the wire
    options = {"template_directory": template_directory, "region": "region2", "topology": given}
    server.provision(**options, role="standby", home=str(home))
    assert (home / "data" / "standby.signal").exists()
    assert "host=10.81.3.10 port=5432" in (home / "data" / "postgresql.conf").read_text()
    assert server.command(home=str(home))[1:] == ["-D", str(home / "data")]
    with pytest.raises(UsageError, match="role: expected one of primary, standby"):
        server.provision(**options, role="leader", home=str(tmp_path / "other"))


def test_only_framework_slices_and_standbys_may_log_in_over_the_network() -> None:
    text = settings.pg_hba_conf(settings.Server.of(Topology.guide(), "region1"))
    assert [line for line in text.splitlines() if line.startswith("host")] == [
        "host config configserver 10.81.1.0/24 scram-sha-256",
        "host config configserver 10.82.1.0/24 scram-sha-256",
        "host replication replicator 10.81.3.0/24 scram-sha-256",
        "host replication replicator 10.82.3.0/24 scram-sha-256",
    ]
    assert " all " not in text


def test_each_region_waits_for_the_other_when_synchronous() -> None:
    assert conf("region1", 18)["synchronous_standby_names"] == 'FIRST 1 ("region2")'
    assert conf("region2", 18)["synchronous_standby_names"] == 'FIRST 1 ("region1")'
    assert conf("region1", 18, replication="async")["synchronous_standby_names"] == ""


def test_of_three_regions_each_waits_for_both_others_and_follows_the_first() -> None:
    topology = Topology.guide(regions=("east", "west", "north"))
    texts = {
        r: settings.postgresql_conf(settings.Server.of(topology, r), 18) for r in topology.regions
    }
    assert """names = 'FIRST 2 ("west", "north")'""" in texts["east"]
    assert """names = 'FIRST 2 ("east", "north")'""" in texts["west"]
    assert all("conninfo = 'host=10.81.3.10 " in texts[r] for r in ("west", "north"))
    assert "primary_slot_name = 'north'" in texts["north"]
    assert settings.synchronous_standby_names([]) == ""


def test_settings_of_a_major_are_left_out_of_older_ones() -> None:
    assert {m for m in range(15, 19) if "io_method" in conf("region1", m)} == {18}
    assert {m for m in range(15, 19) if "reserved_connections" in conf("region1", m)} == {
        16,
        17,
        18,
    }


@pytest.mark.parametrize(
    ("timing", "idle", "timeout"), [("fast", "1", "2000ms"), ("guide", "9", "18000ms")]
)
def test_dead_peers_are_noticed_by_the_profile(timing: str, idle: str, timeout: str) -> None:
    values = conf("region1", 18, timing=timing)
    assert (values["tcp_keepalives_idle"], values["tcp_user_timeout"]) == (idle, timeout)


def test_durability_is_never_switched_off() -> None:
    values = conf("region1", 18)
    assert [values[name] for name in ("fsync", "full_page_writes", "synchronous_commit")] == [
        "on",
        "on",
        "on",
    ]
