from __future__ import annotations

from urllib.parse import urlencode

import pytest

from calibrant.api.pages.choosing import Choice, chosen, columns_of, proposed, remarks, request_of
from calibrant.errors import BadRequest, Unusable

KNOWN = {
    "columns": [
        {"name": "p", "type": "double", "n_null": 0},
        {"name": "y", "type": "uint8", "n_null": 3},
        {"name": "origin", "type": "string", "n_null": 0},
    ],
    "proposal": {
        "mapping": {"scores": ["p"], "labels": "y", "slices": ["origin"], "weights": None},
        "task": "binary",
        "score_kind": "probabilities",
        "guesses": [{"role": "scores", "columns": ["p"], "why": "the name says so"}],
        "missing": ["ids"],
    },
}
FORM = {
    "task": "binary", "score_kind": "logits", "scores": ["p"], "labels": "y", "weights": "",
    "slices": ["origin", "größe"],
}  # fmt: skip


def encoded(form: dict) -> bytes:
    return urlencode(form, doseq=True).encode()


def test_the_proposal_is_preselected_except_for_the_kind_of_score() -> None:
    choice = proposed(KNOWN)
    assert choice == Choice(task="binary", scores=("p",), labels="y", slices=("origin",))
    assert choice.score_kind == ""


def test_the_reasons_of_a_proposal_are_told() -> None:
    assert remarks(KNOWN) == ["scores: p. the name says so", "Not found: ids"]


def test_without_a_proposal_nothing_is_chosen() -> None:
    assert proposed({"columns": []}) == Choice()
    assert remarks({"columns": []}) == []


def test_scores_are_sought_among_numbers() -> None:
    assert [column.numeric for column in columns_of(KNOWN)] == [True, True, False]


def test_a_form_becomes_an_evaluation() -> None:
    asked = request_of(chosen(encoded(FORM)), "ds_1", max_slices=10)
    assert asked.data.dataset == "ds_1"
    assert asked.data.score_kind == asked.spec.score_kind == "logits"
    assert asked.data.columns is not None
    assert asked.data.columns.scores == ("p",)
    assert asked.data.columns.slices == ("origin", "größe")
    assert asked.data.columns.weights is None
    assert asked.spec.options.max_slices == 10


@pytest.mark.parametrize("name", ["task", "score_kind", "scores", "labels"])
def test_what_is_not_chosen_is_named(name: str) -> None:
    form = {key: value for key, value in FORM.items() if key != name}
    with pytest.raises(Unusable) as refusal:
        request_of(chosen(encoded(form)), "ds_1", max_slices=10)
    assert [one.pointer for one in refusal.value.errors] == [name]


def test_an_empty_form_names_everything_that_is_missing() -> None:
    with pytest.raises(Unusable) as refusal:
        request_of(chosen(b""), "ds_1", max_slices=10)
    assert len(refusal.value.errors) == 4


@pytest.mark.parametrize("name", ["task", "score_kind"])
def test_a_choice_that_is_not_offered_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        request_of(chosen(encoded(FORM | {name: "guess"})), "ds_1", max_slices=10)


@pytest.mark.parametrize(
    "body", [b"\xff", b"a=%ff&b=%fe", b"&&&", b"&".join(b"a=1" for _ in range(6_000))]
)
def test_what_is_not_a_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        chosen(body)
