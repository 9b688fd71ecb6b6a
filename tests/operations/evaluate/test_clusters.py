from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrant.numerics import calibration
from calibrant.numerics.predictions import Category
from calibrant.numerics.table import Bins
from calibrant.operations.evaluate.clustered import clustered_error


@pytest.fixture
def households(rng):
    """Draw rows of 40 groups that share a shock on the log-odds; scores do not know it."""

    def make(rows_each: int = 50, sd: float = 0.8, groups: int = 40):
        shock = np.repeat(rng.normal(0, sd, groups), rows_each)
        z = rng.normal(0, 1, groups * rows_each)
        # the marginal rate given z, averaged over shocks, is what the score says
        nodes, weight = np.polynomial.hermite_e.hermegauss(25)
        p = (1 / (1 + np.exp(-(z[:, None] + sd * nodes)))) @ (weight / weight.sum())
        y = rng.random(len(z)) < 1 / (1 + np.exp(-(z + shock)))
        return p, y, np.repeat(np.arange(groups), rows_each)

    return make


def test_clusters_of_one_row_give_the_debiased_error_of_independent_rows(rng):
    p = rng.random(800)
    y = rng.random(800) < p
    found = clustered_error(p, y, None, np.arange(800), seed=0)
    assert found.l2 == pytest.approx(calibration.l2_debiased(Bins.from_rows(p, y))[0], abs=1e-12)
    sd = np.sqrt(calibration.l2_variance(Bins.from_rows(p, y))[0])
    assert found.l2_sd == pytest.approx(sd, rel=0.2)


def test_names_of_clusters_do_not_matter(rng):
    p = rng.random(300)
    y = rng.random(300) < p
    codes = rng.integers(0, 20, 300)
    one = clustered_error(p, y, None, codes, seed=0)
    assert one == clustered_error(p, y, None, codes * 7 + 3, seed=0)


def test_groups_widen_intervals_and_noise(report, draw, households):
    p, y, group = households()
    rows = replace(draw(len(p), score=p), labels=y.astype(np.int64))
    plain = report(rows).metrics
    column = Category(group.astype(np.int32), tuple(map(str, range(40))))
    made = report(replace(rows, groups=column))
    for name in ("bias", "base_rate", "calibration_intercept"):
        assert np.ptp(made.metrics.intervals[name]) > 1.3 * np.ptp(plain.intervals[name]), name
    assert made.metrics.rmsce_interval[1] > plain.rmsce_interval[1]
    assert made.metrics.ece_noise_floor.mean > plain.ece_noise_floor.mean
    assert made.metrics.ece == plain.ece
    assert made.verdict.smallest_detectable > report(rows).verdict.smallest_detectable
    assert any(note.code == "clustered" and "40 groups" in note.reason for note in made.notes)


def test_dependence_is_not_taken_for_miscalibration(report, draw, households):
    called = 0
    for _ in range(20):
        p, y, group = households(rows_each=100, groups=25)
        column = Category(group.astype(np.int32), tuple(map(str, range(25))))
        rows = draw(len(p), score=p, groups=column)
        made = report(replace(rows, labels=y.astype(np.int64)), tolerance=0.0)
        called += made.verdict.status == "miscalibrated"
    assert called <= 4


def test_groups_widen_the_intervals_of_slices(report, draw, households):
    p, y, group = households()
    column = Category(group.astype(np.int32), tuple(map(str, range(40))))
    side = Category((np.arange(len(p)) % 2).astype(np.int32), ("a", "b"))
    rows = replace(draw(len(p), score=p, slices={"x": side}), labels=y.astype(np.int64))

    def width(made):
        own = next(s for s in made.slices if s.name == "x=a").metrics
        return np.ptp(own.intervals["bias"])

    assert width(report(replace(rows, groups=column))) > 1.3 * width(report(rows))


def test_rows_without_a_group_stand_alone(report, draw):
    rows = draw(400)
    alone = Category(np.full(400, -1, np.int32), ())
    made, plain = report(replace(rows, groups=alone)).metrics, report(rows).metrics
    assert np.ptp(made.intervals["nll"]) == pytest.approx(np.ptp(plain.intervals["nll"]), rel=1e-9)


def test_one_group_gives_no_interval(report, draw):
    rows = draw(100, groups=Category(np.zeros(100, np.int32), ("only",)))
    made = report(rows)
    assert made.metrics.rmsce_interval is None
    assert made.verdict.status == "inconclusive"
    assert made.metrics.ece is not None
