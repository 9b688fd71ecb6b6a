from __future__ import annotations

from xml.etree import ElementTree

from calibrant.operations.draw import bet


def test_the_calibrated_model_looks_worse_than_the_broken_one() -> None:
    made = bet()
    assert made.calibrated_ece > made.broken_ece


def test_both_errors_are_within_noise() -> None:
    made = bet()
    assert max(made.calibrated_ece, made.broken_ece) < made.floor.p95


def test_the_noise_floor_at_300_rows_is_the_known_one() -> None:
    # simulated mean and p95 for uniform scores: .068 and .094 (reference/numerics, section 2)
    made = bet()
    assert abs(made.floor.mean - 0.068) < 0.01
    assert abs(made.floor.p95 - 0.094) < 0.01


def test_being_fooled_is_neither_rare_nor_the_rule() -> None:
    assert 0.1 < bet().fooled < 0.5


def test_the_picture_keeps_the_answer_until_it_is_told() -> None:
    made = bet()
    asked, told = made.picture(), made.picture(told=True)
    ElementTree.fromstring(asked)
    assert "broken" in told
    assert "ECE" in told
    assert "ECE" not in asked
    assert "A: broken" not in asked
    assert made.broken in {"A", "B"}


def test_it_can_be_drawn_for_a_phone() -> None:
    narrow = ElementTree.fromstring(bet().picture(columns=1))
    assert float(narrow.get("width", "")) == 480
