"""The out-of-band management of a region: without it nobody can power a VM off or on there."""

from __future__ import annotations

import pytest

from drharness.deployment import Deployment
from drharness.errors import Unmanaged, UsageError
from drharness.faults import ManagementCut, VmDown


@pytest.mark.slow
def test_nothing_is_fenced_where_the_management_does_not_answer(whole: Deployment) -> None:
    operations = whole.operations
    with whole.inject(ManagementCut("region1")) as guard:
        assert guard.receipt.lost == ["operator -> management of region1"]
        for switch in (operations.power_off, operations.power_on):
            with pytest.raises(Unmanaged, match="management of region1 does not answer"):
                switch("region1-dbms", managed=True)
        assert operations.is_on("region1-dbms")
        operations.require_management("region2-dbms")
    operations.require_management("region1-dbms")


@pytest.mark.slow
def test_what_fails_by_itself_needs_no_management(whole: Deployment) -> None:
    whole.inject(ManagementCut("region1"))
    with whole.inject(VmDown("region1-framework-b")):
        assert not whole.operations.is_on("region1-framework-b")


@pytest.mark.slow
@pytest.mark.parametrize("region", ["region3", "dns"])
def test_a_bad_region_is_named(unfenced: Deployment, region: str) -> None:
    with pytest.raises(UsageError, match=f"region: expected one of .* got '{region}'"):
        unfenced.inject(ManagementCut(region))


@pytest.mark.slow
def test_the_management_is_cut_once(whole: Deployment) -> None:
    whole.inject(ManagementCut("region2"))
    with pytest.raises(UsageError, match="management of 'region2' is cut already"):
        whole.inject(ManagementCut("region2"))
