"""What firewall rules do to new and to open connections; measured with iptables 1.8.9 (nf_tables).

A rule in a list proves nothing, so both kinds of connection are tried.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drharness.deployment.engines import engine_named, require
from drharness.engines.protocol import Machines, Site
from drharness.firewall.rules import Block, command
from drharness.topology import Topology
from tests.facts.machines import (
    ADDRESS,
    CLIENT,
    CLIENT_SUBNET,
    PORT,
    SERVER,
    hold,
    new,
    rules,
    serve,
    use,
)

MATCH = f"-p tcp --dport {PORT}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Machines without services but the echo server."""
    engine = engine_named("local")
    require(engine)
    evidence = tmp_path_factory.mktemp("site")
    started = engine.start(Site(Topology.guide(), evidence, {}, [], "seed"))
    kernel(started, "ipv4/icmp_ratelimit", "0")  # or REJECT soon answers no more: see below
    kernel(started, "ipv6/conf/lo/disable_ipv6", "0")
    serve(started)
    yield started
    started.down()


def kernel(machines: Machines, name: str, value: str) -> None:
    """Change a setting of the server's network."""
    script = f"echo {value} >/proc/sys/net/{name}"
    machines.machine(SERVER).run(["sh", "-c", script])


@pytest.fixture
def machines(running: Machines) -> Iterator[Machines]:
    """The same, with no rule before or after a test."""
    rules(running)
    yield running
    rules(running)


def meets(machines: Machines, *lines: str) -> tuple[str, str]:
    """What a new connection and one that was open before meet once these rules are in force."""
    held = hold(machines)
    rules(machines, *lines)
    return new(machines), use(machines, held)


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("REJECT", ("refused", "timeout")),  # the answer is an ICMP message, which TCP outlives
        ("REJECT --reject-with tcp-reset", ("refused", "reset")),
        ("DROP", ("timeout", "timeout")),
    ],
)
def test_what_a_rule_does_to_a_new_and_to_an_open_connection(
    machines: Machines, target: str, seen: tuple[str, str]
) -> None:
    assert meets(machines, f"-A INPUT {MATCH} -j {target}") == seen


def test_a_rejection_is_told_only_now_and_then(machines: Machines) -> None:
    """One ICMP message a second per address after a burst of six: the rest meets silence."""
    rules(machines, f"-A INPUT {MATCH} -j REJECT")
    kernel(machines, "ipv4/icmp_ratelimit", "1000")
    targets = {"targets": [[ADDRESS, PORT]] * 20, "timeout": 0.9}  # before the next SYN
    seen = machines.machine(CLIENT).call("drharness.engines.agent.reach:probe", targets)
    kernel(machines, "ipv4/icmp_ratelimit", "0")
    assert set(seen) == {"refused", "timeout"}
    assert seen.count("refused") <= 7


def test_a_block_after_a_wider_accept_does_nothing(machines: Machines) -> None:
    lines = ("-A INPUT -p tcp -j ACCEPT", f"-A INPUT {MATCH} -j REJECT")
    assert meets(machines, *lines) == ("ok", "ok")


def test_a_block_in_the_output_chain_does_nothing(machines: Machines) -> None:
    assert meets(machines, f"-A OUTPUT {MATCH} -j REJECT") == ("ok", "ok")


@pytest.mark.parametrize(
    "lines",
    [
        (f"-A INPUT {MATCH} -m conntrack --ctstate NEW -j REJECT",),
        (f"-A INPUT {MATCH} --syn -j REJECT",),
        (
            "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
            f"-A INPUT {MATCH} -j REJECT",
        ),
    ],
    ids=["new-only", "syn-only", "after-established"],
)
def test_a_block_of_new_connections_lets_open_ones_live_on(
    machines: Machines, lines: tuple[str, ...]
) -> None:
    """Only where connections are tracked already: what tracking did not see begin is new to it."""
    rules(machines, "-A INPUT -m conntrack --ctstate INVALID -j DROP")  # makes the kernel track
    assert meets(machines, *lines) == ("refused", "ok")


def test_connections_older_than_their_tracking_are_taken_for_new(machines: Machines) -> None:
    """So the mistake of the test before stays hidden where nothing was tracked until then."""
    lines = (f"-A INPUT {MATCH} -m conntrack --ctstate NEW -j REJECT",)
    assert meets(machines, *lines) == ("refused", "timeout")


def test_a_rule_added_twice_and_deleted_once_is_in_force(machines: Machines) -> None:
    vm = machines.machine(SERVER)
    block = Block(CLIENT_SUBNET, PORT)
    for action in ("-A", "-A", "-D"):
        vm.run(command(action, block))
    assert new(machines) == "refused"
    assert vm.run(["iptables", "-S", "INPUT"]).stdout.count("REJECT") == 1
    arguments = {"unblock": [CLIENT_SUBNET], "port": PORT}
    vm.run(command("-A", block))
    done = vm.call("drharness.firewall.iptables:apply", arguments)
    assert (len(done), new(machines)) == (2, "ok")


def test_a_rule_is_deleted_only_in_the_words_it_was_added_with(machines: Machines) -> None:
    vm = machines.machine(SERVER)
    vm.run(command("-A", Block(CLIENT_SUBNET, PORT)))
    refused = vm.run(command("-D", Block("10.81.1.11/32", PORT)), check=False)
    assert (refused.returncode, "Bad rule" in refused.output) == (1, True), refused.output
    assert new(machines) == "refused"


def test_a_subnet_with_a_hosts_address_blocks_its_neighbours_too(machines: Machines) -> None:
    """The guide's ``/24`` behind an address: the bits of the host count for nothing."""
    rules(machines, f"-A INPUT {MATCH} --src 10.81.1.11/24 -j REJECT")
    assert new(machines, "region1-framework-b") == "refused"


def test_a_rule_for_one_version_of_ip_lets_the_other_through(machines: Machines) -> None:
    rules(machines, f"-A INPUT {MATCH} -j REJECT")
    assert new(machines, SERVER, ADDRESS) == "refused"
    assert new(machines, SERVER, "::1") == "ok"
