"""Deployments in other scopes and other processes: ``dr_lab``, Hypothesis, pytest-xdist."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Run


@pytest.mark.slow
def test_the_lab_serves_hypothesis(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        from hypothesis import given, settings, strategies as st
        from drharness import Topology

        seen = []

        @settings(max_examples=2, deadline=None, database=None, derandomize=True)
        @given(replication=st.sampled_from(["sync", "async"]))
        def test_every_topology(dr_lab, replication):
            with dr_lab.deployment(Topology.guide(replication=replication)) as deployment:
                seen.append(deployment.evidence)
                assert deployment.topology.replication == replication

        def test_each_example_had_its_own():
            assert len(seen) == len(set(seen)) == 2
        """
    )
    run().assert_outcomes(passed=2)


@pytest.mark.slow
def test_an_error_in_a_block_of_the_lab_is_accounted_for(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        import pytest

        def test_block(dr_lab):
            with dr_lab.deployment() as deployment:
                deployment.traffic().__enter__()
                pytest.fail("in the block")

        def test_without_a_deployment():
            assert 1 == 2
        """
    )
    result = run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["E *Failed: in the block", "verdict (judged after the failure):", "PASS: run *"]
    )
    assert result.stdout.str().count("judge it again: drharness check ") == 1


@pytest.mark.slow
def test_a_failure_leaves_a_shared_deployment_as_it_is(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def shared(dr_lab):
            with dr_lab.deployment() as deployment:
                yield deployment

        @pytest.fixture(scope="module")
        def traffic(shared):
            with shared.traffic() as traffic:
                yield traffic

        def test_fails(traffic):
            assert 1 == 2

        def test_goes_on(traffic):
            traffic.wait_writes(5, timeout=10)
        """
    )
    result = run()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["verdict (judged after the failure):", "evidence: .drharness/*"])


@pytest.mark.slow
def test_workers_of_xdist_have_deployments_of_their_own(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_alone(dr_deployment, number, worker_id):
            assert dr_deployment.vm("region1-dbms").run(["hostname"]).stdout == "region1-dbms\\n"
            assert number != 3, worker_id
        """
    )
    result = run("-n", "2", "-v")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "verdict (judged after the failure):",
            "evidence: .drharness/*",
            "drharness: engine local*",
        ]
    )
    text = result.stdout.str()
    assert "[gw0]" in text
    assert "[gw1]" in text
    assert text.count("drharness: engine local") == 1
    assert len(list((suite.path / ".drharness").iterdir())) == 3
