"""Every metric record of the golden set, to its own tolerance; fits are tested by their owner."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibrant.numerics import calibration, ranked, scoring, smooth
from calibrant.numerics.edges import equal_edges
from calibrant.numerics.rows import derive, probabilities
from calibrant.numerics.table import Bins

FOLDER = Path(__file__).parent / "golden"
RECORDS = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))["records"]

TIED = ("bin_ties_probs", "bin_const")
# torchmetrics puts a score of exactly 1 into a bin of its own, and its edges 0.6 and 0.7 differ.
TORCHMETRICS_DIFFERS = ("bin_ties_probs", "mc10_huge_logits")


class Batch:
    def __init__(self, name: str) -> None:
        data = np.load(FOLDER / f"{name}.npz")
        self.labels, self.weights = data["labels"], data["weights"]
        self.task = "binary" if data["logits"].ndim == 1 else "multiclass"
        self.kind = "probabilities" if data["is_probs"] else "logits"
        self.scores = data["logits"]
        self.p = probabilities(self.scores, task=self.task, score_kind=self.kind)
        self.rows = derive(self.scores, self.labels, task=self.task, score_kind=self.kind)
        self.weighted = derive(
            self.scores, self.labels, task=self.task, score_kind=self.kind, weights=self.weights
        )
        # As a peer sees it, who is given probabilities.
        self.given = derive(self.p, self.labels, task=self.task, score_kind="probabilities")
        self.given_weighted = derive(
            self.p, self.labels, task=self.task, score_kind="probabilities", weights=self.weights
        )

    def bins(self, edges: np.ndarray, closed: str = "left") -> Bins:
        return Bins.from_rows(self.rows.score, self.rows.outcome, edges=edges, closed=closed)

    def ranked(self, weighted: bool = False) -> ranked.Ranked:
        return ranked.rank(self.rows.score, self.rows.outcome, self.weights if weighted else None)


@cache
def batch(name: str) -> Batch:
    return Batch(name)


def curve(quantile: bool, n: int, data: Batch) -> dict[str, Any]:
    edges = equal_edges(n)
    if quantile:
        inner = np.percentile(data.rows.score, 100 * equal_edges(n))[1:-1]
        edges = np.concatenate([[0.0], np.unique(inner), [1.0]])
    bins = data.bins(edges, "right")
    full = bins.n[0] > 0
    return {
        "frac_pos": (bins.y / np.maximum(bins.w, 1))[0, full],
        "mean_pred": (bins.p / np.maximum(bins.w, 1))[0, full],
    }


def kumar(data: Batch) -> float:
    r = data.ranked()
    groups = "unique" if len(r.score) < r.n / 4 else "mass"
    return float(calibration.l2_debiased_kumar(ranked.equal_mass_bins(r, 15, groups=groups))[0])


def corp(score: str, weighted: bool, data: Batch) -> dict[str, float]:
    return ranked.corp(data.ranked(weighted), score=score, clip_eps=1e-15)._asdict()


def spiegelhalter(data: Batch) -> dict[str, float]:
    z, p = scoring.spiegelhalter(data.rows.score, data.rows.outcome)
    return {"statistic": z, "pvalue": p}


def spiegelhalter_upper(data: Batch) -> list[float]:
    z, p = scoring.spiegelhalter(data.rows.score, data.rows.outcome)
    return [z, p / 2 if z > 0 else 1 - p / 2]


def hosmer_lemeshow(data: Batch) -> dict[str, float]:
    result = ranked.hosmer_lemeshow(ranked.equal_mass_bins(data.ranked(), 10))
    return {"statistic": result.statistic, "pvalue": result.p_value, "dof": result.dof}


def ecce_mad(data: Batch) -> list[float]:
    e = ranked.ecce(data.ranked())
    return [e.mad / e.sigma, e.mad_p_value]


def ecce_range(data: Batch) -> list[float]:
    e = ranked.ecce(data.ranked())
    return [e.range / e.sigma, e.range_p_value]


def average(name: str, data: Batch, weighted: bool = False, given: bool = False) -> float:
    rows = (
        (data.given_weighted if weighted else data.given)
        if given
        else (data.weighted if weighted else data.rows)
    )
    return float(np.average(getattr(rows, name), weights=rows.weights))


METRICS: dict[str, Callable[[Batch], Any]] = {
    "accuracy": lambda d: d.rows.correct.mean(),
    "auroc": lambda d: ranked.auroc(d.ranked()),
    "auroc_weighted": lambda d: ranked.auroc(d.ranked(weighted=True)),
    "auroc_ovr_macro": lambda d: ranked.auroc_ovr(d.p, d.labels).macro,
    "brier_multi": partial(average, "brier"),
    "brier_pos": partial(average, "brier"),
    "brier_pos_weighted": partial(average, "brier", weighted=True),
    "classwise_ece_15_each": lambda d: scoring.classwise_ece(d.p, d.labels).each,
    "classwise_ece_15_mean": lambda d: scoring.classwise_ece(d.p, d.labels).mean,
    "corp_decomposition_brier": partial(corp, "brier", False),
    "corp_decomposition_brier_weighted": partial(corp, "brier", True),
    "corp_decomposition_logloss": partial(corp, "log_loss", False),
    "corp_decomposition_logloss_weighted": partial(corp, "log_loss", True),
    "curve_quantile_10": partial(curve, True, 10),
    "curve_quantile_15": partial(curve, True, 15),
    "curve_uniform_10": partial(curve, False, 10),
    "curve_uniform_15": partial(curve, False, 15),
    "ecce_kolmogorov-smirnov": lambda d: ranked.ecce(d.ranked()).mad,
    "ecce_ks_stat_pvalue": ecce_mad,
    "ecce_kuiper": lambda d: ranked.ecce(d.ranked()).range,
    "ecce_kuiper_stat_pvalue": ecce_range,
    "ece_equalwidth_10": lambda d: calibration.ece(d.bins(np.arange(11) / 10, "right"))[0],
    "ece_l2_debiased_equalmass_15": kumar,
    "hosmer_lemeshow_10": hosmer_lemeshow,
    "logloss": partial(average, "nll", given=True),
    "logloss_weighted": partial(average, "nll", weighted=True, given=True),
    "logloss_from_logits": partial(average, "nll"),
    "smece": lambda d: smooth.smooth_ece(d.rows.score, d.rows.outcome).value,
    "smece_toplabel": lambda d: smooth.smooth_ece(d.rows.score, d.rows.outcome).value,
    "smece_sigma0.05": lambda d: (
        smooth.smooth_ece(d.rows.score, d.rows.outcome, bandwidth=0.05).value
    ),
    "spiegelhalter_z": spiegelhalter,
    "spiegelhalter_z_pvalue": spiegelhalter_upper,
}
for bins_ in (10, 15):
    for view in ("binarypos", "toplabel"):
        for name_, metric in (
            ("ece_uniform_{}_l1", calibration.ece),
            ("ece_uniform_{}_l2", calibration.rmsce),
            ("ece_uniform_{}_max", lambda b: calibration.mce(b, min_count=1).value),
            ("ace_uniform_{}", calibration.ace),
        ):
            METRICS[f"{name_.format(bins_)}_{view}"] = lambda d, f=metric, n=bins_: f(
                d.bins(equal_edges(n))
            )[0]

FITS = (
    "beta", "ets", "histogram", "isotonic", "ivap", "platt", "quadratic", "sms", "svs",
    "temperature",
)  # fmt: skip


def family(record: dict[str, Any]) -> str:
    return record["dataset"].rsplit("_", 1)[0]


def ill_defined(record: dict[str, Any]) -> bool:
    """The cases README of the golden set says not to match."""
    quantity, name = record["quantity"], family(record)
    if record["peer"] == "torchmetrics":
        return name in TORCHMETRICS_DIFFERS
    depends_on_row_order = quantity == "hosmer_lemeshow_10" or record["peer"] == "probmetrics"
    return depends_on_row_order and name in TIED


def metric_records() -> Iterator[tuple[str, str]]:
    seen = {(r["quantity"], r["peer"]) for r in RECORDS if not r["quantity"].startswith(FITS)}
    yield from sorted(seen)


def misses(got: Any, record: dict[str, Any], key: str = "") -> list[str]:
    want = record["value"][key] if key else record["value"]
    if isinstance(want, dict):
        return [line for k in want for line in misses(got[k], record, k)]
    got, want = np.atleast_1d(got).astype(float), np.atleast_1d(want).astype(float)
    if got.shape != want.shape:
        return [f"{record['dataset']} {key}: shape {got.shape}, not {want.shape}"]
    off = np.abs(got - want) - record["atol"] - record["rtol"] * np.abs(want)
    if not (off <= 0).all():
        return [f"{record['dataset']} {key}: {got[:4]} instead of {want[:4]}"]
    return []


@pytest.mark.parametrize(("quantity", "peer"), list(metric_records()))
def test_golden_metric(quantity: str, peer: str) -> None:
    chosen = [
        record
        for record in RECORDS
        if (record["quantity"], record["peer"]) == (quantity, peer) and not ill_defined(record)
    ]
    assert len(chosen) >= 9
    found = [
        line
        for record in chosen
        for line in misses(METRICS[quantity](batch(record["dataset"])), record)
    ]
    assert not found, "\n".join(found)
