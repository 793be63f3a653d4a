"""A process is told from every other one, also from one that gets its number later."""

from __future__ import annotations

import os
import sys

from drharness.kernel import identity, proc

SAYS = "from drharness.kernel import identity; print(identity.own(), flush=True); input()"


def test_a_process_is_alive_until_it_has_ended() -> None:
    process = proc.attend([sys.executable, "-c", SAYS], env=os.environ, stderr=2)
    assert process.stdout is not None
    told = process.stdout.readline().decode().strip()
    assert identity.alive(told) is True
    process.kill()
    assert proc.ended(process, within=10.0)
    assert identity.alive(told) is False


def test_another_process_with_the_same_number_is_another_one() -> None:
    here, _, started = identity.own().rpartition(":")
    assert identity.alive(f"{here}:{int(started) + 1}") is False


def test_of_another_machine_nothing_is_known() -> None:
    process = identity.own().split(":", 2)[2]
    assert identity.alive(f"another-boot:1:{process}") is None
    assert identity.alive("") is None
