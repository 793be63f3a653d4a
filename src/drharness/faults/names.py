"""Faults of names: the DNS server is gone or answers wrongly, resolvers keep answers too long.

Probes that must change a name to be seen have one of their own, ``probe-<token>``, which is there
only while they run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from drharness.deployment import targets
from drharness.deployment.operations import NOT_YET, Operations
from drharness.dns.cache import MAX_TTL, POLICIES
from drharness.dns.misbehaviour import HOW, SLOWEST_S
from drharness.engines.agent.services import BOOT_FILE
from drharness.engines.client import result
from drharness.errors import DrHarnessError, UsageError
from drharness.faults.model import Breakage, Fault, Seen, changed, tcp
from drharness.kernel import rng, validate
from drharness.kernel.waiting import wait_until
from drharness.topology import addresses

_VM = "dns"
_SERVICE = "dns"
_READY_S = 10.0
DOWN = ("power", "process")
_CONTROL = "drharness.dns.control"
_PATIENT_S, _IMPATIENT_S = 2.0, 0.5
_FIRST, _SECOND = "192.0.2.1", "192.0.2.2"  # RFC 5737: addresses that nobody has


def _witnesses(operations: Operations) -> list[str]:
    """An Application VM of each region that has one that is on.

    :raises UsageError: none is on
    """
    topology = operations.topology
    found = [
        [vm.id for vm in topology.vms_of(r, "application") if operations.is_on(vm.id)][:1]
        for r in topology.regions
    ]
    seen = [vm for vms in found for vm in vms]
    if not seen:
        raise UsageError("no Application VM is on: nobody could ask the DNS server.")
    return seen


def _wait_answering(operations: Operations) -> None:
    """Until the server answers for its own names, asked from its own VM."""
    wait_until(
        lambda: operations.look_up(_VM, addresses.FRAMEWORK_NAMES[0], addresses.DNS_SERVER)["aa"],
        "the DNS server answers again",
        timeout=_READY_S,
        retry_on=NOT_YET,
    )


@dataclass(frozen=True)
class DnsDown(Fault):
    """Nobody answers questions for names.

    :ivar how: ``power``: its VM is off, questions meet silence; ``process``: the server has ended,
        its VM refuses them at once
    """

    how: str = "power"

    def breakage(self, operations: Operations) -> Breakage:
        """Application VMs connect to its port; then the VM or the process ends."""
        validate.choice("how", self.how, DOWN)
        if not operations.is_on(_VM):
            raise UsageError(f"{_VM} is powered off already.")
        target = (addresses.DNS_SERVER, 53)
        by_power = self.how == "power"
        return Breakage(
            look=tcp(operations, {vm: [target] for vm in _witnesses(operations)}),
            apply=lambda: self._end(operations),
            undo=lambda: _power_again(operations, self.f) if by_power else _start_again(operations),
            targets=[_VM],
        )

    def _end(self, operations: Operations) -> None:
        if self.how == "power":
            operations.power_off(_VM, cause=self.f)
        else:
            _request(operations, "stop", name=_SERVICE)
            wait_until(
                lambda: not _is_running(operations), "the DNS server to end", timeout=_READY_S
            )


def _request(operations: Operations, op: str, **fields: Any) -> Any:
    future = operations.machine(_VM).submit(op, timeout=_READY_S, **fields)
    return result(future, f"{_VM}: {op}", _READY_S)


def _power_again(operations: Operations, f: str) -> None:
    operations.power_on(_VM, cause=f"{f} healed")
    _wait_answering(operations)


def _start_again(operations: Operations) -> None:
    """As the boot list says, unless a boot did it meanwhile; a VM without power stays off."""
    if not operations.is_on(_VM):
        return
    if not _is_running(operations):
        listed = json.loads(operations.machine(_VM).run(["cat", BOOT_FILE]).stdout)
        (service,) = [s for s in listed if s["name"] == _SERVICE]
        _request(operations, "start", **service)
    _wait_answering(operations)


def _is_running(operations: Operations) -> bool:
    return operations.is_on(_VM) and _SERVICE in _request(operations, "processes").values()


def _server(operations: Operations, function: str, **kwargs: Any) -> Any:
    return operations.machine(_VM).call(f"{_CONTROL}:{function}", kwargs)


def _set(operations: Operations, name: str, addresses: Sequence[str], *, ttl: int) -> None:
    """Store a name, whatever the server answers."""
    records = {name: list(addresses)}
    _server(operations, "change_records", records=records, ttl=ttl, verify=False)


def _ask_all(
    operations: Operations, vms: Sequence[str], function: str, **kwargs: Any
) -> dict[str, Any]:
    """What a control function says in each VM.

    :raises DrHarnessError: one of them cannot be asked
    """
    answers = operations.on_all(vms, f"{_CONTROL}:{function}", **kwargs)
    for vm, answer in answers.items():
        if isinstance(answer, DrHarnessError):
            raise DrHarnessError(f"{vm}: {function}: {answer}") from answer
    return answers


@dataclass(frozen=True)
class DnsAnswers(Fault):
    """The authoritative server answers, but wrongly, for every name.

    :ivar how: ``servfail``; ``nxdomain``; ``truncated``: over UDP, so that all have to ask again
        over TCP; ``truncated-no-tcp``: and over TCP nothing comes; ``slow``: the truth, late;
        ``stale``: it takes changes and goes on answering what was so before
    :ivar seconds: how late the answers of ``slow`` are
    """

    how: str = "servfail"
    seconds: float = 3.0

    def breakage(self, operations: Operations) -> Breakage:
        """A VM of each region asks the server itself, once over UDP and once over TCP.

        :raises UsageError: it answers wrongly already
        """
        validate.choice("how", self.how, HOW)
        validate.number("seconds", self.seconds, low=0.01, high=SLOWEST_S)
        if not _is_running(operations):
            raise UsageError(f"{_VM}: the DNS server does not run: it cannot answer wrongly.")
        wrong = _server(operations, "stats")["misbehaves"].get("*")
        if wrong:
            raise UsageError(f"{_VM}: the DNS server answers wrongly already: {wrong}.")
        vms = _witnesses(operations)
        stale = self.how == "stale"
        look = partial(_news, operations, vms) if stale else partial(self._look, operations, vms)
        return Breakage(
            look=look,
            apply=lambda: _server(operations, "misbehave", how=self.how, seconds=self.seconds),
            undo=lambda: _behave(operations),
            targets=[_VM],
            missing=self._missing,
        )

    def _look(self, operations: Operations, vms: Sequence[str], patient: bool) -> Seen:
        """What comes back to one try; what is late by as much as was asked for is no answer."""
        patience = _PATIENT_S if patient else _IMPATIENT_S
        if not patient and self.how == "slow":
            patience = min(patience, self.seconds)
        asked = {"name": addresses.FRAMEWORK_NAMES[0], "server": addresses.DNS_SERVER}
        return {
            f"{vm} -> {addresses.DNS_SERVER} over {over}": (
                "truncated" if said["tc"] else said["text"]
            )
            for over in ("udp", "tcp")
            for vm, said in _ask_all(
                operations, vms, "probe", over=over, patience=patience, **asked
            ).items()
        }

    def _missing(self, before: Seen, after: Seen) -> str:
        if self.how == "truncated":  # the truth is to be had over TCP
            before = {k: seen for k, seen in before.items() if k.endswith("udp")}
        return changed(before, after)


def _news(operations: Operations, vms: Sequence[str], patient: bool) -> Seen:
    """What the server itself answers for a name that was stored a moment ago."""
    name = f"probe-{rng.token()}.{addresses.DOMAIN}"
    _set(operations, name, [_FIRST], ttl=0)
    try:
        said = _ask_all(operations, vms, "lookup", name=name, server=addresses.DNS_SERVER)
        return {
            f"{vm} -> {addresses.DNS_SERVER} for a name just stored": answer["text"]
            for vm, answer in said.items()
        }
    finally:
        _set(operations, name, [], ttl=0)


def _behave(operations: Operations) -> None:
    """A server that has ended since has forgotten it."""
    if _is_running(operations):
        _server(operations, "misbehave")
        _wait_answering(operations)


@dataclass(frozen=True)
class ResolverPolicy(Fault):
    """Caching resolvers keep answers otherwise than the authority says; a flush empties them.

    When it begins they keep both Framework names, as they are then. When it is healed, what they
    keep is judged again by what the authority said of it.

    :ivar target: Application VMs, by id or symbolic (``active.application``)
    :ivar how: ``floor``: at least, ``cap``: at most ``seconds``; ``forever``; ``serve-stale``:
        answers that ended at most ``seconds`` ago are given while the server gives none
    :ivar seconds: for ``floor`` more, for ``cap`` less than the topology's TTL
    """

    target: str = "active.application"
    how: str = "floor"
    seconds: float = 60.0

    def breakage(self, operations: Operations) -> Breakage:
        """Each resolver is asked for a name of the probe's own, which then changes."""
        self._check(operations)
        found = targets.vms(
            operations.topology, operations.active, self.target, framework=operations.framework
        )
        if any(vm.role != "application" for vm in found):
            raise UsageError(f"target: expected Application VMs, got {self.target!r}.")
        vms = [vm.id for vm in found if operations.is_on(vm.id)]
        if not vms:
            raise UsageError(f"target: no VM of {self.target!r} is on.")
        before: Mapping[str, Any] = _ask_all(operations, vms, "policy")
        return Breakage(
            look=lambda _: self._look(operations, vms),
            apply=lambda: self._apply(operations, before),
            undo=lambda: _restore(operations, before),
            targets=[f"{vm}.resolver" for vm in vms],
            missing=self._missing,
        )

    def _check(self, operations: Operations) -> None:
        """:raises UsageError: not a policy, or one that would change nothing"""
        validate.choice("how", self.how, [p for p in POLICIES if p != "honour"])
        if operations.topology.resolver != "ours":
            raise UsageError(
                f"resolver policy {self.how}: the topology's resolver is "
                f"{operations.topology.resolver}, which is as it is; only 'ours' can be told."
            )
        validate.number("seconds", self.seconds, low=0, high=MAX_TTL / 4)
        ttl = operations.topology.ttl
        bounds = {"floor": self.seconds > ttl, "cap": self.seconds < ttl}
        if not bounds.get(self.how, True):
            than = {"floor": "more", "cap": "less"}[self.how]
            raise UsageError(
                f"seconds: expected {than} than the topology's TTL, {ttl} s, got {self.seconds:g}: "
                f"a {self.how} there changes nothing."
            )

    def _apply(self, operations: Operations, before: Mapping[str, Any]) -> None:
        try:
            _ask_all(operations, [*before], "set_policy", how=self.how, seconds=self.seconds)
            for name in addresses.FRAMEWORK_NAMES:
                _ask_all(operations, [*before], "lookup", name=name)
        except DrHarnessError:
            _restore(operations, before)
            raise

    def _look(self, operations: Operations, vms: Sequence[str]) -> Seen:
        """The seconds given with an answer, and what is answered after it changed at the server.

        For ``serve-stale`` the server does not change the name but answers SERVFAIL for it.
        """
        name = f"probe-{rng.token()}.{addresses.DOMAIN}"
        ttl = int(2 * self.seconds) + 60 if self.how == "cap" else 0
        try:
            _set(operations, name, [_FIRST], ttl=ttl)
            first = _ask_all(operations, vms, "lookup", name=name)
            if self.how == "serve-stale":
                _server(operations, "misbehave", how="servfail", name=name)
            else:
                _set(operations, name, [_SECOND], ttl=ttl)
            second = _ask_all(operations, vms, "lookup", name=name)
        finally:
            _server(operations, "misbehave", name=name)
            _set(operations, name, [], ttl=0)
            _ask_all(operations, vms, "flush", name=name)
        return {
            **{_ttl(vm): f"{said['ttl']} s" for vm, said in first.items()},
            **{_later(vm): said["text"] for vm, said in second.items()},
        }

    def _missing(self, before: Seen, after: Seen) -> str:
        telling = "serves" if self.how == "serve-stale" else "keeps"
        return changed({k: seen for k, seen in before.items() if telling in k}, after)


def _ttl(vm: str) -> str:
    return f"{vm} -> its resolver keeps a name of the probe's for"


def _later(vm: str) -> str:
    return f"{vm} -> its resolver serves, once that is no longer so"


def _restore(operations: Operations, policies: Mapping[str, Any]) -> None:
    """A resolver that was started again since honours TTLs anyway.

    :raises DrHarnessError: one has another policy still
    """
    for vm, policy in policies.items():
        if operations.is_on(vm):
            said = operations.machine(vm).call(f"{_CONTROL}:set_policy", policy)
            if said != policy:
                raise DrHarnessError(f"{vm}: expected the resolver's policy {policy}, got {said}")
