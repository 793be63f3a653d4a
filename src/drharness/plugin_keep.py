"""``--dr-keep``: what becomes of the deployments of failed tests."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from drharness.plugin_options import Settings

if TYPE_CHECKING:
    from drharness.deployment import Deployment
    from drharness.deployment.after_failure import Keepers, Plan
    from drharness.deployment.custody import Custody


class Keep:
    """Of one session (one per worker of pytest-xdist); without ``--dr-keep`` it does nothing.

    :ivar test: the current test's id
    """

    def __init__(self, settings: Settings) -> None:
        self.test = ""
        self._settings = settings
        self._keepers: Keepers | None = None

    def custody(self, stack: ExitStack) -> Custody | None:
        """A keeper in waiting for a deployment that begins; given back as the stack ends."""
        if not self._settings.keep:
            return None
        keepers = self._found()
        custody = keepers.custody()
        stack.callback(keepers.give_back, custody)
        return custody

    def _found(self) -> Keepers:
        from drharness.deployment.after_failure import Keepers

        if self._keepers is None:
            self._keepers = Keepers(self._settings.scale)
        return self._keepers

    def plan(self, deployment: Deployment) -> Plan | None:
        """The current test has failed with it: what becomes of it."""
        return self._found().plan(deployment, self.test) if self._settings.keep else None

    def ended(self, deployment: Deployment, plan: Plan | None, custody: Custody | None) -> str:
        """Its block ends: hand it over if it is to stay; what there is to say of that."""
        if plan is None or not plan.name or custody is None:
            return ""
        return self._found().keep(plan, deployment, custody)

    def passed(self, said: list[str]) -> None:
        """The current test has not failed: an error may have left a block of it, but was none.

        :param said: lines for the summary; mended
        """
        if self._keepers is not None:
            said[:] = [line for line in said if not line.startswith(f"kept for {self.test}:")]
            said += filter(None, [self._keepers.drop(self.test)])

    def close(self) -> None:
        """No deployment begins any more; those that were kept stay."""
        if self._keepers is not None:
            self._keepers.close()
