"""Cuts between VMs: which connections hang, are refused or reset, which goodbyes get out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drharness.deployment import Deployment
from drharness.errors import UsageError
from drharness.faults import LinkCut, StandbyCut
from drharness.faults.model import Fault
from tests.faults import links

S, T = "region2-application-b", "region1-application-b"
SAVED = "/etc/iptables/rules.v4"


@pytest.fixture(scope="module")
def echo(unfenced: Deployment) -> Iterator[Deployment]:
    """The deployment with an echo server on both ends of the link."""
    for vm in (S, T):
        links.serve(unfenced, vm, links.ECHO_PORT)
    yield unfenced
    for vm in (S, T):
        links.stop(unfenced, vm, links.ECHO_PORT)


def reached(deployment: Deployment, source: str, target: str, port: int = links.ECHO_PORT) -> str:
    """What comes of a new connection."""
    address = deployment.topology.vm(target).address
    return deployment.operations.reach(source, [(address, port)], timeout=0.3)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "both_ways", "new", "used"),
    [
        # new and open connections: begun and used by the source, then by the target
        ("drop", False, ("timeout", "timeout"), ("timeout", "timeout")),
        ("drop", True, ("timeout", "timeout"), ("timeout", "timeout")),
        ("reject", False, ("refused", "timeout"), ("timeout", "timeout")),
        ("reject", True, ("refused", "refused"), ("timeout", "timeout")),
        ("reset", False, ("refused", "timeout"), ("reset", "reset")),
        ("reset", True, ("refused", "refused"), ("reset", "reset")),
    ],
)
def test_what_a_cut_does_to_new_and_to_open_connections(
    echo: Deployment, how: str, both_ways: bool, new: tuple[str, str], used: tuple[str, str]
) -> None:
    ends = ((S, T), (T, S))
    held = [links.hold(echo, a, b, port=links.ECHO_PORT, name="talk", words="y") for a, b in ends]
    for vm, _ in ends:
        links.wait_open(echo, vm, "talk")
    with echo.inject(LinkCut(S, T, how=how, both_ways=both_ways)):
        for vm, _ in ends:
            links.use(echo, vm, "talk")
        assert tuple(reached(echo, a, b) for a, b in ends) == new
        assert tuple(h.result(30)["stdout"].strip() for h in held) == used
    assert [reached(echo, a, b) for a, b in ends] == ["ok", "ok"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "both_ways", "heard"),
    [
        # by the source when the target's process ends, and the other way about
        ("drop", False, ("closed", "timeout")),
        ("drop", True, ("timeout", "timeout")),
        ("reject", False, ("closed", "timeout")),
        ("reject", True, ("timeout", "timeout")),
        ("reset", False, ("closed", "timeout")),
        ("reset", True, ("timeout", "timeout")),
    ],
)
def test_a_goodbye_gets_out_only_the_way_that_is_not_cut(
    echo: Deployment, how: str, both_ways: bool, heard: tuple[str, str]
) -> None:
    ends = ((S, T), (T, S))
    for vm, _ in ends:
        links.serve(echo, vm, links.MUTE_PORT)
    held = [links.hold(echo, a, b, port=links.MUTE_PORT, name="wait", words="") for a, b in ends]
    for vm, _ in ends:
        links.wait_open(echo, vm, "wait")
    with echo.inject(LinkCut(S, T, how=how, both_ways=both_ways)):
        for vm, _ in ends:
            links.stop(echo, vm, links.MUTE_PORT)
        for vm, _ in ends:
            links.use(echo, vm, "wait")
        said = [h.result(30)["stdout"].strip() for h in held]
    if how == "reset" and said[0] == "reset":
        said[0] = "closed"  # its acknowledgement of the FIN was answered by RST before it looked
    assert tuple(said) == heard


@pytest.mark.slow
@pytest.mark.parametrize(("how", "res"), [("drop", "timeout"), ("reset", "refused")])
def test_a_cut_by_port_leaves_the_other_ports(echo: Deployment, how: str, res: str) -> None:
    """Also within one region, whose VMs no router is between."""
    for source in (S, "region1-application-p"):
        cut = LinkCut(source, T, links.ECHO_PORT, how=how, both_ways=True)
        with echo.inject(cut) as guard:
            assert list(guard.receipt.after.values()) == [res]
            assert reached(echo, source, T, 4999) == "ok"
            assert reached(echo, T, source, 4999) == "ok"
        assert reached(echo, source, T) == "ok"


@pytest.mark.slow
def test_a_link_to_a_region_is_cut_to_all_its_other_vms(whole: Deployment) -> None:
    with whole.inject(LinkCut("region1-application-b", "region1", how="reject")) as guard:
        assert len(guard.receipt.lost) == 4
        assert reached(whole, "region1-application-b", "region2-application-b", 4999) == "ok"
        assert reached(whole, "region1-application-p", "region1-framework-p", 4999) == "ok"
    assert len(whole.history.faults[-1].targets) == 5


@pytest.mark.slow
def test_an_operators_rules_neither_show_a_cut_nor_are_touched(whole: Deployment) -> None:
    dbms = whole.vm("region1-dbms")
    rules = [dbms.run(argv).stdout for argv in (["iptables", "-S"], ["cat", SAVED])]
    saved = set(dbms.run(["iptables-save"]).stdout.splitlines())
    with whole.inject(LinkCut("region2", "active.dbms", how="reject", both_ways=True)):
        assert [dbms.run(a).stdout for a in (["iptables", "-S"], ["cat", SAVED])] == rules
        now = set(dbms.run(["iptables-save"]).stdout.splitlines())
        assert [line for line in now ^ saved if not line.startswith(("#", ":"))] == []
    assert dbms.run(["iptables", "-S"]).stdout == rules[0]


@pytest.mark.slow
def test_a_cut_lasts_through_a_reboot_and_heals_after_it(whole: Deployment) -> None:
    guard = whole.inject(LinkCut(S, T, 4999, how="reject"))
    whole.operations.reboot(T, cause="test")
    whole.wait_until(lambda: reached(whole, "region1-application-p", T, 4999) == "ok", "its LCA")
    assert reached(whole, S, T, 4999) == "refused"
    guard.heal()
    assert reached(whole, S, T, 4999) == "ok"


@pytest.mark.slow
def test_a_cut_heals_while_its_vm_is_off(whole: Deployment) -> None:
    guard = whole.inject(LinkCut(S, T, how="reject", both_ways=True))
    whole.operations.power_off(T, cause="test")
    guard.heal()
    whole.operations.power_on(T, cause="test")
    whole.wait_until(lambda: reached(whole, S, T, 4999) == "ok", "its LCA")


@pytest.mark.slow
def test_one_of_two_cuts_of_a_link_heals_alone(whole: Deployment) -> None:
    one = whole.inject(LinkCut(S, T, 4999, how="reject"))
    other = whole.inject(LinkCut("region2-application-p", T, how="reset"))
    one.heal()
    assert reached(whole, S, T, 4999) == "ok"
    assert reached(whole, "region2-application-p", T, 4999) == "refused"
    other.heal()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["drop", "reject", "reset"])
def test_without_the_standbys_link_no_write_is_acknowledged(whole: Deployment, how: str) -> None:
    """A synchronous commit waits for the standby; both databases are there for everybody else."""
    operations = whole.operations
    with whole.inject(StandbyCut(how)) as guard:
        assert len(guard.receipt.lost) == 2
        for dbms in ("region1-dbms", "region2-dbms"):
            assert reached(whole, S, dbms, 5432) == "ok"
        assert not operations.canary("region1", f"waits {how}", deadline=0.5)["ok"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (LinkCut("region1-aplication-p", T), r"source: expected .* Did you mean 'region1-appl"),
        (LinkCut(S, "region3-dbms"), r"target: expected one of .* got 'region3-dbms'"),
        (LinkCut(S, S), r"target: expected another VM than the source's, got 'region2-appl"),
        (LinkCut(S, T, 70000), r"port: expected a number from 0 to 65535, got 70000"),
        (LinkCut(S, T, how="lose"), r"how: expected one of drop, reject, reset, got 'lose'"),
        (LinkCut("dormant.framework", T), r"expected VMs that are on, got region2-framework-p"),
        (StandbyCut("flap"), r"how: expected one of .* got 'flap'"),
    ],
    ids=repr,
)
def test_bad_input_is_named(unfenced: Deployment, fault: Fault, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        unfenced.inject(fault)


@pytest.mark.slow
def test_the_same_cut_is_not_made_twice(whole: Deployment) -> None:
    whole.inject(LinkCut(S, T, how="reject"))
    with pytest.raises(UsageError, match="is in force already"):
        whole.inject(LinkCut(S, T, how="reject"))
