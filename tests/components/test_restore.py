"""Logging in again: what is restored, what has to be read anew, and where notifications begin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drharness.components.link import Link, Refused
from drharness.components.messages import (
    AllRead,
    HistoryLog,
    HistoryLogSent,
    ObjectList,
    ReadAll,
    Register,
    Registered,
    RestoreSession,
    SessionRestored,
)
from drharness.components.store import Change
from tests.components.environment import PATIENCE, World, play, until
from tests.components.test_configserver import P_CS, P_VM, PORT, Ear, client, create, primary


async def restored(link: Link, known: Registered, epoch: str, last: int) -> SessionRestored:
    """Ask for a session to be restored."""
    asked = RestoreSession("c", known.session, epoch, last)
    return await link.request(asked, SessionRestored, timeout=PATIENCE)


def test_a_restored_session_gets_what_it_missed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, _, known = await client(world)
        for n in range(1, 4):
            await create(link, f"app/{n}")
        ear = Ear()
        again = await world.link(P_VM, PORT, ear)
        await restored(again, known, "e1", 1)
        page = await again.request(HistoryLog(1), HistoryLogSent, timeout=PATIENCE)
        assert [(e.prev, e.seq, e.history) for e in page.events] == [(1, 2, True), (2, 3, True)]
        assert (page.more, page.epoch) == (False, "e1")
        await create(link, "app/4")
        await until(lambda: [e.seq for e in ear.events] == [4], "subscribed from there on")

    play(tmp_path, scenario)


def test_a_long_history_comes_in_pages(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        env = world.environment(P_CS)
        path = "/etc/drharness/confserv.conf"
        text = env.disk.read_text(path)
        env.disk.write_text(path, text.replace("max-records=1000", "max-records=2"))
        await primary(world)
        link, _, known = await client(world)
        for n in range(1, 6):
            await create(link, f"app/{n}")
        again = await world.link(P_VM, PORT)
        await restored(again, known, "e1", 0)
        seen: list[int] = []
        more = True
        while more:
            last = seen[-1] if seen else 0
            page = await again.request(HistoryLog(last), HistoryLogSent, timeout=PATIENCE)
            assert len(page.events) <= 2
            seen += [e.seq for e in page.events]
            more = page.more
        assert seen == [1, 2, 3, 4, 5]

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("epoch", "last", "allowed"),
    [
        ("e1", 2, True),  # all it has is in the new epoch's past
        ("e1", 3, False),  # it saw a commit that the new epoch never had
        ("e2", 3, True),
        ("e2", 9, False),
        ("e0", 1, False),
        ("", 0, False),
    ],
)
def test_only_a_proven_prefix_is_restored(
    tmp_path: Path, epoch: str, last: int, allowed: bool
) -> None:
    async def scenario(world: World) -> None:
        database = world.database("region1")
        for n in (1, 2):
            database.commit(Change("create", f"app/{n}", n))
        database.promote("e2")
        database.commit(Change("create", "app/3", 3))
        database.sessions["s"] = ("c", 0)
        await primary(world)
        link = await world.link(P_VM, PORT)
        asked = RestoreSession("c", "s", epoch, last)
        if allowed:
            assert (await link.request(asked, SessionRestored, timeout=PATIENCE)).epoch == "e2"
        else:
            with pytest.raises(Refused, match="HistoryLogExpired"):
                await link.request(asked, SessionRestored, timeout=PATIENCE)

    play(tmp_path, scenario)


def test_an_unknown_session_or_expired_log_is_refused(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await primary(world)
        link, _, known = await client(world)
        for n in range(1, 4):
            await create(link, f"app/{n}")
        with pytest.raises(Refused, match="HistoryLogExpired"):
            await link.request(
                RestoreSession("c", "other", "e1", 1), SessionRestored, timeout=PATIENCE
            )
        world.database("region1").oldest = 2
        await restored(link, known, "e1", 0)
        with pytest.raises(Refused, match="HistoryLogExpired"):
            await link.request(HistoryLog(0), HistoryLogSent, timeout=PATIENCE)

    play(tmp_path, scenario)


def test_reading_everything_subscribes_at_the_same_point(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        database = world.database("region1")
        for n in range(1, 2501):
            database.commit(Change("create", f"app/{n}", n))
        await primary(world)
        writer, _, _ = await client(world)
        ear = Ear()
        link = await world.link(P_VM, PORT, ear)
        await link.request(Register("proxy"), Registered, timeout=PATIENCE)
        writes = [asyncio.create_task(create(writer, f"new/{n}")) for n in range(20)]
        read = await link.request(ReadAll(), AllRead, timeout=PATIENCE)
        await asyncio.wait(writes)
        parts = [b for b in ear.heard if isinstance(b, ObjectList)]
        objects = [key for part in parts for key, _, _ in part.objects]
        await until(lambda: read.count + len(ear.events) == 2520, "everything else was told")
        assert (len(objects), len(set(objects))) == (read.count, read.count)
        assert [e.prev for e in ear.events] == list(range(read.seq, 2520))

    play(tmp_path, scenario)
