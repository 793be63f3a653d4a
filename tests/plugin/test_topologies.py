"""Which topology a test gets: the marker, the overridden fixture, and mistakes in both."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Run


@pytest.mark.slow
def test_marker_and_override_choose_the_topology(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        test_marker="""
        import pytest

        pytestmark = pytest.mark.dr(ttl=3, replication="sync")

        @pytest.mark.dr(replication="async")
        def test_marked(dr_deployment):
            topology = dr_deployment.topology
            assert (topology.replication, topology.ttl) == ("async", 3)
        """,
        test_override="""
        import pytest
        from drharness import Topology

        @pytest.fixture
        def dr_topology():
            return Topology.guide(return_fence="none")

        def test_overridden(dr_deployment):
            assert dr_deployment.topology == Topology.guide(return_fence="none")
        """,
        test_default="""
        from drharness import Topology

        def test_default(dr_topology, dr_engine):
            assert (dr_topology, dr_engine) == (Topology.guide(), "local")
        """,
    )
    run("--strict-markers").assert_outcomes(passed=3)


def test_a_mistaken_marker_names_argument_and_value(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.dr(replication="asink")
        def test_value(dr_topology): ...

        @pytest.mark.dr(replicatoin="async")
        def test_name(dr_topology): ...

        @pytest.mark.dr(ttl="1")
        def test_type(dr_topology): ...

        @pytest.mark.dr("async")
        def test_position(dr_topology): ...
        """
    )
    result = run()
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(
        [
            "UsageError: @pytest.mark.dr(replication='asink'): replication: expected one of async, "
            "sync, got 'asink'. Did you mean 'async'?",
            "UsageError: @pytest.mark.dr(replicatoin='async'): argument: expected one of "
            "application_pairs, regions, replication, resolver, return_fence, timing, ttl, got "
            "'replicatoin'. *",
            "UsageError: @pytest.mark.dr(ttl='1'): ttl: expected whole seconds, got '1' (str).",
            "UsageError: @pytest.mark.dr: arguments by name only, got ('async',).",
        ]
    )
    assert "plugin.py" not in result.stdout.str()


def test_a_file_is_what_tests_get_unless_they_say_otherwise(
    suite: pytest.Pytester, run: Run
) -> None:
    suite.makefile(".toml", mine="regions = ['emea', 'us']\nttl = 3\n")
    suite.makepyfile(
        """
        import pytest
        from drharness import Topology

        MINE = Topology.guide(regions=("emea", "us"), ttl=3)

        def test_of_the_file(dr_topology):
            assert dr_topology == MINE

        @pytest.mark.dr(replication="async")
        def test_marked(dr_topology):
            assert dr_topology == MINE.changed(replication="async")
        """
    )
    run("--dr-topology", "mine.toml").assert_outcomes(passed=2)
    suite.makeini("[pytest]\ndr_topology = mine.toml\n")
    run().assert_outcomes(passed=2)
    run("--dr-topology=").assert_outcomes(failed=2)


def test_a_mistaken_file_is_refused_at_the_start(suite: pytest.Pytester, run: Run) -> None:
    suite.makefile(".toml", mine="tttl = 3\n")
    result = run("--dr-topology", "mine.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *mine.toml: tttl: unknown key; *. Did you mean ttl?"])


def test_a_marker_without_effect_is_an_error(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        import pytest
        from drharness import Topology

        @pytest.fixture
        def dr_topology():
            return Topology.guide()

        @pytest.mark.dr(replication="async")
        def test_contradiction(dr_deployment): ...
        """
    )
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "UsageError: @pytest.mark.dr(replication='async') has no effect: the overriding "
            "fixture dr_topology gives replication='sync'."
        ]
    )
