"""The pytest plugin: fixtures, options, the marker ``dr``, and what a failed test's report shows.

Pytest finds it by its entry point, in every suite of an environment that has this package. So
loading it must cost next to nothing: what is heavy is imported by the first fixture that needs it.

A failed test's evidence is collected while its deployment still runs: in the hook that makes the
report, which comes before any fixture is torn down, or as the error leaves a ``dr_lab`` block. A
collection that fails says so in the report and never hides the test's own error.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from drharness import errors, plugin_lab, plugin_marks, plugin_options
from drharness.plugin_keep import Keep
from drharness.plugin_options import Settings
from drharness.plugin_stock import Stock

if TYPE_CHECKING:
    from drharness.deployment import Deployment
    from drharness.deployment.after_failure import Plan
    from drharness.schedule import Schedule, Trial
    from drharness.search.machine import DrMachine
    from drharness.topology import Topology


@dataclass(frozen=True)
class Choice:
    """The engine that runs this session's deployments, and why; ``refusal``: why it cannot."""

    name: str
    why: str
    refusal: errors.Unsupported | None = None


@dataclass
class Run:
    """A deployment of the current test.

    :ivar shared: later tests may go on with it
    :ivar plan: what becomes of it once its test has failed, with ``--dr-keep``
    """

    deployment: Deployment
    shared: bool
    plan: Plan | None = None


class Lab:
    """Makes deployments for any scope; the fixture ``dr_lab``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._failed: dict[str, Trial] = {}

    def deployment(
        self, topology: Topology | None = None
    ) -> AbstractContextManager[Deployment, bool | None]:
        """A context with a deployment of its own, taken down at the end of the block.

        :param topology: default: that of ``--dr-topology``, else :meth:`Topology.guide`
        :raises StartupFailed: it did not come up, and nothing of it is left
        """
        topology = topology or self._session.settings.topology
        more = self._session.stock.expects_more(topology)
        return self._session.bring_up(topology, shared=True, more=more)

    def attempt(self, schedule: Schedule) -> Trial:
        """Play a schedule on a deployment of its own, and judge it; see :mod:`plugin_lab`."""
        return plugin_lab.attempt(schedule, self.deployment, known=self._failed)

    def run(self, machine: type[DrMachine], settings: Any = None) -> None:
        """Run a state machine's examples; see :func:`drharness.search.machine.run`."""
        plugin_lab.run(machine, self, settings)


