"""The read-back of a run: an index that misses a row must be seen."""

from __future__ import annotations

import pytest

from drharness.components.store import Change
from drharness.dbms import server
from drharness.dbms.place import Place
from tests.dbms.running import Running, run


async def fill(running: Running, first: int, last: int) -> None:
    """Objects app/first up to app/last, one change each."""
    store = running.store()
    await store.open()
    for n in range(first, last):
        await store.apply(Change("write", f"app/{n}", n, f"o{n}"))
    await store.close()


async def maintain(running: Running, index: str, *, ready: bool) -> None:
    """Tell the server to keep an index up to date, or to leave it behind."""
    async with Place(running.home).session("postgres", 5) as session:
        await session.fetch("SET allow_system_table_mods = on", limit=5)
        sql = "UPDATE pg_index SET indisready = %s WHERE indexrelid = %s::regclass"
        await session.fetch(sql, [ready, index], limit=5)


@pytest.mark.parametrize(
    ("index", "order"),
    [
        ("cfg_object_pkey", "cfg_object by dbid"),
        ("cfg_object_key_key", "cfg_object by key"),
        ("cfg_hdb_object_pkey", "cfg_hdb_object by seq"),
        ("cfg_hdb_object_opid", "cfg_hdb_object by opid"),
    ],
)
def test_an_index_that_misses_a_row_is_seen(primary: Running, index: str, order: str) -> None:
    run(fill(primary, 0, 5))
    run(maintain(primary, index, ready=False))
    run(fill(primary, 5, 6))
    run(maintain(primary, index, ready=True))
    dumped = run(server.dump(home=primary.home))
    assert (dumped["index_equals_heap"], dumped["differing"]) == (False, [order])


def test_sound_indexes_equal_their_tables(primary: Running) -> None:
    run(fill(primary, 0, 300))
    dumped = run(server.dump(home=primary.home))
    assert (dumped["index_equals_heap"], dumped["differing"]) == (True, [])
    assert dumped["objects"] == {f"app/{n}": n for n in range(300)}
    assert dumped["ops"] == {f"o{n}": n + 1 for n in range(300)}
    assert dumped["dbids"] == {f"o{n}": n + 101 for n in range(300)}
