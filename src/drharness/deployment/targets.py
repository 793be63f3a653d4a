"""Symbolic targets: ``active.dbms``, ``dormant.framework``, ``proxies.backup`` as ids.

A schedule or a test names what a VM or component *is* when it runs, not where it started out:

    target     a VM's id, a component's id, or  WHERE "." WHAT
    WHERE      active, dormant, a region's name, or proxies
    WHAT       framework, application, dbms, framework-p, application-b2 …, each also with a
               component's kind behind it (framework-p.configserver); after proxies: primary or
               backup
"""

from __future__ import annotations

from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.topology import Topology
from drharness.topology.model import Component, Vm

WORDS = ("active", "dormant")  # these mean regions by what they are
_SIDES = {"primary": "p", "backup": "b"}


def region(topology: Topology, active: str, target: str, *, name: str = "region") -> str:
    """The region that ``active``, ``dormant`` or a region's name stands for.

    :param active: the region whose database is active now
    :param name: of the argument, for the error
    :raises UsageError: none is called so
    """
    names = _regions(topology, active)
    return names[validate.choice(name, target, names)]


def vms(
    topology: Topology, active: str, target: str, *, name: str = "target", framework: str = ""
) -> tuple[Vm, ...]:
    """The VMs that a target stands for; of a component its VM.

    :param active: the region whose database is active now
    :param name: of the argument, for the error
    :param framework: the region whose Framework is; default the same
    :raises UsageError: nothing is called so; names what could be
    """
    if target in {vm.id for vm in topology.vms}:
        return (topology.vm(target),)
    found = _named(topology, active, target, name=name, framework=framework)
    if found and isinstance(found[0], Component):
        return tuple(topology.vm(c.vm) for c in found if isinstance(c, Component))
    return tuple(v for v in found if isinstance(v, Vm))


def components(
    topology: Topology, active: str, target: str, *, framework: str = ""
) -> tuple[Component, ...]:
    """The components that a target stands for.

    :param active: the region whose database is active now
    :param framework: the region whose Framework is; default the same
    :raises UsageError: nothing is called so, or it is a VM
    """
    found = [
        c for c in _named(topology, active, target, framework=framework) if isinstance(c, Component)
    ]
    if not found:
        raise UsageError(f"target: expected a component, like {target}.lca, got the VM {target!r}.")
    return tuple(found)


def _named(
    topology: Topology, active: str, target: str, *, name: str = "target", framework: str = ""
) -> tuple[Vm | Component, ...]:
    names: dict[str, tuple[Vm | Component, ...]] = {c.id: (c,) for c in topology.components}
    names |= {vm.id: (vm,) for vm in topology.vms}
    for word, meant in _regions(topology, active).items():
        names |= _of_region(topology, word, meant)
    if framework and framework != active:  # each to its own: the database, and who works on it
        for word, meant in _regions(topology, framework).items():
            found = _of_region(topology, word, meant)
            names |= {k: v for k, v in found.items() if k.startswith(f"{word}.framework")}
    for word, side in _SIDES.items():
        names[f"proxies.{word}"] = tuple(
            c for c in topology.components if c.kind == "csproxy" and c.side == side
        )
    return names[validate.choice(name, target, names)]


def _regions(topology: Topology, active: str) -> dict[str, str]:
    where = dict(zip(WORDS, (active, topology.other(active)), strict=True))
    return where | {r: r for r in topology.regions}


def _of_region(topology: Topology, word: str, region: str) -> dict[str, tuple[Vm | Component, ...]]:
    names: dict[str, tuple[Vm | Component, ...]] = {}
    for vm in topology.vms_of(region):
        places = {vm.role, vm.place}
        for place in places:
            names[f"{word}.{place}"] = (*names.get(f"{word}.{place}", ()), vm)
            for it in topology.components:
                if it.vm == vm.id:
                    key = f"{word}.{place}.{it.kind}"
                    names[key] = (*names.get(key, ()), it)
    return names
