import pytest

from calibrant.errors import Unusable
from calibrant.storage.references import Reference, parse_ref


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flights", Reference("flights")),
        ("flights@champion", Reference("flights", alias="champion")),
        ("flights:3", Reference("flights", version=3)),
        ("models:/flights@champion", Reference("flights", alias="champion")),
        ("models:/flights/3", Reference("flights", version=3)),
        ("models:/flights/latest", Reference("flights", newest=True)),
        ("models:/flights/Latest", Reference("flights", newest=True)),
    ],
)
def test_every_documented_form_is_read(text, expected):
    assert parse_ref(text) == expected


@pytest.mark.parametrize("text", ["flights", "flights@champion", "flights:3"])
def test_a_reference_is_written_as_it_was_read(text):
    assert str(parse_ref(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@champion",
        "flights@",
        "flights@latest",
        "flights@v3",
        "flights@a@b",
        "flights:",
        "flights:0",
        "flights:03",
        "flights:-1",
        "flights:٣",
        "flights:2147483648",
        "flights:" + "9" * 5000,
        "flights:3@champion",
        "models:/flights",
        "models:/flights/",
        "models:/flights/3/4",
        "models:/flights/v3",
        "models://flights/3",
        "Models:/flights/3",
        "flights.calibrator",
        "../flights",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(Unusable):
        parse_ref(text)
