"""The doors to time, randomness and subprocesses."""

from __future__ import annotations

import pytest

from drharness.errors import CommandFailed, UsageError, WaitTimeout
from drharness.kernel import clock, proc, rng, runid, validate, waiting


def test_a_wait_returns_what_the_probe_found() -> None:
    seen = iter([None, 0, "", "found"])
    assert waiting.wait_until(lambda: next(seen), "it", timeout=5.0, interval=0.001) == "found"


def test_a_wait_that_ends_says_what_was_awaited_and_last_seen() -> None:
    with pytest.raises(WaitTimeout) as caught:
        waiting.wait_until(lambda: 0, "the standby streaming", timeout=0.02, hint="look there")
    text = str(caught.value)
    assert text.startswith("the standby streaming: not within 0.0 s\n  last seen: 0")
    assert text.endswith("hint: look there")


def test_errors_that_mean_not_yet_are_retried_and_shown() -> None:
    def refuse() -> None:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(WaitTimeout, match="ConnectionRefusedError: nobody there"):
        waiting.wait_until(refuse, "it", timeout=0.02, retry_on=(ConnectionError,))


def test_other_errors_of_a_probe_are_raised_at_once() -> None:
    def broken() -> None:
        raise KeyError("typo")

    with pytest.raises(KeyError):
        waiting.wait_until(broken, "it", timeout=60.0, retry_on=(ConnectionError,))


def test_a_probe_is_tried_once_even_without_time() -> None:
    assert waiting.wait_until(lambda: True, "it", timeout=0.0) is True


def test_streams_of_one_seed_are_repeatable_and_apart() -> None:
    draws = [rng.stream(7, name).random() for name in ("a", "a", "b")]
    assert draws[0] == draws[1] != draws[2]


def test_run_ids_sort_by_time_and_differ() -> None:
    ids = {runid.new_run_id() for _ in range(50)}
    assert len(ids) > 45
    assert all(len(i) == 20 for i in ids)


def test_a_command_that_fails_or_hangs_is_told() -> None:
    with pytest.raises(CommandFailed, match="false ended with status 1"):
        proc.run(["false"])
    with pytest.raises(CommandFailed, match="did not end in time"):
        proc.run(["sleep", "60"], timeout=0.1)
    assert proc.run(["sh", "-c", "exit 3"], check=False).returncode == 3


def test_programs_in_sbin_are_found_without_it_on_the_path() -> None:
    assert proc.path_with_sbin("/bin").split(":") == ["/bin", *proc.SBIN]


def test_a_choice_names_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"step: expected one of fence, promote, got 'fense'\. Did"
    ):
        validate.choice("step", "fense", ["promote", "fence"])


@pytest.mark.parametrize("value", [True, "3", None, 11, -1])
def test_a_number_out_of_place_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="rate: expected a number from 0 to 10, got"):
        validate.number("rate", value, low=0, high=10)


def test_a_deadline_never_has_less_than_nothing_left() -> None:
    deadline = clock.Deadline(0.0)
    assert (deadline.left, deadline.passed) == (0.0, True)
