"""Faults of names on a deployment: what look-ups meet, what a failover makes of it, the heal."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from drharness import faults, procedures
from drharness.deployment import Deployment
from drharness.deployment.operations import Operations
from drharness.dns.cache import MAX_TTL
from drharness.dns.misbehaviour import HOW
from drharness.errors import FaultNotProven, UsageError
from drharness.faults.model import Breakage, Fault
from drharness.kernel import clock
from drharness.topology import addresses

P = addresses.FRAMEWORK_NAMES[0]
VM = "region2-application-b"
POLICY = "drharness.dns.control:policy"

pytestmark = pytest.mark.slow


def ask_server(d: Deployment) -> str:
    """What the server itself answers an Application VM."""
    text: str = d.operations.look_up(VM, P, addresses.DNS_SERVER)["text"]
    return text


def names(d: Deployment) -> list[str]:
    """What a resolver remembers."""
    return [entry["name"] for entry in d.dns.cache(VM)]


@pytest.mark.parametrize(("how", "says"), [("power", "no answer in"), ("process", "refused")])
def test_a_server_that_is_gone_answers_nobody_and_then_as_before(
    shared: Deployment, how: str, says: str
) -> None:
    zone = shared.dns.zone()
    with shared.inject(faults.DnsDown(how=how)):
        assert says in ask_server(shared)
        assert shared.operations.look_up("region1-framework-p", P)["rcode"] == "NOANSWER"
    assert ask_server(shared) == "addresses 10.81.1.11"
    assert shared.dns.zone() == zone


def test_a_server_that_a_boot_has_started_is_not_started_twice(shared: Deployment) -> None:
    guard = shared.inject(faults.DnsDown(how="process"))
    shared.operations.reboot("dns", cause="test")
    guard.heal()
    future = shared.operations.machine("dns").submit("processes", timeout=5.0)
    assert list(future.result(5.0).values()).count("dns") == 1


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("nxdomain", "NXDOMAIN"),
        ("servfail", "SERVFAIL"),
        ("slow", "no answer in 1 s"),
        ("stale", "addresses 10.81.1.11"),
        ("truncated", "addresses 10.81.1.11"),
        ("truncated-no-tcp", "no answer in 1 s over TCP"),
    ],
)
def test_a_server_answers_wrongly_until_it_is_healed(
    shared: Deployment, how: str, says: str
) -> None:
    zone = shared.dns.zone()
    with shared.inject(faults.DnsAnswers(how=how)) as guard:
        assert guard.receipt.changed
        assert says in ask_server(shared)
        with pytest.raises(UsageError, match="answers wrongly already"):
            shared.inject(faults.DnsAnswers())
    assert ask_server(shared) == "addresses 10.81.1.11"
    assert shared.dns.zone()["records"] == zone["records"]


def test_every_way_to_answer_wrongly_is_tried_above() -> None:
    marks = test_a_server_answers_wrongly_until_it_is_healed.pytestmark  # type: ignore[attr-defined]
    assert sorted(row[0] for row in marks[0].args[1]) == sorted(HOW)


@pytest.mark.parametrize(
    ("fault", "ttl"),
    [
        (faults.ResolverPolicy(VM, "floor", 60.0), 60),
        (faults.ResolverPolicy(VM, "cap", 0.0), 0),
        (faults.ResolverPolicy("region2.application-b", "forever"), MAX_TTL),
        (faults.ResolverPolicy("proxies.backup", "serve-stale", 60.0), 1),
    ],
    ids=repr,
)
def test_a_resolver_keeps_answers_by_another_policy_until_it_is_healed(
    shared: Deployment, fault: faults.ResolverPolicy, ttl: int
) -> None:
    with shared.inject(fault) as guard:
        assert guard.receipt.changed
        assert fault.how in ("cap", "serve-stale") or P in names(shared)
        shared.dns.flush(VM)
        assert shared.dns.look_up(VM, P)["ttl"] == ttl
        assert shared.vm(VM).call(POLICY)["how"] == fault.how
    assert shared.vm(VM).call(POLICY) == {"how": "honour", "seconds": 0.0}
    assert shared.dns.look_up(VM, P)["ttl"] <= 1
    assert not [name for name in names(shared) if "probe" in name]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.ResolverPolicy(VM, "floor", 1.0), "seconds: expected more than the topology's TTL"),
        (faults.ResolverPolicy(VM, "cap", 1.0), "seconds: expected less than the topology's TTL"),
        (faults.ResolverPolicy(VM, "honour"), "how: expected one of cap, floor, forever"),
        (faults.ResolverPolicy("active.dbms"), "target: expected Application VMs"),
        (faults.DnsAnswers("slow", 0.0), "seconds: expected a number"),
        (faults.DnsAnswers("odd"), "how: expected one of nxdomain"),
        (faults.DnsDown("odd"), "how: expected one of power, process"),
    ],
    ids=repr,
)
def test_what_would_change_nothing_is_refused(shared: Deployment, fault: Fault, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        shared.inject(fault)


@dataclass(frozen=True)
class Vain(faults.DnsAnswers):
    """Looks twice and tells the server nothing."""

    def breakage(self, operations: Operations) -> Breakage:
        """The same, without its effect."""
        planned = super().breakage(operations)
        return dataclasses.replace(planned, apply=lambda: None, undo=lambda: None)


@pytest.mark.parametrize("how", ["servfail", "stale"])
def test_right_answers_prove_nothing(shared: Deployment, how: str) -> None:
    with pytest.raises(FaultNotProven, match="as before"):
        shared.inject(Vain(how=how))


def test_connections_outlive_the_dns_server(deployment: Deployment) -> None:
    with deployment.traffic() as traffic:
        with deployment.inject(faults.DnsDown()):
            traffic.wait_writes(60, timeout=20.0)
        traffic.wait_writes(60, timeout=20.0)
    verdict = deployment.judge()
    assert verdict.ok, str(verdict)


def test_without_a_dns_vm_a_failover_refuses_and_succeeds_after_the_heal(
    deployment: Deployment,
) -> None:
    procedure = procedures.full_failover(to="region2")
    with deployment.traffic():
        dns = deployment.inject(faults.DnsDown())
        deployment.inject(faults.RegionDown("region1"))
        refused = deployment.run(procedure)
        dns.heal()
        again = deployment.run(procedure)
    verdict = deployment.judge()
    assert (refused.status, refused.step) == ("refused", "preflight")
    assert "dns is powered off" in refused.text
    assert again.ok, again.text
    assert verdict.ok, str(verdict)


def test_names_that_are_not_answered_fail_the_switch_and_a_rerun_succeeds(
    deployment: Deployment,
) -> None:
    """Whatever is wrong, the step ends soon and says what was answered."""
    procedure = procedures.full_failover(to="region2")
    cases = {
        faults.DnsDown(how="process"): "no DNS process answers there",
        faults.DnsAnswers("stale"): "expected ['10.82.1.11'] served",
        faults.DnsAnswers("servfail"): "got SERVFAIL",
        faults.DnsAnswers("slow", 9.0): "no answer in 1 s",
    }
    with deployment.traffic():
        deployment.inject(faults.RegionDown("region1"))
        for fault, says in cases.items():
            with deployment.inject(fault):
                began = clock.now()
                outcome = deployment.run(procedure)
            assert (outcome.status, outcome.step) == ("fail", "switch-names"), outcome.text
            assert says in outcome.text
            assert clock.now() - began < deployment.topology.profile.rto_bound
        again = deployment.run(procedure)
    verdict = deployment.judge()
    assert again.ok, again.text
    assert verdict.ok, str(verdict)


@pytest.mark.parametrize(
    "fault",
    [
        faults.DnsAnswers("truncated"),
        faults.ResolverPolicy("region2.application", "forever"),
    ],
    ids=repr,
)
def test_the_shipped_procedure_gets_over_it(deployment: Deployment, fault: Fault) -> None:
    with deployment.traffic():
        deployment.inject(fault)
        deployment.inject(faults.RegionDown("region1"))
        outcome = deployment.run(procedures.full_failover(to="region2"))
    verdict = deployment.judge()
    assert outcome.ok, outcome.text
    assert verdict.ok, str(verdict)


def test_without_a_flush_what_a_resolver_keeps_is_an_outage(deployment: Deployment) -> None:
    with deployment.traffic():
        deployment.inject(faults.ResolverPolicy("region2-application-p", "forever"))
        deployment.inject(faults.RegionDown("region1"))
        procedure = procedures.full_failover(to="region2").without("flush")
        outcome = deployment.run(procedure)
    verdict = deployment.judge()
    assert outcome.step == "reconnect"
    assert "; cfgmaster-p.dr.internal is " in outcome.text
    assert {"P1", "L1"} <= set(verdict.failed), str(verdict)
