"""Topologies as TOML files: what they say is what is made, and each mistake is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drharness.errors import UsageError
from drharness.topology import Topology, parse
from tests.topology.test_topology import PARTS, REPLACED, TOPOLOGIES, TUNING, with_parts

EXAMPLES = Path(__file__).parents[2] / "fixtures" / "topologies"


@given(TOPOLOGIES, TUNING, st.lists(REPLACED, max_size=3), st.lists(PARTS, max_size=2))
def test_what_is_written_is_read_back(
    topology: Topology,
    tuning: dict[str, float],
    replaced: list[tuple[str, str]],
    parts: list[dict[str, Any]],
) -> None:
    topology = with_parts(topology.tuned(**tuning), parts)
    for component, factory in replaced:
        topology = topology.replace(component, factory)
    assert parse.loads(topology.as_toml(), "x.toml") == topology


def test_the_examples_are_what_they_are_called() -> None:
    found = {path.stem: Topology.load(path) for path in EXAMPLES.glob("*.toml")}
    assert found == {
        "guide": Topology.guide(),
        "two-pairs": Topology.guide(
            replication="async", application_pairs=2, regions=("emea", "us-east-1")
        ),
        "three-regions": Topology.guide(regions=("east", "west", "north")),
        "patient": Topology.guide()
        .tuned(addp_timeout=2, op_deadline=4, d=5, rto_bound=15)
        .replace("lca", "drharness.components.lca:main")
        .replace("region1-application-p.csproxy", "drharness.components.csproxy:main"),
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("replicatoin = 'sync'", "replicatoin: unknown key; expected one of application_pairs, "
         "contexts, part, profile, "
         "regions, replace, replication, resolver, return_fence, timing, ttl. "
         "Did you mean replication?"),
        ("d = 2", "d: unknown key; expected one of application_pairs, contexts, part, profile, "
         "regions, replace, replication, resolver, return_fence, timing, ttl. "
         "d belongs in [profile]."),
        ("replication = 'asink'", "replication: expected one of async, sync, got 'asink'. "
         "Did you mean 'async'?"),
        ("ttl = '1'", "ttl: expected whole seconds, got '1' (str)."),
        ("ttl = true", "ttl: expected a number from 0 to 86400, got True (bool)."),
        ("application_pairs = 9", "application_pairs: expected a whole number from 1 to 8, "
         "got 9 (int)."),
        ("application_pairs = 1.0", "application_pairs: expected a whole number from 1 to 8, "
         "got 1.0 (float)."),
        ("profile = 'fast'", "profile: expected a table, as in [profile], got 'fast' (str)."),
        ("[profile]\naddp_timeuot = 1", "[profile] addp_timeuot: unknown key; expected one of "
         "addp_remote_timeout, addp_timeout, alive_timeout, d, d_rep, eps, min_acked, "
         "name_cache, name_cache_negative, op_deadline, reads_per_write, retry, rto_bound, "
         "sampling, writes_per_s. "
         "Did you mean addp_timeout?"),
        ("[profile]\nttl = 1", "[profile] ttl: unknown key; expected one of addp_remote_timeout, "
         "addp_timeout, alive_timeout, d, d_rep, eps, min_acked, name_cache, name_cache_negative, "
         "op_deadline, reads_per_write, retry, rto_bound, sampling, writes_per_s. "
         "ttl belongs before the first table."),
        ("[profile]\nd = nan", "[profile] d: expected a number from 0.05 to 3600, got nan "
         "(float)."),
        ("[profile]\nmin_acked = 1.5", "[profile] min_acked: expected a whole number from 0 to "
         "10000, got 1.5 (float)."),
        ("[replace]\nlca = 3", "[replace] lca: expected 'module:callable', got 3."),
        ("[[replace]]\nlca = 3", "replace: expected a table, as in [replace], "
         "got [{'lca': 3}] (list)."),
        ("ttl = 1\nttl", "expected TOML: Expected '=' after a key in a key/value pair "
         "(at end of document)."),
        ("\nttl = x", "expected TOML: Invalid value (at line 2, column 7)."),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_table_and_key(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        Topology.load(path)
    assert str(raised.value) == f"{path}: {error}"


def test_a_replaced_component_must_be_one_of_this_topology(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("application_pairs = 2\n[replace]\n'region1-application-p3.lca' = 'a:b'\n")
    with pytest.raises(UsageError) as raised:
        Topology.load(path)
    assert str(raised.value).startswith(
        f"{path}: [replace] region1-application-p3.lca: unknown key; expected one of application, "
    )
    assert str(raised.value).endswith(" Did you mean region1-application-p.lca?")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read \(No such file"):
        Topology.load(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)"):
        Topology.load(tmp_path)
    (tmp_path / "x.toml").write_bytes(b"ttl = 1 # \xff")
    with pytest.raises(UsageError, match=r"x\.toml: expected text in UTF-8, byte 10 is none"):
        Topology.load(tmp_path / "x.toml")
