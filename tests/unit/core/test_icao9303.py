"""ICAO Doc 9303 part 3: the standard's own examples, its tables, and what a Latin form may differ in."""

# ruff: noqa: RUF001 -- letters that look alike are what this is about

from __future__ import annotations

import pytest

from gateway.contract.errors import InvariantError
from gateway.core.icao9303 import agrees, check_digit, latin_form, mrz_date, mrz_name, name_agrees

DIGITS = [  # part 3, section 4.9 and appendix A; part 4, the specimen of Utopia
    ("520727", "3"), ("AB2134<<<", "5"), ("L898902C3", "6"), ("740812", "2"), ("120415", "9"), ("ZE184226B<<<<<", "1"),
    ("L898902C36" + "7408122" + "1204159" + "ZE184226B<<<<<1", "0"), ("D23145890734", "9"), ("340712", "7"), ("950712", "2"),
    ("D23145890", "7"), ("<<<<<<", "0"), ("", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "digit"), DIGITS)
def test_a_check_digit_is_that_of_the_standard(field, digit):
    assert check_digit(field) == digit


@pytest.mark.parametrize("field", ["l898902c3", "7408-12", "É", "74 08", "\u0661"])
def test_another_character_has_no_check_digit(field):
    with pytest.raises(InvariantError):
        check_digit(field)


@pytest.mark.parametrize(("day", "field"), [("1974-08-12", "740812"), ("1974-08", "7408<<"), ("1974", "74<<<<"), ("2000-01-01", "000101")])
def test_a_date_has_fillers_for_what_is_unknown(day, field):
    assert mrz_date(day) == field


@pytest.mark.parametrize("day", ["", "74", "1974-8-12", "1974-08-12T00:00:00Z", "12.08.1974", "1974-08-12-01"])
def test_what_is_no_day_has_no_date_field(day):
    with pytest.raises(InvariantError):
        mrz_date(day)


