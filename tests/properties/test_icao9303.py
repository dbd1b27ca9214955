"""Whatever a name is, its form is A to Z and fillers; whatever character of a field is misread, its check digit tells."""

from __future__ import annotations

import re

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core import icao9303
from gateway.core.icao9303 import agrees, check_digit, latin_form, mrz_name

LETTERS = (
    "".join(icao9303._CYRILLIC) + "".join(icao9303._ARABIC) + "".join(icao9303._SEVERAL) + "".join(icao9303._LATIN.values()) + "ABCXYZaz '-"
)
COVERED = st.text(alphabet=LETTERS, min_size=1, max_size=40)
LANGUAGES = st.sampled_from(["", "ru", "uk", "be", "bg", "sr", "mk", "ar", "fa", "de", "uk-UA", "zz"])
FIELD = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<", min_size=1, max_size=44)


@given(st.one_of(st.text(max_size=40), COVERED), LANGUAGES)
def test_a_latin_form_is_of_a_to_z_and_single_spaces(text, language):
    form = latin_form(text, language)
    assert form is None or re.fullmatch(r"[A-Z]+( [A-Z]+)*", form)


@given(st.one_of(st.text(max_size=30), COVERED), st.text(max_size=30), LANGUAGES)
def test_a_name_field_is_of_a_to_z_and_fillers_and_as_wide_as_asked(family, given_names, language):
    field = mrz_name(family, given_names, language=language)
    assert field is None or re.fullmatch("[A-Z<]{39}", field)


@given(COVERED, LANGUAGES)
def test_every_covered_name_has_a_form_that_agrees_with_it(text, language):
    form = latin_form(text, language)
    assume(form is not None)
    assert agrees([text], form, language)
    assert re.fullmatch("[A-Z ]+", form)


@settings(deadline=2000)  # however many spellings there are, the work is that of one
@given(st.text(alphabet="ÄÖÜЩЁЙЯه", min_size=50, max_size=100), st.text(alphabet="AEOUIXSHTC", max_size=200))
def test_no_name_makes_the_comparison_long(text, latin):
    assert agrees([text], latin) in {True, False}


@given(FIELD, st.data())
def test_a_misread_character_of_another_value_changes_the_check_digit(field, data):
    """Weights 7, 3 and 1 have no factor with 10, so only values equal modulo 10 (A and K, say, or 0 and `<`) go unseen."""
    at = data.draw(st.integers(0, len(field) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<"))
    differs = (icao9303._VALUES[other] - icao9303._VALUES[field[at]]) % 10 != 0
    assert (check_digit(field[:at] + other + field[at + 1 :]) != check_digit(field)) is differs
