"""What a component's runtime keeps of names: for its own time, whatever a TTL or a flush says."""

from __future__ import annotations

import asyncio

import pytest

from drharness.components.environment import NameNotFound
from drharness.dns.runtime import FOR_EVER, Names
from drharness.kernel.waiting import wait_until

NAME, OLD, NEW = "cfgmaster-p.dr.internal", ["10.81.1.11"], ["10.82.1.11"]


class Zone:
    """What a look-up gives now; no addresses: it fails."""

    def __init__(self) -> None:
        self.addresses, self.asked = OLD, 0

    async def look_up(self, name: str) -> list[str]:
        """The addresses, counted."""
        self.asked += 1
        if not self.addresses:
            raise NameNotFound(f"{name}: SERVFAIL")
        return self.addresses


@pytest.fixture
def zone() -> Zone:
    """A zone that has the name."""
    return Zone()


def ask(names: Names, name: str = NAME) -> list[str]:
    """A look-up, in words if it fails."""
    try:
        return asyncio.run(names.resolve(name))
    except NameNotFound as error:
        return [str(error)]


def test_nothing_is_kept_as_a_rule(zone: Zone) -> None:
    names = Names(zone.look_up, keep=0, keep_failure=0)
    assert ask(names) == OLD
    zone.addresses = NEW
    assert ask(names) == NEW
    zone.addresses = []
    assert "SERVFAIL" in ask(names)[0]
    zone.addresses = OLD
    assert ask(names) == OLD


def test_an_address_is_kept_for_its_time_and_no_longer(zone: Zone) -> None:
    names = Names(zone.look_up, keep=1, keep_failure=0)
    ask(names)
    zone.addresses = NEW
    assert (ask(names), ask(names, NAME.upper()), zone.asked) == (OLD, OLD, 1)
    wait_until(lambda: ask(names) == NEW, "the new address", timeout=5.0)
    assert zone.asked == 2


def test_a_failure_is_kept_too_and_says_so(zone: Zone) -> None:
    names = Names(zone.look_up, keep=0, keep_failure=1)
    zone.addresses = []
    assert ask(names) == [f"{NAME}: SERVFAIL"]
    zone.addresses = OLD
    assert ask(names) == [f"{NAME}: SERVFAIL (kept by the runtime)"]
    wait_until(lambda: ask(names) == OLD, "the address", timeout=5.0)


def test_for_ever_is_until_the_component_is_started_again(zone: Zone) -> None:
    names = Names(zone.look_up, keep=FOR_EVER, keep_failure=FOR_EVER)
    ask(names)
    zone.addresses = NEW
    assert ask(names) == OLD
    assert ask(names, "other.dr.internal") == NEW
    assert ask(Names(zone.look_up, keep=FOR_EVER, keep_failure=0)) == NEW


def test_what_is_given_can_be_changed_without_changing_what_is_kept(zone: Zone) -> None:
    names = Names(zone.look_up, keep=60, keep_failure=0)
    ask(names).clear()
    assert ask(names) == OLD
