"""Log sequence numbers of PostgreSQL, ``16/B374D848``, as numbers that can be compared."""

from __future__ import annotations


def position(lsn: str | None) -> int:
    """Bytes from the beginning of the WAL; 0 if there is no LSN.

    An LSN is a 64-bit position, printed as two hexadecimal halves: PostgreSQL, "pg_lsn Type".
    """
    high, _, low = (lsn or "0/0").partition("/")
    return (int(high, 16) << 32) + int(low, 16)
