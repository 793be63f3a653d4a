"""Where a server lives: ``<home>/data`` (data directory), ``<home>/server.json`` (what it is)."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drharness.dbms import settings
from drharness.dbms.session import Session
from drharness.errors import StartupFailed

HOME = "/var/lib/postgresql"


@dataclass(frozen=True)
class Place:
    """A provisioned server's files."""

    home: str = HOME

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.home, "data")

    @property
    def facts(self) -> dict[str, Any]:
        """``bin``, ``region``, ``peer``, ``socket_directory``, ``port``.

        :raises StartupFailed: nothing was provisioned here
        """
        path = Path(self.home, "server.json")
        if not path.exists():
            raise StartupFailed(f"{path}: not there, no database was provisioned")
        facts: dict[str, Any] = json.loads(path.read_bytes())
        return facts

    def remember(self, **facts: object) -> None:
        """Store :attr:`facts`."""
        self.write("server.json", json.dumps(facts))

    def write(self, name: str, text: str) -> None:
        """Write a file below home, readable by the server alone.

        The server may take it away at once (it does so with ``promote``), so its mode is set by the
        descriptor, not by the name.
        """
        with Path(self.home, name).open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)

    def postmaster(self) -> int | None:
        """Process id of the running server; the lock file alone may name a stranger or a zombie."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
            running = os.readlink(f"/proc/{pid}/cwd") == str(self.data.resolve())
        except (OSError, ValueError, IndexError):
            return None
        return pid if running else None

    @asynccontextmanager
    async def session(self, user: str, timeout: float) -> AsyncIterator[Session]:
        """A session through the local socket.

        :raises psycopg.Error, DeadlinePassed: refused, or no answer within ``timeout`` seconds
        """
        facts = self.facts
        session = await Session.connect(
            timeout,
            host=facts["socket_directory"],
            port=str(facts["port"]),
            user=user,
            dbname=settings.DATABASE,
            application_name="drharness",
        )
        try:
            yield session
        finally:
            await session.close()


async def setting(session: Session, name: str, limit: float) -> str:
    """A setting's value as this session has it."""
    rows = await session.fetch("SELECT current_setting(%s) AS value", [name], limit=limit)
    return str(rows[0]["value"])
