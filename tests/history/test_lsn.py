"""Log sequence numbers as positions in the WAL."""

from __future__ import annotations

import pytest

from drharness.history.lsn import position


@pytest.mark.parametrize(
    ("lsn", "bytes_of_wal"),
    [("0/3000CE0", 0x3000CE0), ("1/0", 1 << 32), ("16/B374D848", 0x16B374D848), (None, 0)],
)
def test_an_lsn_is_a_number_of_bytes(lsn: str | None, bytes_of_wal: int) -> None:
    assert position(lsn) == bytes_of_wal
