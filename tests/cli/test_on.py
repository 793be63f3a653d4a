"""What the keeper does with a deployment that it was given."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from drharness import Topology, deploy, faults
from drharness.cli import on
from drharness.errors import DrHarnessError


@pytest.mark.slow
def test_a_heal_undoes_what_was_injected_since_and_names_the_rest(tmp_path: Path) -> None:
    before = repr(faults.RegionsCut())
    with deploy(Topology.guide(), evidence_dir=tmp_path) as deployment:
        deployment.earlier = (before,)
        deployment.inject(faults.DnsAnswers("servfail"))
        out = io.StringIO()
        with pytest.raises(DrHarnessError) as refused:
            on.heal(deployment, out, out)
        assert deployment.in_force == []
        assert "DnsAnswers(" in out.getvalue()
    text = str(refused.value)
    assert text.startswith(f"in force since before the deployment was kept: {before}. ")
    assert "`with deployment.inject(...):`" in text
    assert "`drharness up`, `drharness fault`, `drharness heal`" in text
