"""Evaluation: scores and labels in, a report with a verdict out."""

from calibrant.operations.evaluate.assemble import evaluate
from calibrant.operations.evaluate.report import EvaluateOptions, EvaluateSpec, Gate, Report

__all__ = ["EvaluateOptions", "EvaluateSpec", "Gate", "Report", "evaluate"]
