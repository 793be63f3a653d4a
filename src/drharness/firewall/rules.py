"""The rules that close a database to Framework VMs, in the guide's own form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Reject new and established connections from a subnet to the database's port.

    :ivar source: CIDR as the guide writes it, ``10.82.1.0/24``
    """

    source: str
    port: int

    def specification(self) -> list[str]:
        """What follows ``-A INPUT``, ``-C INPUT`` or ``-D INPUT``; all three must be identical."""
        return ["-p", "tcp", "--dport", str(self.port), "--src", self.source, "-j", "REJECT"]


def command(action: str, block: Block) -> list[str]:
    """The guide's command line: ``iptables -A INPUT -p tcp --dport PORT --src IP/24 -j REJECT``.

    :param action: ``-A`` append, ``-D`` delete, ``-C`` check
    """
    return ["iptables", action, "INPUT", *block.specification()]


def saved(blocks: Sequence[Block]) -> str:
    """A file for ``iptables-restore`` that sets exactly these blocks."""
    lines = [" ".join(["-A INPUT", *block.specification()]) for block in blocks]
    policies = [":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    return "\n".join(["*filter", *policies, *lines, "COMMIT", ""])
