"""A fit from specification to recorded version, computed here instead of in a worker."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calibrant.errors import FittedOnTheseRows, NoChampion, NotServable, Stop, Unusable
from calibrant.numerics.predictions import Category, Predictions
from calibrant.operations import calibrators, evaluations, fits, jobs, verbs
from calibrant.operations.calibrate import Serving
from calibrant.operations.context import Caller, Context
from calibrant.operations.data import keep_inline, open_data
from calibrant.operations.evaluate.report import EvaluateSpec
from calibrant.operations.fit import Recipe
from calibrant.operations.fits import FitSpec
from calibrant.operations.holdout import Holdout

RECIPE = Recipe(task="binary", score_kind="logits", method="temperature")


def overconfident(n: int, seed: int) -> Predictions:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int64)
    return Predictions(
        2 * z,
        labels,
        ids=np.array([f"{seed}-{row}" for row in range(n)], dtype=np.object_),
        slices={"side": Category.encode(["left" if value < 0 else "right" for value in z])},
    )


def spec_of(context: Context, rows: Predictions, **more: object) -> FitSpec:
    data = keep_inline(context, rows, task="binary", score_kind="logits")
    return FitSpec(**{"name": "m", "data": data, "recipe": RECIPE, **more})  # type: ignore[arg-type]


def work(context: Context, caller: Caller, spec: FitSpec) -> dict[str, object]:
    """Do what a worker does with an accepted fit."""
    job_id = fits.submit(context, caller, spec)
    record = context.metadata.jobs.get(caller.tenant, job_id)
    reply = verbs.compute(context, "fit", record.spec.decode(), lambda *_: None)
    return json.loads(verbs.commit(context.metadata, job_id, "fit", reply))


def test_a_fit_becomes_a_version_judged_on_held_out_rows(context: Context, caller: Caller) -> None:
    result = work(context, caller, spec_of(context, overconfident(3_000, 1), alias="candidate"))
    version = calibrators.version(context, caller, "m", 1)
    assert result["location"] == "/v1/calibrators/m/versions/1"
    held_out = version.summary["held_out"]
    assert version.summary["n_fit"] + held_out["n"] == 3_000
    assert held_out["differences"]["nll"]["better"] is True
    assert version.certificate is not None
    assert max(version.certificate["max_difference"].values()) < 1e-6
    assert calibrators.get(context, caller, "m").aliases == {"candidate": 1}


def test_committing_the_same_job_twice_records_one_version(
    context: Context, caller: Caller
) -> None:
    spec = spec_of(context, overconfident(500, 2))
    job_id = fits.submit(context, caller, spec)
    record = context.metadata.jobs.get(caller.tenant, job_id)
    reply = verbs.compute(context, "fit", record.spec.decode(), lambda *_: None)
    first = verbs.commit(context.metadata, job_id, "fit", reply)
    assert verbs.commit(context.metadata, job_id, "fit", reply) == first
    assert calibrators.get(context, caller, "m").newest == 1


def test_a_cancelled_job_records_nothing(context: Context, caller: Caller) -> None:
    job_id = fits.submit(context, caller, spec_of(context, overconfident(500, 3)))
    record = context.metadata.jobs.get(caller.tenant, job_id)
    reply = verbs.compute(context, "fit", record.spec.decode(), lambda *_: None)
    context.metadata.jobs.cancel(caller.tenant, job_id)
    with pytest.raises(Stop):
        verbs.commit(context.metadata, job_id, "fit", reply)
    assert jobs.look(context, caller, job_id).state == "cancelled"
    assert not calibrators.page(context, caller, limit=10, cursor=None).items


def test_reporting_on_fitted_rows_is_refused_with_a_count(context: Context, caller: Caller) -> None:
    rows = overconfident(1_000, 4)
    work(context, caller, spec_of(context, rows, holdout=Holdout(fraction=0.5)))
    fitted = calibrators.version(context, caller, "m", 1).summary["n_fit"]
    spec = EvaluateSpec(task="binary", score_kind="logits", calibrator="m:1")
    with pytest.raises(FittedOnTheseRows, match=f"{fitted} of 1000 rows"):
        evaluations.run_inline(context, caller, spec, rows)


def test_allowing_overlap_stamps_the_report_optimistic(context: Context, caller: Caller) -> None:
    rows = overconfident(1_000, 5)
    work(context, caller, spec_of(context, rows))
    spec = EvaluateSpec(task="binary", score_kind="logits", calibrator="m:1", allow_overlap=True)
    record, report = evaluations.run_inline(context, caller, spec, rows)
    assert record.optimistic
    assert report.optimistic
    assert report.n_overlap == calibrators.version(context, caller, "m", 1).summary["n_fit"]


def test_random_halves_of_one_data_set_are_never_refused(context: Context, caller: Caller) -> None:
    rows = overconfident(1_000, 6)
    half = np.random.default_rng(0).permutation(1_000) < 500
    spec = spec_of(
        context,
        rows.take(half),
        evaluate_on=keep_inline(context, rows.take(~half), task="binary", score_kind="logits"),
    )
    work(context, caller, spec)
    assert calibrators.version(context, caller, "m", 1).summary["n_fit"] == half.sum()


def test_fitting_and_judging_on_the_same_rows_is_refused(context: Context, caller: Caller) -> None:
    rows = overconfident(400, 7)
    again = keep_inline(context, rows, task="binary", score_kind="logits")
    spec = spec_of(context, rows, evaluate_on=again)
    job_id = fits.submit(context, caller, spec)
    order = context.metadata.jobs.get(caller.tenant, job_id).spec.decode()
    with pytest.raises(FittedOnTheseRows, match="400 of 400"):
        verbs.compute(context, "fit", order, lambda *_: None)


def test_the_name_of_the_untouched_scores_is_reserved(context: Context, caller: Caller) -> None:
    with pytest.raises(Unusable, match="identity"):
        fits.submit(context, caller, spec_of(context, overconfident(50, 8), name="identity"))


def test_a_clamped_fit_is_not_promoted_unless_forced(context: Context, caller: Caller) -> None:
    z = np.concatenate([np.linspace(-3, -1, 200), np.linspace(1, 3, 200)])
    separable = Predictions(z, (z > 0).astype(np.int64))
    work(context, caller, spec_of(context, separable))
    assert calibrators.version(context, caller, "m", 1).status == "at_bound"
    with pytest.raises(NotServable, match="at_bound"):
        calibrators.set_alias(context, caller, "m", "champion", 1)


def test_an_inline_batch_survives_being_kept(context: Context) -> None:
    rows = overconfident(20, 9)
    data = keep_inline(context, rows, task="binary", score_kind="logits")
    (again,) = open_data(context, "default", data).chunks()
    np.testing.assert_array_equal(again.scores, rows.scores)
    np.testing.assert_array_equal(again.ids, rows.ids)
    assert again.slices["side"].values == rows.slices["side"].values


def test_serving_follows_a_promotion_and_outlives_the_database(
    context: Context, caller: Caller
) -> None:
    for seed in (10, 11):
        work(context, caller, spec_of(context, overconfident(500, seed)))
    serving = Serving(context.metadata, context.blobs)
    with pytest.raises(NoChampion):
        serving.resolve("default", "m")
    calibrators.set_alias(context, caller, "m", "champion", 1)
    assert serving.resolve("default", "m").version == 1
    calibrators.set_alias(context, caller, "m", "champion", 2)
    serving.refresh("default", "m")
    served = serving.peek("default", "m")
    assert served is not None
    assert (served.version, served.alias) == (2, "champion")
    context.metadata.close()
    probabilities, n_fallback = served.calibrate(np.array([0.0, 2.0]), "logits")
    assert n_fallback == 0
    assert probabilities[0] == pytest.approx(0.5, abs=1e-3)


def test_another_tenant_sees_nothing(context: Context, caller: Caller) -> None:
    work(context, caller, spec_of(context, overconfident(500, 12)))
    stranger = Caller(tenant="other", actor="test", scopes=caller.scopes)
    assert not calibrators.page(context, stranger, limit=10, cursor=None).items
