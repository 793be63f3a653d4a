"""Setting the guide's rules with its own commands; run inside the DBMS VM. Idempotent."""

from __future__ import annotations

from collections.abc import Sequence

from drharness.firewall.rules import Block, command
from drharness.kernel import proc

SAVED = "/etc/iptables/rules.v4"
_MOST = 20  # copies of one rule that are deleted before something is plainly wrong


def _holds(block: Block) -> bool:
    return proc.run(["sudo", *command("-C", block)], check=False).ok


def apply(block: Sequence[str] = (), unblock: Sequence[str] = (), port: int = 5432) -> list[str]:
    """Close the port to some subnets and open it to others.

    A rule that is there already is not added again (the guide's ``-A`` would leave one behind after
    one ``-D``); one that was added several times is deleted as often.

    :param block: CIDRs to reject, ``unblock``: CIDRs to let in again
    :return: the command lines that changed something
    :raises CommandFailed: iptables refused
    """
    done = []
    for source in block:
        rule = Block(source, port)
        if not _holds(rule):
            done.append(_change("-A", rule))
    for source in unblock:
        rule = Block(source, port)
        for _ in range(_MOST):
            if not _holds(rule):
                break
            done.append(_change("-D", rule))
    return done


def _change(action: str, rule: Block) -> str:
    argv = ["sudo", *command(action, rule)]
    proc.run(argv)
    return " ".join(argv)


def listing() -> str:
    """The rules in force, as ``iptables -S INPUT`` prints them."""
    return proc.run(["sudo", "iptables", "-S", "INPUT"]).stdout
