"""The guide's rules as text; that they bite is tested on deployments."""

from __future__ import annotations

from drharness.firewall.rules import Block, command, saved

BLOCK = Block("10.82.1.0/24", 5432)


def test_the_command_is_the_guides_own() -> None:
    assert " ".join(command("-A", BLOCK)) == (
        "iptables -A INPUT -p tcp --dport 5432 --src 10.82.1.0/24 -j REJECT"
    )


def test_adding_checking_and_deleting_name_the_same_rule() -> None:
    rules = {tuple(command(action, BLOCK)[3:]) for action in ("-A", "-C", "-D")}
    assert len(rules) == 1


def test_saved_rules_are_a_table_for_iptables_restore() -> None:
    text = saved([BLOCK, Block("10.81.1.0/24", 5432)])
    assert text.startswith("*filter\n:INPUT ACCEPT [0:0]\n")
    assert text.endswith("COMMIT\n")
    assert text.count("-j REJECT") == 2
