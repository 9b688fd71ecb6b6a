"""The pictures of a report: which series, which title, which slices."""

from __future__ import annotations

from typing import Literal

from calibrant.errors import NotFound
from calibrant.operations.draw.canvas import ThemeName
from calibrant.operations.draw.forest import Gap, forest
from calibrant.operations.draw.reliability import multiples, reliability
from calibrant.operations.draw.series import Figure, Series
from calibrant.operations.evaluate.report import ALL, Diagram, Report

Binning = Literal["equal_width", "equal_mass"]
FOREST_ROWS = 12
PANELS = 6


def report_picture(
    report: Report,
    *,
    title: str = "",
    slice_name: str = ALL,
    binning: Binning = "equal_width",
    theme: ThemeName = "light",
) -> str:
    """Draw the reliability diagram of a report, before and after its calibrator in one picture.

    Parameters
    ----------
    report : Report
    title : str
        First line; by default the slice, or what the rows are.
    slice_name : str
        `__all__` or the name of a slice.
    binning : `equal_width` or `equal_mass` (all rows only)
    theme : `light` or `dark`

    Returns
    -------
    str
        An SVG document.

    Raises
    ------
    NotFound
        If the report has no reliability data of that slice and binning.
    """
    figure = figure_of(report, slice_name, binning)
    named = Figure(title, figure.series, figure.title) if title else figure
    return reliability(named, theme=theme)


def figure_of(report: Report, slice_name: str = ALL, binning: Binning = "equal_width") -> Figure:
    """Return what a reliability diagram of one slice shows, or raise `NotFound`."""
    after = report.diagram(slice_name, binning=binning)
    if after is None:
        raise NotFound(
            "this report has no reliability data of that slice and binning; "
            "`equal_mass` is there for all rows only"
        )
    before = report.diagram(slice_name, stage="raw", binning=binning)
    title = "All rows" if slice_name == ALL else slice_name
    if before is None:
        return Figure(title, (Series("", after),))
    return Figure(title, _before_after(before, after))


def worst_slices_picture(report: Report, *, theme: ThemeName = "light") -> str:
    """Draw the worst slices of a report as signed gaps with their simultaneous intervals."""
    shown = report.worst_slices[:FOREST_ROWS]
    more = len(report.worst_slices) - len(shown)
    said = "Mean score minus observed rate; intervals hold for all slices looked at together."
    if more:
        said += f" {more} more in the table."
    gaps = [
        Gap(
            name=worst.name,
            gap=worst.effect,
            low=worst.interval[0],
            high=worst.interval[1],
            n=worst.n,
            certain=worst.beyond_tolerance,
        )
        for worst in shown
    ]
    return forest(gaps, title="Slices that are wrong", subtitle=said, theme=theme)


def slice_panels(report: Report, *, columns: int = 3, theme: ThemeName = "light") -> str | None:
    """Draw the diagrams of the worst slices as small multiples; None where no slice is wrong."""
    names = [worst.name for worst in report.worst_slices if report.diagram(worst.name)][:PANELS]
    if not names:
        return None
    figures = [figure_of(report, name) for name in names]
    return multiples(
        figures,
        title="The worst slices",
        subtitle="Same axes in all panels.",
        columns=columns,
        theme=theme,
    )


def _before_after(before: Diagram, after: Diagram) -> tuple[Series, Series]:
    return Series("before", before), Series("after", after)
