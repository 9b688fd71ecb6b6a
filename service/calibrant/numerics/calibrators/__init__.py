"""Calibrators: maps from scores to probabilities, how they are fitted, chosen, stored and applied."""
