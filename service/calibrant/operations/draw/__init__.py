"""Pictures drawn by the server from plain data: SVG, light and dark, readable by everyone."""

from calibrant.operations.draw.bet import Bet, bet
from calibrant.operations.draw.canvas import ThemeName
from calibrant.operations.draw.forest import Gap, forest
from calibrant.operations.draw.pictures import (
    Binning,
    report_picture,
    slice_panels,
    worst_slices_picture,
)
from calibrant.operations.draw.reliability import multiples, reliability
from calibrant.operations.draw.series import Figure, Series

__all__ = [
    "Bet",
    "Binning",
    "Figure",
    "Gap",
    "Series",
    "ThemeName",
    "bet",
    "forest",
    "multiples",
    "reliability",
    "report_picture",
    "slice_panels",
    "worst_slices_picture",
]
