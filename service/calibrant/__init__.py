"""calibrant: measure, repair, serve and watch the calibration of predicted probabilities."""

__version__ = "0.1.0"