@pytest.mark.parametrize(
    ("family", "given", "field"),
    [  # part 3, section 4.6, and part 4
        ("Eriksson", "Anna Maria", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<"),
        ("O’Connor", "Enya Siobhan", "OCONNOR<<ENYA<SIOBHAN<<<<<<<<<<<<<<<<<<"),
        ("Smith-Jones", "Susie Margaret", "SMITH<JONES<<SUSIE<MARGARET<<<<<<<<<<<<"),
        ("Arkfreith", "", "ARKFREITH<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"),
        ("Van der Muellen", "Martin", "VAN<DER<MUELLEN<<MARTIN<<<<<<<<<<<<<<<<"),
        ("Cañon", "Thérèse", "CANON<<THERESE<<<<<<<<<<<<<<<<<<<<<<<<<"),
        ("Ðilic, Jr.", "Dávid", "DILIC<JR<<DAVID<<<<<<<<<<<<<<<<<<<<<<<<"),
    ],
)  # fmt: skip
def test_a_name_field_is_that_of_the_standard(family, given, field):
    assert mrz_name(family, given) == field


@pytest.mark.parametrize(
    ("family", "given"), [("NILAVADHANANANDA", "CHAYAPA DEJTHAMRONG KRASUANG"), ("", ""), ("試験", "人物"), ("ERIKSSON", "A2")]
)
def test_nothing_is_cut_and_nothing_guessed(family, given):
    assert mrz_name(family, given) is None


LATIN = [
    ("Ångström", "", "AANGSTROEM"), ("Müller-Straße", "", "MUELLER STRASSE"), ("Þórður Ægisson", "", "THORDUR AEGISSON"), ("Ĳssel", "", "IJSSEL"),
    ("Ñandú", "", "NANDU"), ("Łukasz Żółć", "", "LUKASZ ZOLC"), ("İsmail Iğdır", "", "ISMAIL IGDIR"), ("Œuvre", "", "OEUVRE"),
    ("Nguyễn Đức", "", "NGUYEN DUC"), ("Ștefan", "", "STEFAN"), ("D'Arc", "", "DARC"), ("e\u0301tienne", "", "ETIENNE"),
]  # fmt: skip
CYRILLIC = [
    ("Георгий Щукин", "ru", "GEORGII SHCHUKIN"), ("Подъячев", "ru", "PODIEIACHEV"), ("Игорь", "ru", "IGOR"), ("Фёдор", "ru", "FEDOR"),
    ("Юрій Згурський", "uk", "YURII ZHURSKYI"), ("Їжакевич", "uk", "YIZHAKEVYCH"), ("Наталія", "uk", "NATALIIA"), ("Ґалаґан", "uk", "GALAGAN"),
    ("Фёдар Гарадок", "be", "FIODAR HARADOK"), ("Ўладзімір", "be", "ULADZIMIR"),
    ("Щерев Христо", "bg", "SHTEREV KHRISTO"), ("Ђорђе Жарковић", "sr", "DORDE ZARKOVIC"), ("Хаџи Шашић", "sr", "HADZI SASIC"),
    ("Ѓорѓи Ќосев", "mk", "GJORGJI KJOSEV"), ("Цветан Џамбазов", "mk", "CVETAN DJAMBAZOV"), ("Љубо Његош", "sr", "LJUBO NJEHOS"),
]  # fmt: skip
ARABIC = [
    ("محمد", "ar", "MXHMD"), ("شخص تجريبي", "ar", "XSHXKHXSS TJRYBY"), ("فاطمة", "ar", "FAXTTMXAH"), ("فاطمةا", "ar", "FAXTTMXTAA"),
    ("عبد الرحيم", "ar", "EBD ALRXHYM"), ("محمّد", "ar", "MXHMMD"), ("مُحَمَّد", "ar", "MXHMMD"), ("گل", "fa", "XGGL"), ("آمنه", "fa", "XAAMNH"),
    ("عبـــد", "ar", "EBD"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "language", "latin"), [*LATIN, *CYRILLIC, *ARABIC])
def test_a_name_is_written_by_the_tables(text, language, latin):
    assert latin_form(text, language) == latin
    assert agrees([text], latin, language)


@pytest.mark.parametrize("text", ["ΠΡΟΣΩΠΟ", "試験 人物", "მაგალითი", "TEST 2", "Әсел", "דוגמה", "\u0661"])
def test_what_the_tables_do_not_cover_has_no_form_and_is_never_wrong(text):
    assert latin_form(text) is None
    assert agrees([text], "ANYTHING AT ALL")


@pytest.mark.parametrize(
    ("parts", "latin", "language"),
    [
        pytest.param(["Müller"], "MULLER", "de", id="U for Ü"), pytest.param(["Müller"], "MUXXLLER", "de", id="UXX for Ü"),
        pytest.param(["Pérez Ñandú"], "PEREZ NXXANDU", "es", id="NXX for Ñ"), pytest.param(["Åse"], "ASE", "no", id="A for Å"),
        pytest.param(["Särkkä"], "SARKKA", "fi", id="A for Ä"), pytest.param(["O'Connor"], "O'CONNOR", "", id="the apostrophe kept"),
        pytest.param(["Smith-Jones"], "SMITH-JONES", "", id="the hyphen kept"), pytest.param(["Smith-Jones"], "SMITHJONES", "", id="without it"),
        pytest.param(["ОСОБА", "ТЕСТ"], "TEST OSOBA", "uk", id="given name first"), pytest.param(["ОСОБА", "ТЕСТ"], "OSOBA TEST", "uk", id="last"),
        pytest.param(["Георгий"], "GEORGY", "ru", id="an older passport"), pytest.param(["Юлия"], "YULIYA", "ru", id="YU and YA"),
        pytest.param(["Георги"], "GEORGI", "", id="no language told"), pytest.param(["Герасимов"], "HERASYMOV", "", id="of no language told"),
        pytest.param(["Щерев"], "SHTEREV", "", id="SHT of no language told"), pytest.param(["Ђорђе"], "DJORDJE", "sr", id="DJ for Ђ"),
        pytest.param(["محمد"], "MUHAMMAD", "ar", id="by ear"), pytest.param(["محمد"], "MOHAMED", "ar", id="by another ear"),
        pytest.param(["فاطمة"], "FATIMA", "ar", id="the last letter not heard"), pytest.param(["سعيد", "عبد الرحيم"], "ABD AL-RAHIM SAID", "ar", id="split"),
    ],
)  # fmt: skip
def test_a_national_spelling_is_right_too(parts, latin, language):
    assert agrees(parts, latin, language)


@pytest.mark.parametrize(
    ("parts", "latin", "language"),
    [
        pytest.param(["Müller"], "MOLLER", "de", id="another vowel"), pytest.param(["ОСОБА", "ТЕСТ"], "OSOBA", "uk", id="half the name"),
        pytest.param(["ОСОБА"], "OSOBA TEST", "uk", id="more than the name"), pytest.param(["ОСОБА", "ТЕСТ"], "PERSON TEST", "uk", id="translated"),
        pytest.param(["محمد"], "AHMAD", "ar", id="another name"), pytest.param(["فاطمة"], "ZAYNAB", "ar", id="quite another"),
        pytest.param(["Иван"], "JOHN", "ru", id="the English one"), pytest.param(["PERSON"], "PERSONS", "", id="a letter more"),
    ],
)  # fmt: skip
def test_another_name_is_found(parts, latin, language):
    assert not agrees(parts, latin, language)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ({"family": "ОСОБА", "given": "ТЕСТ", "language": "uk", "latin": "OSOBA TEST"}, True),
        ({"family": "ОСОБА", "given": "ТЕСТ", "language": "uk", "latin": "OSOBA TETS"}, False),
        ({"full": "ТЕСТ ОСОБА", "latin": "TEST OSOBA"}, True),
        ({"family": "ОСОБА", "full": "ТЕСТ ОСОБА", "latin": "TEST OSOBA"}, True),
        ({"family": "ОСОБА", "second_family": "ДРУГА", "latin": "OSOBA DRUHA", "language": "uk-UA"}, True),
        ({"family": "ОСОБА"}, True),
        ({"latin": "TEST"}, True),
        ({"family": 1, "latin": "TEST"}, True),
        ({"family": "ОСОБА", "latin": ["TEST"], "language": "uk"}, True),
    ],
)
def test_a_name_is_looked_at_as_the_schema_has_it(name, right):
    assert name_agrees(name) is right
