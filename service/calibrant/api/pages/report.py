"""A report as HTML: inside the pages, and as one document that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from calibrant import __version__
from calibrant.api.pages import figures
from calibrant.api.pages.rendering import STYLE, render
from calibrant.errors import NotFound
from calibrant.operations import draw
from calibrant.operations.evaluate.report import Report


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a report as SVG; None where there is nothing to draw."""

    reliability: str | None
    worst: str | None
    panels: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """A page, and the policy under which a browser shows it: no script, no request."""

    html: str
    policy: str


def pictures(report: Report) -> Pictures:
    """Draw what a report shows."""
    try:
        reliability = draw.report_picture(report)
    except NotFound:
        reliability = None
    return Pictures(
        reliability,
        draw.worst_slices_picture(report) if report.worst_slices else None,
        draw.slice_panels(report),
    )


def report_values(
    report: Report,
    *,
    slice_link: Callable[[str], str] | None = None,
    mass_link: str | None = None,
    everything: bool = False,
) -> dict[str, Any]:
    """Return what the template of a report needs.

    Parameters
    ----------
    report : Report
    slice_link : callable
        From the name of a slice to the address of its page; None where there are no other pages.
    mass_link : str or None
        Address of the diagram with bins of equal mass.
    everything : bool
        Whether parts that can be folded are open, for print.
    """
    return {
        "report": report,
        "pictures": pictures(report),
        "lines": figures.lines(report),
        "dimensions": list(figures.by_dimension(report)),
        "compared": figures.compared(report),
        "text": figures.text,
        "slice_link": slice_link,
        "mass_link": mass_link,
        "open": everything,
    }


def report_document(
    report: Report, *, title: str, created: datetime, subtitle: str = ""
) -> Document:
    """Return a report as one printable HTML document with its styles and pictures inside.

    Parameters
    ----------
    report : Report
    title : str
        For the title bar and the footer, for example `Evaluation ev_...`.
    created : datetime
        Aware; the same report always gives the same bytes.
    subtitle : str
        Beside the name of the product.

    Returns
    -------
    Document
        `policy` belongs into `Content-Security-Policy`; it also stands in the document.
    """
    style = STYLE.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    html = render(
        "report.html",
        title=title,
        subtitle=subtitle,
        created=created,
        version=__version__,
        style=Markup(style),  # noqa: S704 - our own file
        policy=policy,
        **report_values(report, everything=True),
    )
    return Document(html, policy)
