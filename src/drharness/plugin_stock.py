"""Which deployments a session keeps in stock: one pool for each topology, and when to stage.

A deployment is staged only where the next one to be asked for is known: for the test that follows,
if it asks for ``dr_deployment`` with the same topology, and within a test that Hypothesis repeats.
While a test runs that measures times, nothing comes up or ends beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drharness import errors, plugin_marks

if TYPE_CHECKING:
    from drharness.deployment import Pool
    from drharness.topology import Topology

_DEPLOYMENT, _TOPOLOGY = "dr_deployment", "dr_topology"


class Stock:
    """The pools of one session (one per worker of pytest-xdist)."""

    def __init__(self, *, stages: bool = True) -> None:
        """:param stages: whether deployments come up ahead unless a test says otherwise"""
        self._stages = stages
        self._pools: dict[Topology, Pool] = {}
        self._item: pytest.Item | None = None
        self._next: pytest.Item | None = None
        self._asked: list[Topology] = []  # of the lab, by the current test

    def pool(self, topology: Topology | None, engine: str, evidence: Path) -> Pool:
        """The pool of a topology; what others have staged is not what comes next, and ends.

        :param topology: default :meth:`Topology.guide`
        """
        from drharness.deployment import Pool
        from drharness.topology import Topology

        key = Topology.guide() if topology is None else topology
        found = self._pools.get(key) if isinstance(key, Topology) else None
        for other in self._pools.values():
            if other is not found:
                other.stage(0)
        if found is None:
            found = Pool(key, engine=engine, evidence_dir=evidence, staged=0)
            self._pools[key] = found
        return found

    def begin(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """A test begins; ``following`` is the one after it."""
        if not _wants_deployment(item):
            self._end_staged()
        self._item, self._next = item, following
        self._asked.clear()

    def _end_staged(self) -> None:
        for pool in self._pools.values():
            pool.stage(0)

    @property
    def _staging(self) -> bool:
        """Whether another deployment may come up while the current test runs."""
        said = None if self._item is None else plugin_marks.staged_of(self._item)
        return self._stages if said is None else said

    def quieten(self) -> None:
        """Where none may come up, wait until none is on its way down either."""
        if not self._staging:
            for pool in self._pools.values():
                pool.settle()

    def next_wants_the_same(self) -> bool:
        """Whether a deployment may come up, and the next test asks for one with this topology."""
        one, other = self._item, self._next
        if not self._staging:
            return False
        if one is None or other is None or not _wants_deployment(other):
            return False
        return _source_of_topology(one) == _source_of_topology(other)

    def expects_more(self, topology: Topology | None) -> bool:
        """Whether the current test is going to ask the lab for such a deployment again.

        So does one that Hypothesis runs, and one that has asked for it before.
        """
        from drharness.topology import Topology

        key = Topology.guide() if topology is None else topology
        again = key in self._asked
        self._asked.append(key)
        function = getattr(self._item, "function", None)
        if not self._staging:
            return False
        return again or bool(getattr(function, "is_hypothesis_test", False))

    def close(self) -> list[str]:
        """End all deployments; what went wrong, each a line."""
        said = []
        for pool in self._pools.values():
            try:
                pool.close()
            except errors.DrHarnessError as error:
                said.append(str(error))
        self._pools.clear()
        return said


def _wants_deployment(item: pytest.Item) -> bool:
    skipped = any(mark.name in ("skip", "skipif") for mark in item.iter_markers())  # or may be
    return _DEPLOYMENT in getattr(item, "fixturenames", ()) and not skipped


def _source_of_topology(item: pytest.Item) -> tuple[Any, ...]:
    """What decides on a test's topology: markers, the fixture, and its parameters if it has any."""
    given = [mark.kwargs for mark in item.iter_markers("dr")]
    marks = [tuple(sorted((k, v) for k, v in one.items() if k != "staged")) for one in given]
    info = getattr(item, "_fixtureinfo", None)
    fixtures = () if info is None else info.name2fixturedefs.get(_TOPOLOGY, ())
    own = all(definition.func.__module__ == "drharness.plugin" for definition in fixtures)
    parameters = (
        () if own else tuple(getattr(getattr(item, "callspec", None), "params", {}).items())
    )
    return marks, tuple(fixtures), parameters
