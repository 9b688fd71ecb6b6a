import time

import pytest

from calibrant.errors import Unusable
from calibrant.storage.names import check_alias, check_name, new_id


@pytest.mark.parametrize("name", ["a", "0", "flights", "my-model.v2_x", "a" * 63])
def test_names_of_the_documented_form_are_accepted(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "_a", "A", "é", "a b", "a/b", "a\n", "a\0", "a@b", "a:3", "a" * 64]
)
def test_other_names_are_refused_without_an_echo(name):
    with pytest.raises(Unusable) as refusal:
        check_name(name)
    assert not name or repr(name)[1:-1] not in refusal.value.detail or len(name) == 1


def test_the_suffix_of_calibrators_under_v2_is_reserved():
    with pytest.raises(Unusable, match="reserved"):
        check_name("flights.calibrator")


@pytest.mark.parametrize(
    "alias", ["champion", "Champion", "v", "vv3", "3v", "a-b_c", "ä", "a" * 255]
)
def test_aliases_follow_the_rule_of_mlflow(alias):
    assert check_alias(alias) == alias


@pytest.mark.parametrize(
    "alias", ["", "latest", "LATEST", "v3", "V12", "a.b", "a b", "a@b", "a\n", "a" * 256]
)
def test_reserved_and_malformed_aliases_are_refused(alias):
    with pytest.raises(Unusable):
        check_alias(alias)


def test_identifiers_are_distinct_and_fit_their_column():
    made = {new_id("claim") for _ in range(10_000)}
    assert len(made) == 10_000
    assert max(map(len, made)) <= 40


def test_identifiers_sort_by_the_time_they_were_made():
    first = new_id("ev")
    time.sleep(0.002)
    assert first < new_id("ev")
