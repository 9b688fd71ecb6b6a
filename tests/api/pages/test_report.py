from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from calibrant.api.pages.report import report_document
from calibrant.operations.evaluate.report import Report

MADE = datetime(2013, 5, 31, 12, 0, tzinfo=UTC)
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """Reads a page, checks that every element is closed, and keeps its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.parts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.parts))


@pytest.fixture
def html(make_report: Callable[..., Report]) -> str:
    return report_document(make_report(), title="Evaluation ev_1", created=MADE).html


def test_the_verdict_comes_first_then_the_finding(html: str) -> None:
    text = Page(html).text
    verdict, finding = text.index("but errors cancel:"), text.index("The errors cancel:")
    assert verdict < finding < text.index("base rate")


def test_every_part_of_a_report_is_there(html: str) -> None:
    text = Page(html).text
    for part in (
        "Figures", "Slices that are wrong", "Gates", "Candidates on the same rows", "Slices",
        "Over time", "Where the Brier score comes from", "Classes", "Most confident, and wrong",
        "Notes", "How to read this",
    ):  # fmt: skip
        assert part in text


def test_no_error_stands_without_its_noise_floor(html: str) -> None:
    text = Page(html).text
    assert "a calibrated model shows 0.008 on average, up to 0.011 in 95 of 100 samples" in text
    assert "0.011 (noise up to 0.011)" in text


def test_a_missing_figure_says_why(html: str) -> None:
    assert "AUROC All rows have one outcome. -" in Page(html).text


def test_overlap_is_stamped(html: str) -> None:
    assert "optimistic: 3 rows were used to fit the calibrator" in Page(html).text


def test_names_cannot_become_markup(html: str, hostile: str) -> None:
    tags = {tag for tag, _ in Page(html).seen}
    assert "script" not in tags
    assert hostile not in html
    assert "</script><script>" not in html
    assert "\u202e" not in html
    assert "\x07" not in html


def test_it_needs_nothing_else(html: str) -> None:
    for tag, attributes in Page(html).seen:
        assert tag not in {"script", "link", "img", "iframe", "object", "form"}
        assert not {"src", "href", "style", "srcset"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html


def test_its_policy_allows_its_own_style_and_nothing_else(
    make_report: Callable[..., Report],
) -> None:
    made = report_document(make_report(), title="x", created=MADE)
    style = re.findall(r"<style>(.*?)</style>", made.html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert made.policy == f"default-src 'none'; style-src 'sha256-{digest}'"
    assert len(style) == 1
    meta = [a["content"] for _, a in Page(made.html).seen if a.get("http-equiv")]
    assert meta == [made.policy]


def test_the_same_report_gives_the_same_bytes(make_report: Callable[..., Report]) -> None:
    made = [report_document(make_report(), title="x", created=MADE).html for _ in range(2)]
    assert made[0] == made[1]


def test_pictures_have_words_for_those_who_do_not_see_them(html: str) -> None:
    pictures = [attributes for tag, attributes in Page(html).seen if tag == "svg"]
    assert len(pictures) == 3
    assert all(one["role"] == "img" and one["aria-label"] for one in pictures)


def test_tables_name_their_columns_and_rows(html: str) -> None:
    page = Page(html)
    heads = [attributes for tag, attributes in page.seen if tag == "th"]
    assert sum("scope" in attributes for attributes in heads) >= len(heads) - 1


def test_a_report_without_slices_gates_and_comparison_renders(
    make_report: Callable[..., Report],
) -> None:
    bare = make_report(
        slices=(), worst_slices=(), gates=(), comparison=None, periods=(), notes=(), diagrams=(),
        optional_metrics=(), optimistic=False,
    )  # fmt: skip
    bare = replace(bare, verdict=replace(bare.verdict, finding=None, status="inconclusive"))
    text = Page(report_document(bare, title="x", created=MADE).html).text
    assert "inconclusive" in text
    assert "Slices that are wrong" not in text
    assert "Gates" not in text


def test_a_report_of_nothing_renders(make_report: Callable[..., Report]) -> None:
    empty = make_report()
    names = [
        "base_rate", "mean_score", "oe_ratio", "accuracy", "nll", "brier", "ece",
        "ece_noise_floor", "rmsce_debiased", "rmsce_interval", "mce", "mce_count", "bias",
        "calibration_slope", "calibration_intercept", "auroc",
    ]  # fmt: skip
    metrics = replace(empty.metrics, n=0, intervals={}, **dict.fromkeys(names))
    verdict = replace(empty.verdict, smallest_detectable=None)
    html = report_document(
        replace(empty, metrics=metrics, verdict=verdict), title="x", created=MADE
    )
    assert "It cannot be computed from these rows." in Page(html.html).text
    assert "None" not in Page(html.html).text