class Session:
    """One pytest session (one per worker): the engine, the deployments that run, and evidence."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stock = Stock(stages=settings.staged)
        self.keep = Keep(settings)
        self._choice: Choice | None = None
        self._said: list[str] = []
        self._running: list[Run] = []
        self._last: Run | None = None  # of the current test's deployments that have ended
        self._notes: list[str] = []
        self._noted: BaseException | None = None

    # -- deployments -----------------------------------------------------------------------

    def engine(self) -> str:
        """Name of the engine; on a host that cannot run it the test is skipped, or fails."""
        if self._choice is None:
            self._choice = _choose(self.settings.engine)
            state = "cannot run here" if self._choice.refusal else self._choice.why
            self._say(f"engine {self._choice.name} ({state})")
        if self._choice.refusal is not None:
            self._refuse(self._choice.refusal)
        return self._choice.name

    def _refuse(self, refusal: errors.Unsupported) -> NoReturn:
        text = f"{refusal.what}: {refusal.reason}; way out: {refusal.way_out}"
        if self._choice is not None and self._choice.name in self.settings.required:
            pytest.fail(f"{text} (required by --dr-require)", pytrace=False)
        pytest.skip(text)

    @contextmanager
    def bring_up(
        self, topology: Topology | None, *, shared: bool, more: bool = False
    ) -> Iterator[Deployment]:
        """A deployment; should an error leave the block, its evidence is collected first.

        :param more: another of that topology is going to be asked for: let it come up meanwhile
        """
        engine = self.engine()
        with ExitStack() as stack:
            custody = self.keep.custody(stack)
            pool = self.stock.pool(topology, engine, self.settings.evidence)
            # Which one is to be kept is not known yet, so with a keeper none comes up ahead.
            staged = int(more and custody is None)
            run = Run(self._begun(stack, pool.lease(staged=staged, custody=custody)), shared)
            self._running.append(run)
            self.stock.quieten()
            try:
                yield run.deployment
            except (Exception, pytest.fail.Exception) as error:
                self._plan(run)
                self._note(run, error)
                raise
            except (KeyboardInterrupt, SystemExit):
                self._save(run)
                raise
            finally:
                self._running.remove(run)
                self._last = run
                self._say(self.keep.ended(run.deployment, run.plan, custody))

    def _begun(self, stack: ExitStack, lease: AbstractContextManager[Deployment]) -> Deployment:
        from drharness.checks import Budget
        from drharness.deployment import postmortem

        try:
            deployment = stack.enter_context(lease)
        except errors.Unsupported as refusal:
            self._refuse(refusal)
        except errors.DrHarnessError as error:
            if error.evidence:
                begun, here = Path(error.evidence), self.settings.here
                self._notes = [postmortem.account_of_start(begun, here=here)]
            raise
        if self.settings.budget != (None, None):
            deployment.budget = Budget(*self.settings.budget)
        return deployment

    def _plan(self, run: Run) -> None:
        run.plan = run.plan or self.keep.plan(run.deployment)

    def _note(self, run: Run, error: BaseException) -> None:
        """Blocks within each other see the same error: keep what was noted of the last one."""
        if error is not self._noted:
            self._notes.clear()
            self._noted = error
        self._notes.append(self._account(run, ends=True))

    def _save(self, run: Run) -> None:
        from drharness.deployment import postmortem

        self._say(postmortem.interrupted(run.deployment, here=self.settings.here))

    # -- evidence of a failed test ---------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Know the test to come: its deployment may come up while this one's is used."""
        self.stock.begin(item, nextitem)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A new test: forget what the last one left."""
        self.keep.test = item.nodeid
        self._last = None
        self._notes.clear()
        self._noted = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the section ``drharness`` to a failed test, and the properties to its last report."""
        if call.when == "teardown":
            item.user_properties.extend(self._figures().items())
        report = yield
        if call.when == "call" and not report.failed:
            self.keep.passed(self._said)
        if report.failed:
            if call.when != "teardown":
                for run in self._running:
                    self._plan(run)
            alive = [self._account(run, ends=not run.shared) for run in self._running]
            if self._last is not None and not self._notes:
                self._notes.append(self._account(self._last, ends=False))
            report.sections += [("drharness", text) for text in alive + self._notes]
        return report

    def _account(self, run: Run, *, ends: bool) -> str:
        from drharness.deployment import postmortem

        ends = ends and not (run.plan is not None and run.plan.name)
        text = postmortem.account(run.deployment, here=self.settings.here, ends=ends)
        return text if run.plan is None else f"{text}\n\n{run.plan.text}"

    def _figures(self) -> dict[str, str | float | int]:
        """Of the test's last deployment, if it had one."""
        run = self._last or (self._running[-1] if self._running else None)
        if run is None:
            return {}
        from drharness.deployment import postmortem

        return postmortem.figures(run.deployment)

    # -- interruption and summary ----------------------------------------------------------

    def pytest_keyboard_interrupt(self) -> None:
        """Ctrl-C: save the histories; the fixtures take the deployments down afterwards."""
        for run in self._running:
            self._save(run)

    def _say(self, line: str) -> None:
        if line and line not in self._said:
            self._said.append(line)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End all deployments, once the last fixture was torn down.

        A worker of pytest-xdist hands its lines to the terminal's process.
        """
        if self.end():
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["drharness"] = list(self._said)

    def end(self) -> int:
        """End all deployments; how many were not ended as they should, which the summary tells."""
        troubles = self.stock.close()
        for trouble in troubles:
            self._say(trouble)
        self.keep.close()
        return len(troubles)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the lines of a worker; every worker says the same of the engine."""
        for line in getattr(node, "workeroutput", {}).get("drharness", ()):
            self._say(line)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which engine ran and why; nothing if no test asked for a deployment."""
        for line in self._said:
            terminalreporter.write_line(f"drharness: {line}")


_SESSION = pytest.StashKey[Session]()


def _choose(asked: str) -> Choice:
    """Try out the engine; a fraction of a second, once a session."""
    from drharness.dbms import binaries
    from drharness.deployment import engines

    engine = engines.engine_named(asked)
    why = "auto: every step of its probe passes" if asked == "auto" else f"--dr-engine {asked}"
    try:
        engines.require(engine)
        binaries.find()
    except errors.Unsupported as refusal:
        return Choice(engine.name, why, refusal)
    return Choice(engine.name, why)


# -- options ---------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Each option also as a line of the ini file: ``--dr-engine`` as ``dr_engine``."""
    group = parser.getgroup("drharness", "disaster-recovery drills")
    for name, (default, metavar, text) in plugin_options.OPTIONS.items():
        group.addoption(f"--dr-{name.replace('_', '-')}", metavar=metavar, help=text)
        parser.addini(f"dr_{name}", text, default=default)
    group.addoption("--dr-keep", action="store_true", help=plugin_options.KEEP)
    parser.addini("dr_keep", plugin_options.KEEP, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options.

    :raises pytest.UsageError: names the option, its value and what was expected
    """
    config.addinivalue_line("markers", plugin_marks.MARKER)
    try:
        settings = plugin_options.read(config)
    except errors.UsageError as error:
        raise pytest.UsageError(str(error)) from error
    if settings.scale != 1:
        from drharness.kernel import waiting

        waiting.set_scale(settings.scale)
        config.add_cleanup(lambda: waiting.set_scale(1.0))
    session = config.stash[_SESSION] = Session(settings)
    config.pluginmanager.register(session, "drharness-session")

    def end() -> None:  # should a hook of the session's finish have failed before ours
        session.end()

    config.add_cleanup(end)


# -- fixtures --------------------------------------------------------------------------------


def _session(request: pytest.FixtureRequest) -> Session:
    return request.config.stash[_SESSION]


@pytest.fixture
def dr_topology(request: pytest.FixtureRequest) -> Topology:
    """The topology of ``dr_deployment``, with the arguments of ``@pytest.mark.dr``.

    That is the one of ``--dr-topology``, or the guide's.

    Override it in a test module or conftest for another one.
    """
    from drharness.topology import Topology

    arguments = plugin_marks.topology_of(request.node)
    try:
        return (_session(request).settings.topology or Topology.guide()).changed(**arguments)
    except errors.UsageError as error:
        text = str(error)
    pytest.fail(f"UsageError: {plugin_marks.spelled(arguments)}: {text}", pytrace=False)


@pytest.fixture(scope="session")
def dr_engine(request: pytest.FixtureRequest) -> str:
    """Name of the engine that runs the deployments; skips the test where it cannot run."""
    return _session(request).engine()


@pytest.fixture(scope="session")
def dr_lab(request: pytest.FixtureRequest, dr_engine: str) -> Lab:
    """Makes deployments for ``@given`` and own scopes: ``with dr_lab.deployment() as d:``."""
    return Lab(_session(request))


@pytest.fixture
def dr_deployment(
    request: pytest.FixtureRequest, dr_engine: str, dr_topology: Topology
) -> Iterator[Deployment]:
    """A deployment of this test's own: brought up for it, taken down after it."""
    for name, wanted in plugin_marks.topology_of(request.node).items():
        if dr_topology.changed(**{name: wanted}) != dr_topology:
            marked = plugin_marks.spelled({name: wanted})
            pytest.fail(
                f"UsageError: {marked} has no effect: the overriding fixture dr_topology "
                f"gives {name}={getattr(dr_topology, name)!r}.",
                pytrace=False,
            )
    session = _session(request)
    more = session.stock.next_wants_the_same()
    with session.bring_up(dr_topology, shared=False, more=more) as deployment:
        yield deployment
