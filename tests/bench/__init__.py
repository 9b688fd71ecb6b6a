"""Measures calibrant against peers: each in its own environment, alternating, judged by ratios."""
