"""One table of metric names: as they stand in JSON, in Prometheus, and in the text of pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "zero", "one"]


@dataclass(frozen=True, slots=True)
class MetricName:
    """One metric under its three names.

    Attributes
    ----------
    json : str
        Name in reports, gates, options and monitors.
    prometheus : str or None
        Gauge that a monitor exports for it, if any.
    text : str
        What a page or a sentence calls it.
    better : str or None
        Which way is good: `zero` and `one` mean nearest to it; None where neither is.
    """

    json: str
    prometheus: str | None
    text: str
    better: Better | None


METRICS = (
    MetricName("n", "calibrant_window_events", "rows", None),
    MetricName("n_unlabelled", None, "rows without a label", None),
    MetricName("n_effective", None, "effective rows", None),
    MetricName("base_rate", None, "base rate", None),
    MetricName("mean_score", None, "mean score", None),
    MetricName("oe_ratio", "calibrant_oe_ratio", "O/E ratio", "one"),
    MetricName("accuracy", None, "accuracy", "higher"),
    MetricName("nll", None, "log loss", "lower"),
    # streams clip at 1e-12, a report at the spacing of floats: two figures, two names
    MetricName("nll_clipped", "calibrant_nll_nats", "clipped log loss", "lower"),
    MetricName("brier", "calibrant_brier", "Brier score", "lower"),
    MetricName("ece", "calibrant_ece", "ECE", "lower"),
    MetricName("ece_noise_floor", "calibrant_ece_noise_floor", "noise floor of the ECE", None),
    MetricName(
        "rmsce_debiased", "calibrant_rmsce_debiased", "debiased RMS calibration error", "lower"
    ),
    MetricName("rmsce_interval", None, "interval of the RMS calibration error", None),
    MetricName("mce", "calibrant_mce", "largest gap of a bin", "lower"),
    MetricName("mce_count", None, "rows of the bin with the largest gap", None),
    MetricName("bias", "calibrant_bias", "bias", "zero"),
    MetricName("calibration_slope", "calibrant_slope", "calibration slope", "one"),
    MetricName("calibration_intercept", "calibrant_intercept", "calibration intercept", "zero"),
    MetricName("auroc", None, "AUROC", "higher"),
    MetricName("intervals", None, "95 % intervals", None),
    MetricName("ece_top_label", None, "ECE of the predicted class", "lower"),
    MetricName("ece_equal_mass", None, "ECE on bins of equal mass", "lower"),
    MetricName("ece_classwise", None, "mean ECE of the classes", "lower"),
    MetricName("smooth_ece", None, "smooth ECE", "lower"),
    MetricName("ecce_mad", None, "largest cumulative gap (ECCE)", "lower"),
    MetricName("ecce_mad_p", None, "p-value of the ECCE", None),
    MetricName("spiegelhalter_z", None, "Spiegelhalter's z", "zero"),
    MetricName("spiegelhalter_p", None, "p-value of Spiegelhalter's z", None),
    MetricName("brier_decomposition", None, "decomposition of the Brier score", None),
    MetricName("classification_report", None, "classification report", None),
    MetricName("most_confident_wrong", None, "most confident wrong rows", None),
)

BY_JSON = {name.json: name for name in METRICS}
