"""A bet on noise: two diagrams of few rows, one of a calibrated model and one of a broken one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibration import ece
from calibrant.numerics.special import expit
from calibrant.numerics.table import Bins, tabulate
from calibrant.operations.draw.canvas import ThemeName
from calibrant.operations.draw.reliability import multiples
from calibrant.operations.draw.series import Figure, Series
from calibrant.operations.evaluate.diagrams import diagrams
from calibrant.operations.evaluate.report import ALL, Diagram, NoiseFloor

ROWS = 300
STRETCH = 1.4
_PAIRS = 400
_SEED = 2013


@dataclass(frozen=True, slots=True, eq=False)
class Bet:
    """Two diagrams, and which one is broken.

    Attributes
    ----------
    n : int
        Rows behind each diagram.
    stretch : float
        The broken model's log-odds are this many times the true ones: it is over-confident.
    first, second : Diagram
        A and B.
    broken : `A` or `B`
    calibrated_ece, broken_ece : float
    floor : NoiseFloor
        ECE that a calibrated model shows on these rows.
    fooled : float
        Share of such pairs in which the calibrated model shows the larger ECE.
    """

    n: int
    stretch: float
    first: Diagram
    second: Diagram
    broken: Literal["A", "B"]
    calibrated_ece: float
    broken_ece: float
    floor: NoiseFloor
    fooled: float

    def picture(self, *, columns: int = 2, theme: ThemeName = "light", told: bool = False) -> str:
        """Draw both diagrams; `told` says which is broken and adds the errors.

        Parameters
        ----------
        columns : int
            2: beside each other; 1: under each other.
        theme : `light` or `dark`
        told : bool
            Whether to give the answer. Without it neither errors nor bands are drawn.

        Returns
        -------
        str
            An SVG document.
        """
        figures = []
        for name, data in (("A", self.first), ("B", self.second)):
            title = name
            if told:
                title += ": broken" if name == self.broken else ": calibrated"
            figures.append(Figure(title, (Series("", data if told else _bare(data)),)))
        return multiples(
            figures,
            title=f"Two diagrams at n = {self.n}: which is broken?",
            columns=columns,
            theme=theme,
        )


@cache
def bet() -> Bet:
    """Return the bet: a pair of samples in which the calibrated model looks worse.

    Notes
    -----
    Log-odds are drawn from a normal distribution (mean -0.5, sd 1.4), outcomes from them. The
    broken model says `STRETCH` times those log-odds. Of many pairs the first one is taken in which
    the calibrated model shows the larger error; `fooled` is the share of such pairs.
    """
    rng = np.random.default_rng(_SEED)
    truth = rng.normal(-0.5, 1.4, (2, _PAIRS, ROWS))
    outcome = rng.random(truth.shape) < expit(truth)
    calibrated = _bins(expit(truth[0]), outcome[0])
    broken = _bins(expit(STRETCH * truth[1]), outcome[1])
    errors = ece(calibrated), ece(broken)
    fooled = errors[0] > errors[1]
    pair = int(np.argmax(fooled))
    at = calibrated.take([pair]), broken.take([pair])
    drawn = [diagrams(bins, (ALL,), task="binary", stage="reported")[0] for bins in at]
    floor = drawn[0].ece_noise_floor
    assert floor is not None, "the rows are not empty"
    return Bet(
        n=ROWS,
        stretch=STRETCH,
        first=drawn[1],
        second=drawn[0],
        broken="A",
        calibrated_ece=float(errors[0][pair]),
        broken_ece=float(errors[1][pair]),
        floor=floor,
        fooled=float(fooled.mean()),
    )


def _bins(score: NDArray[np.float64], outcome: NDArray[np.bool_]) -> Bins:
    """Count every sample as a slice of its own."""
    codes = np.repeat(np.arange(_PAIRS, dtype=np.int32), ROWS)
    return tabulate(score.ravel(), outcome.ravel(), codes=codes, n_slices=_PAIRS).bins()


def _bare(data: Diagram) -> Diagram:
    """Return a diagram without what would give the answer away."""
    hidden: tuple[None, ...] = (None,) * len(data.n)
    return replace(
        data,
        low=hidden,
        high=hidden,
        band_low=hidden,
        band_high=hidden,
        ece=None,
        ece_noise_floor=None,
    )
