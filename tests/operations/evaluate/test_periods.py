from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrant.errors import Unusable
from calibrant.numerics.predictions import UNLABELLED
from calibrant.operations.evaluate.periods import choose, split


def moments(*texts):
    return np.array(texts, dtype="datetime64[us]")


@pytest.mark.parametrize(
    ("end", "length"),
    [
        ("2024-01-02T12", "hour"),
        ("2024-02-20", "day"),
        ("2024-11-01", "week"),
        ("2027-01-01", "month"),
        ("2034-01-01", "quarter"),
        ("2064-01-01", "year"),
    ],
)
def test_the_length_follows_the_span(end, length):
    assert choose(moments("2024-01-01", end)) == length


@pytest.mark.parametrize(
    ("length", "start", "end"),
    [
        ("hour", "2024-05-16T13:00:00Z", "2024-05-16T14:00:00Z"),
        ("day", "2024-05-16T00:00:00Z", "2024-05-17T00:00:00Z"),
        ("week", "2024-05-13T00:00:00Z", "2024-05-20T00:00:00Z"),  # Monday
        ("month", "2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z"),
        ("quarter", "2024-04-01T00:00:00Z", "2024-07-01T00:00:00Z"),
        ("year", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ],
)
def test_a_period_starts_where_the_calendar_says(length, start, end):
    _, codes, ends = split(moments("2024-05-16T13:45:10"), length)
    assert codes.tolist() == [0]
    assert ends == ((start, end),)


def test_times_before_1970_fall_into_their_own_week():
    _, _, ends = split(moments("1969-12-31T23:00"), "week")
    assert ends == (("1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z"),)


def test_periods_hold_their_rows_and_say_their_length(report, draw):
    days = np.datetime64("2024-03-01", "us") + np.arange(400) * np.timedelta64(6, "h")
    made = report(draw(400, time=days.astype("datetime64[us]")), period="month")
    assert made.period == "month"
    assert [p.start[:7] for p in made.periods] == ["2024-03", "2024-04", "2024-05", "2024-06"]
    assert [p.metrics.n for p in made.periods] == [124, 120, 124, 32]


def test_a_period_reports_what_its_rows_alone_report(report, draw):
    time = np.repeat(moments("2024-01-05", "2024-02-05"), 300)
    rows = draw(600, time=time)
    made = report(rows, period="month")
    alone = report(rows.take(time == time[0])).metrics
    own = made.periods[0].metrics
    assert own.ece == pytest.approx(alone.ece, abs=1e-12)
    assert own.auroc == pytest.approx(alone.auroc, abs=1e-12)
    assert own.calibration_slope == pytest.approx(alone.calibration_slope, abs=1e-9)


def test_rows_without_a_time_are_in_no_period_and_said(report, draw):
    time = np.repeat(moments("2024-01-05", "NaT"), 50)
    made = report(draw(100, time=time))
    assert made.metrics.n == 100
    assert [p.metrics.n for p in made.periods] == [50]
    assert any(note.code == "no_time" and "50 rows" in note.reason for note in made.notes)


def test_unlabelled_rows_are_counted_in_their_period(report, draw):
    rows = draw(100, time=np.repeat(moments("2024-01-05", "2024-02-05"), 50))
    labels = rows.labels.copy()
    labels[60:] = UNLABELLED
    made = report(replace(rows, labels=labels), period="month")
    assert [p.metrics.n_unlabelled for p in made.periods] == [0, 40]


def test_too_many_periods_are_refused(report, draw):
    time = np.datetime64("2000-01-01", "us") + np.arange(2_000) * np.timedelta64(2, "h")
    with pytest.raises(Unusable, match="periods"):
        report(draw(2_000, time=time.astype("datetime64[us]")), period="hour")


def test_without_time_there_are_no_periods(report, draw):
    made = report(draw(50))
    assert (made.period, made.periods) == (None, ())
