"""Deployments of failed tests, kept for those who want to look into them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drharness.deployment import kept, register
from drharness.deployment.custody import Custody
from drharness.deployment.deployment import Deployment
from drharness.errors import DrHarnessError
from drharness.kernel import rng

MOST = 4  # of one user's at once: each takes hundreds of megabytes


@dataclass(frozen=True)
class Plan:
    """What becomes of a failed test's deployment.

    :ivar name: what it will be called; empty: it is not kept
    :ivar text: what to tell of that
    """

    name: str
    test: str
    text: str


class Keepers:
    """Those of one session: in waiting, one for each deployment that runs, or with one to keep."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._waiting: list[Custody] = []
        self._kept: dict[str, kept.Kept] = {}  # by test

    def custody(self) -> Custody:
        """One in waiting, for a deployment that begins; to be given back when that has ended."""
        return self._waiting.pop() if self._waiting else Custody(self._scale)

    def give_back(self, custody: Custody) -> None:
        """Its deployment has ended, or was handed over."""
        if not custody.taken:
            self._waiting.append(custody)

    def plan(self, deployment: Deployment, test: str) -> Plan:
        """What will become of a deployment, now that its test has failed.

        :param test: the test's name, unique in its session
        """
        before = 1 if test in self._kept else 0  # of the same test only the last one is kept
        there = [r.name for r in register.living() if r.origin]
        if len(there) - before >= MOST:
            names = ", ".join(there)
            text = f"not kept: there are {MOST} already: {names}. End one: drharness down NAME"
            return Plan("", test, text)
        word = re.sub(r"[^a-z0-9]+", "-", test.rpartition("::")[2].lower())[:24].strip("-")
        name = f"kept-{word}-{rng.token(2)}"
        first = f"kept: it stays as {name!r} once this test's fixtures have ended, for 8 hours:"
        return Plan(name, test, "\n".join([first, *kept.ways_in(name, deployment.topology)]))

    def keep(self, plan: Plan, deployment: Deployment, custody: Custody) -> str:
        """Hand it over; what there is to say of that in one line. Never raises."""
        try:
            failed = self.drop(plan.test)
            made = custody.keep(deployment, plan.name, origin=plan.test)
        except DrHarnessError as error:
            return f"{plan.test}: its deployment could not be kept: {error}"
        self._kept[plan.test] = made
        how = f"; {failed}" if failed else ""
        return f"kept for {plan.test}: drharness status {plan.name}{how}"

    def drop(self, test: str) -> str:
        """The test has not failed in the end, or another deployment of it is kept.

        :return: what went wrong, if anything
        """
        earlier = self._kept.pop(test, None)
        try:
            if earlier is not None and register.find(earlier.name) is not None:
                earlier.down()
        except DrHarnessError as error:
            return f"{test}: {error}"
        return ""

    def close(self) -> None:
        """Nobody needs those in waiting any more."""
        while self._waiting:
            self._waiting.pop().close()
