"""Evidently: its classification preset over a data frame."""

from __future__ import annotations

from typing import Any

import pandas as pd
from evidently import BinaryClassification, DataDefinition, Dataset, Report
from evidently.presets import ClassificationPreset
from protocol import Figures, Work, answer

FIGURES = {"Accuracy": "accuracy", "LogLoss": "nll", "RocAuc": "auroc"}


def report(scores: Any, labels: Any, codes: Any) -> Work:
    """Report on all rows at once; the preset has no slices."""
    del codes
    frame = pd.DataFrame({"y": labels, "p": scores.astype("float64")})
    what = BinaryClassification(target="y", prediction_probas="p", pos_label=1)
    definition = DataDefinition(classification=[what])

    def work() -> Figures:
        data = Dataset.from_pandas(frame, data_definition=definition)
        made = Report([ClassificationPreset()]).run(data, None).dict()
        return {
            FIGURES[kind]: float(metric["value"])
            for metric in made["metrics"]
            if (kind := metric["metric_name"].split("(")[0]) in FIGURES
        }

    return work


answer({"report": report}, ["evidently", "pandas", "numpy"])
