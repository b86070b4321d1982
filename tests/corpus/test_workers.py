import os
import signal
import time

import pytest

from notagen.corpus.workers import Failure, Limits, each
from notagen.errors import Stopped, UserError

ROOM = Limits(seconds=60, memory=8_000_000_000)


def double(number):
    return 2 * number


def misbehave(job):
    if job == "crash":
        os.abort()
    if job == "end":
        os.kill(os.getpid(), signal.SIGTERM)
    if job == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if job == "hang":
        time.sleep(600)
    if job == "eat":
        try:
            bytearray(16_000_000_000)
        except MemoryError:
            return "too much"
    return job.upper()


def test_every_job_has_one_result():
    results = dict(each(double, range(100), 2, ROOM))
    assert results == {number: 2 * number for number in range(100)}
    assert list(each(double, [], 2, ROOM)) == []


def test_jobs_are_drawn_as_readers_are_free():
    drawn = []
    jobs = (drawn.append(number) or number for number in range(100))
    results = each(double, jobs, 2, ROOM)
    next(results)
    assert len(drawn) <= 3
    results.close()


def test_crashes_and_endless_jobs_cost_only_themselves():
    jobs = ["a", "crash", "b", "hang", "c", "crash", "d", "eat"]
    results = list(each(misbehave, jobs, 2, Limits(2, 8_000_000_000)))
    assert sorted(job for job, _ in results) == sorted(jobs)
    by_job = dict(results)
    assert [by_job[job] for job in "abcd"] == ["A", "B", "C", "D"]
    assert by_job["hang"] == Failure("too slow: not read within 2 seconds")
    assert by_job["crash"].reason.startswith("crashed: its reader ended with exit code -6")
    assert by_job["eat"] == "too much"


def test_a_reader_that_sigterm_ends_is_not_blamed_on_its_file():
    with pytest.raises(Stopped) as stop:
        list(each(misbehave, ["a", "end", "b"], 1, ROOM))
    assert stop.value.number == signal.SIGTERM


def test_readers_are_deaf_to_ctrl_c():
    assert dict(each(misbehave, ["interrupt"], 1, ROOM)) == {"interrupt": "INTERRUPT"}


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"seconds": 0}, "limits.seconds=0 makes every file too slow"),
        ({"seconds": -1}, "limits.seconds=-1 makes"),
        ({"memory": 0}, "limits.memory_gb must be above 0"),
    ],
)
def test_limits_that_no_file_can_keep_are_refused(limits, sentence):
    with pytest.raises(UserError, match=sentence):
        Limits(**limits)
