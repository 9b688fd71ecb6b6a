"""Reports made by hand, so that pages are tested without computing anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from calibrant.operations.evaluate.report import (
    ALL,
    BrierDecomposition,
    CandidateReport,
    ClassificationReport,
    ClassScores,
    Comparison,
    Diagram,
    Difference,
    GateResult,
    Metrics,
    NoiseFloor,
    Note,
    PeriodReport,
    Report,
    SliceReport,
    Verdict,
    WorstSlice,
    WrongRow,
)

HOSTILE = "region=</script><script>alert(1)</script>\u202e\x07&\"'"
LONG = "carrier=" + "漢" * 40


def _metrics(**more: object) -> Metrics:
    given = {
        "n": 28_796,
        "n_unlabelled": 12,
        "n_effective": 28_796.0,
        "base_rate": 0.203,
        "mean_score": 0.215,
        "oe_ratio": 0.944,
        "accuracy": 0.801,
        "nll": 0.4512,
        "brier": 0.1472,
        "ece": 0.0113,
        "ece_noise_floor": NoiseFloor(mean=0.0081, p95=0.0107),
        "rmsce_debiased": 0.0121,
        "rmsce_interval": (0.0091, 0.0153),
        "mce": 0.0534,
        "mce_count": 312,
        "bias": 0.0112,
        "calibration_slope": 0.94,
        "calibration_intercept": -0.07,
        "auroc": None,
        "intervals": {"bias": (0.0071, 0.0153), "calibration_slope": (0.91, 0.97)},
    }
    return Metrics(**(given | more))


def _diagram(slice_name: str = ALL, *, shift: float = 0.0, **more: object) -> Diagram:
    bins = range(5)
    n = (1200, 800, 0, 29, 4000)
    rate = [min(max(0.2 * b + 0.1 + shift, 0), 1) for b in bins]

    def kept(values: list[float]) -> tuple[float | None, ...]:
        return tuple(value if n[b] else None for b, value in enumerate(values))

    given = {
        "slice": slice_name,
        "stage": "reported",
        "binning": "equal_width",
        "view": "positive",
        "edges": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        "n": n,
        "score": kept([0.2 * b + 0.1 for b in bins]),
        "rate": kept(rate),
        "low": kept([max(r - 0.05, 0) for r in rate]),
        "high": kept([min(r + 0.05, 1) for r in rate]),
        "band_low": kept([0.2 * b + 0.07 for b in bins]),
        "band_high": kept([0.2 * b + 0.13 for b in bins]),
        "ece": abs(shift) + 0.01,
        "ece_noise_floor": NoiseFloor(mean=0.008, p95=0.011),
    }
    return Diagram(**(given | more))


def _report(**more: object) -> Report:
    """Return a report with something in every part of it, hostile names included."""
    worst = [
        WorstSlice(
            name=name,
            n=4_012,
            effect=effect,
            interval=(effect - 0.01, effect + 0.01),
            p_value=1e-12,
            p_adjusted=p,
            beyond_tolerance=abs(effect) > 0.02,
            direction="too high" if effect > 0 else "too low",
            ece=abs(effect),
            ece_noise_floor=NoiseFloor(mean=0.02, p95=0.03),
        )
        for name, effect, p in (
            ("daypart=early", 0.107, 1e-10),
            ("daypart=evening", -0.091, 1e-9),
            (HOSTILE, 0.03, 0.004),
            (LONG, -0.012, 0.03),
        )
    ]
    slices = [
        SliceReport(
            name=one.name, dimension=one.name.split("=")[0], metrics=_metrics(bias=one.effect)
        )
        for one in worst
    ]
    bands = [
        SliceReport(name=f"score_band=0.{i}-0.{i + 1}", dimension="score_band", metrics=_metrics())
        for i in range(3)
    ]
    better = Difference(value=-0.0123, interval=(-0.015, -0.009), better=True)
    given = {
        "verdict": Verdict(
            status="miscalibrated",
            direction="too high in daypart=early",
            sentence="The aggregate looks fine (ECE 0.011), but errors cancel: daypart=early is "
            "0.107 too high and daypart=evening is 0.091 too low.",
            finding="The errors cancel: daypart=early is 0.107 too high (mean score 0.201, rate "
            "0.094, 8,260 rows), while all rows together show a gap of +0.011 (ECE 0.011).",
            tolerance=0.02,
            smallest_detectable=0.012,
        ),
        "task": "binary",
        "n_classes": 2,
        "calibrator": "flights:3",
        "metrics": _metrics(
            smooth_ece=0.0102,
            spiegelhalter_z=-3.44,
            spiegelhalter_p=0.00057,
            brier_decomposition=BrierDecomposition(
                reliability=0.001,
                resolution=0.02,
                uncertainty=0.16,
                within_bin=0.0001,
                miscalibration=0.001,
                discrimination=0.021,
                corp_uncertainty=0.16,
            ),
            classification_report=ClassificationReport(
                classes=tuple(
                    ClassScores(
                        label=i, support=100.0, precision=0.5, recall=None, f1=None, auprc=0.4
                    )
                    for i in range(2)
                ),
                macro_precision=0.5,
                macro_recall=None,
                macro_f1=None,
                macro_auprc=0.4,
                confusion=((80.0, 20.0), (40.0, 60.0)),
            ),
            most_confident_wrong=(
                WrongRow(row=17, id=HOSTILE, label=0, predicted=1, confidence=0.9991),
            ),
        ),
        "slices": (*slices, *bands),
        "worst_slices": tuple(worst),
        "gates": (
            GateResult(
                metric="ece", slice=ALL, candidate=None, baseline=None, max=0.02, min=None,
                status="pass", value=0.0113, interval=(0.0, 0.0153),
                sentence="ECE is at most 0.015, and 0.02 is allowed.",
            ),
            GateResult(
                metric="bias", slice=HOSTILE, candidate=None, baseline=None, max=0.02, min=None,
                status="fail", value=0.03, interval=(0.02, 0.04), sentence="Bias is at least .02.",
            ),
        ),
        "comparison": Comparison(
            baseline="identity",
            best="flights:3",
            candidates=(
                CandidateReport(name="identity", metrics=_metrics(), differences={}, slices=()),
                CandidateReport(
                    name="flights:3", metrics=_metrics(), differences={"nll": better}, slices=()
                ),
            ),
        ),
        "period": "week",
        "periods": (
            PeriodReport(
                start="2013-05-01T00:00:00Z", end="2013-05-08T00:00:00Z", metrics=_metrics()
            ),
        ),
        "notes": (
            Note(code="at_bound", pointer="/metrics/auroc", reason="All rows have one outcome."),
        ),
        "optimistic": True,
        "n_overlap": 3,
        "optional_metrics": (
            "smooth_ece", "spiegelhalter_z", "brier_decomposition", "classification_report",
            "most_confident_wrong",
        ),
        "diagrams": (
            _diagram(),
            _diagram(stage="raw", shift=0.09),
            *(_diagram(one.name, shift=-one.effect) for one in worst),
        ),
    }  # fmt: skip
    return Report(**(given | more))


@pytest.fixture
def make_report() -> Callable[..., Report]:
    return _report


@pytest.fixture
def hostile() -> str:
    """Return a slice name that tries everything."""
    return HOSTILE
