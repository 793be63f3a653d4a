"""The client application: what it records, and that it can be believed."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from drharness.components import client
from drharness.components.link import Refused
from drharness.topology import addresses
from tests.components.environment import World, play, until
from tests.components.test_configserver import P_CS
from tests.components.test_csproxy import PROXY, VM, proxied

APP = f"{VM}.application"
PROXY_B = "region1-application-b.csproxy"


async def everything(world: World) -> str:
    """Master, proxy and application are up; the application's address."""
    await proxied(world)
    await world.start(APP, "-lca", "0")
    await until(lambda: world.last(APP).get("proxy") == PROXY, "the application is connected")
    return world.address(VM)


def completions(world: World) -> dict[str, list[dict[str, Any]]]:
    """Events of each operation, by id."""
    out: dict[str, list[dict[str, Any]]] = {}
    for event in world.of("op"):
        out.setdefault(event["opid"], []).append(event)
    return out


def test_every_operation_has_one_invocation_and_one_completion(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        await client.start_traffic(100, reads_per_write=2, run="r", host=host)
        await until(lambda: len(world.of("op", type="ok", f="create")) >= 20, "writes")
        world.children[P_CS].kill(9)
        await until(lambda: len(world.of("op", type="fail", f="create")) >= 10, "refused writes")
        world.children[PROXY].kill(9)
        await until(lambda: world.of("op", type="fail", f="read"), "refused reads")
        stopped = await client.stop_traffic(host=host)
        seen = Counter(e["type"] for e in world.of("op"))
        assert {t: seen[t] for t in ("invoke", "ok", "fail", "info")} == stopped["counters"]

    world = play(tmp_path, scenario)
    operations = completions(world)
    for opid, events in operations.items():
        assert [e["type"] == "invoke" for e in events] == [True, False], opid
    assert len(operations) == len(world.of("op", type="invoke"))


def test_a_process_has_one_operation_at_a_time(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        await client.start_traffic(100, workers=2, host=host)
        await until(lambda: len(world.of("op", type="ok")) >= 30, "traffic")
        world.database("region1").frozen.clear()
        await until(lambda: world.of("op", type="info"), "an unknown outcome")
        world.database("region1").frozen.set()
        await client.stop_traffic(host=host)

    world = play(tmp_path, scenario)
    under_way: dict[str, str] = {}
    ended: list[str] = []
    for event in world.of("op"):
        proc = event["proc"]
        if event["type"] == "invoke":
            assert proc not in under_way
            assert proc not in ended, "a process goes on after an unknown outcome"
            under_way[proc] = event["opid"]
        else:
            assert under_way.pop(proc) == event["opid"]
            if event["type"] == "info":
                ended.append(proc)
    assert ended


def test_reads_and_new_logins_go_on_in_limited_mode(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        await client.start_traffic(100, host=host)
        await until(lambda: len(world.of("op", type="ok", f="create")) >= 10, "writes")
        world.children[P_CS].kill(9)
        await until(lambda: world.last(PROXY)["mode"] == "limited", "limited mode")
        for who in ("old", "new"):
            await until(
                lambda who=who: world.of("op", type="ok", f="read", client=who, mode="limited"),  # type: ignore[misc]
                f"reads of {who} clients in limited mode",
            )
        await until(lambda: world.of("op", type="fail", mode="limited"), "refused writes")
        await client.stop_traffic(host=host)

    world = play(tmp_path, scenario)
    failed = world.of("op", type="fail")
    refused = [e for e in failed if e["err"]["cls"] != "rejected"]  # a cas was, while normal
    assert "create" in {e["f"] for e in refused}
    assert "read" not in {e["f"] for e in failed}
    assert {e["err"]["cls"] for e in refused} <= {"limited", "unavailable"}
    newcomers = world.of("op", type="ok", client="new")
    assert {e["via"] for e in newcomers} == {PROXY}


def test_operations_without_a_proxy_fail_fast(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start(APP, "-lca", "0")
        await until(lambda: world.logged(f"listening on port {addresses.APPLICATION_PORT}"), "up")
        host = world.address(VM)
        await client.start_traffic(50, host=host)
        await until(lambda: len(world.of("op", type="fail", f="read", client="new")) >= 2, "fails")
        stopped = await client.stop_traffic(host=host)
        assert stopped["counters"]["ok"] == stopped["counters"]["info"] == 0

    world = play(tmp_path, scenario)
    failed = world.of("op", type="fail")
    assert {(e["err"]["cls"], e["via"]) for e in failed} == {("refused", "")}


def test_ids_do_not_repeat_after_a_restart(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        for _ in range(2):
            await client.start_traffic(100, host=host)
            at = len(world.of("op", type="ok"))
            await until(lambda at=at: len(world.of("op", type="ok")) > at + 20, "traffic")  # type: ignore[misc]
            await client.stop_traffic(host=host)
            world.children[APP].kill(9)
            await world.children[APP].wait()
            await world.start(APP, "-lca", "0")
            await until(lambda: world.last(APP).get("proxy") == PROXY, "connected again")

    world = play(tmp_path, scenario)
    invoked = world.of("op", type="invoke")
    assert len({e["opid"] for e in invoked}) == len(invoked)
    keys = [e["key"] for e in world.of("op", type="invoke", f="create")]
    assert len(set(keys)) == len(keys)
    assert not world.of("op", type="fail")
    first, second = sorted({e["proc"].split("/")[1][0] for e in invoked})
    assert (first, second) == ("1", "2")


def test_an_acknowledged_write_names_its_commit(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        done = await client.canary("canary/1", {"n": 1}, host=host)
        assert done["ok"]
        assert (done["write"]["epoch"], done["write"]["seq"]) == ("e1", 1)
        assert done["read"]["val"] == {"n": 1}

    world = play(tmp_path, scenario)
    written = world.of("op", type="ok", f="write")[0]
    commit = world.database("region1").log[0]
    assert (written["seq"], written["opid"]) == (commit.seq, commit.change.opid)
    assert written["lsn"] == ["0/1", "0/2"]
    assert written["canary"] is True


def test_a_canary_in_an_outage_says_what_failed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        world.database("region1").frozen.clear()
        hung = await client.canary("canary/1", 1, deadline=0.1, host=host)
        assert (hung["ok"], hung["write"]["type"]) == (False, "info")
        assert hung["write"]["err"]["cls"] == "timeout"
        world.database("region1").frozen.set()
        world.children[P_CS].kill(9)
        await until(lambda: world.last(PROXY)["mode"] == "limited", "limited mode")
        refused = await client.canary("canary/2", 1, host=host)
        assert refused["write"]["err"]["cls"] == "limited"
        assert refused["write"]["mode"] == "limited"

    play(tmp_path, scenario)


def test_the_application_finds_the_primary_proxy(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await everything(world)
        await world.start(PROXY_B, "-lca", "0")
        await until(lambda: world.last(PROXY_B).get("mode") == "normal", "the other is ready")
        world.children[PROXY].kill(9)
        await until(lambda: world.last(APP).get("proxy") == PROXY_B, "moved to the other proxy")

    play(tmp_path, scenario)


def test_the_schedule_does_not_wait_for_slow_answers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        world.database("region1").frozen.clear()
        await client.start_traffic(50, workers=1, reads_per_write=0, host=host)
        await asyncio.sleep(0.4)  # no write is answered meanwhile
        assert len(world.of("op", type="invoke")) >= 10
        assert not world.of("op", type="ok")
        world.database("region1").frozen.set()
        await client.stop_traffic(host=host)

    play(tmp_path, scenario)


def test_traffic_out_of_range_is_refused_by_name(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host = await everything(world)
        with pytest.raises(Refused, match="writes_per_s: expected more than 0"):
            await client.start_traffic(0, host=host)
        await client.start_traffic(10, host=host)
        with pytest.raises(Refused, match="AlreadyInProgress"):
            await client.start_traffic(10, host=host)
        await client.stop_traffic(host=host)

    play(tmp_path, scenario)
