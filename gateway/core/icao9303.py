"""Names, dates and check digits as machine-readable travel documents have them: ICAO Doc 9303 part 3, 8th edition, sections 4 and 6.

The tables are of section 6: A (Latin national characters), B (Cyrillic, with its exceptions by language), C (Arabic). The first spelling is
the recommended one. What is not in them (Greek, Han, …) is not covered: it has no form here, and is never found wrong.
"""

# ruff: noqa: RUF001 -- letters that look alike are what these tables are about

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import permutations
from typing import Any, Final

from gateway.contract.errors import InvariantError

Spellings = tuple[str, ...]  # of one letter: the recommended one first
WEIGHTS: Final = (7, 3, 1)
FILLER: Final = "<"
_VALUES: Final = {FILLER: 0} | {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
_DATE: Final = re.compile(r"[0-9]{2}([0-9]{2})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_BREAKS: Final = re.compile(r"[\s,\u2010-\u2015-]+")  # between the words of a name: a hyphen becomes a filler, a comma too
_OMITTED: Final = frozenset("'\u2019\u02bc\u2018`.\u0640\u00ad\u200c\u200d")  # apostrophes; of Arabic the tatweel
_SHADDA: Final = "\u0651"

# --- section 6, the tables ------------------------------------------------------------------------------------------------------------

_LATIN: Final[Mapping[str, str]] = {
    "A": "ÀÁÂÃĀĂĄ", "C": "ÇĆĈĊČ", "D": "ÐĎĐ", "E": "ÈÉÊËĒĔĖĘĚ", "G": "ĜĞĠĢ", "H": "ĤĦ", "I": "ÌÍÎÏĨĪĬĮİ", "IJ": "Ĳ", "J": "Ĵ", "K": "Ķ",
    "L": "ĹĻĽĿŁ", "N": "ŃŅŇŊ", "O": "ÒÓÔÕŌŎŐ", "R": "ŔŖŘ", "S": "ŚŜŞŠ", "T": "ŢŤŦ", "U": "ÙÚÛŨŪŬŮŰŲ", "W": "Ŵ", "Y": "ÝŶŸ", "Z": "ŹŻŽ",
    "TH": "Þ", "AE": "Æ", "OE": "ØŒ", "SS": "ẞ",
}  # fmt: skip
_SEVERAL: Final[Mapping[str, Spellings]] = {
    "Ä": ("AE", "A"), "Å": ("AA", "A"), "Ñ": ("N", "NXX"), "Ö": ("OE", "O"), "Ü": ("UE", "UXX", "U"), "Ø": ("OE", "O"), "ẞ": ("SS", "S"),
}  # fmt: skip
_CYRILLIC: Final[Mapping[str, str]] = {
    "А": "A", "Б": "B", "В": "V", "Г": "G", "Д": "D", "Е": "E", "Ё": "E", "Ж": "ZH", "З": "Z", "И": "I", "Й": "I", "К": "K", "Л": "L",
    "М": "M", "Н": "N", "О": "O", "П": "P", "Р": "R", "С": "S", "Т": "T", "У": "U", "Ф": "F", "Х": "KH", "Ц": "TS", "Ч": "CH", "Ш": "SH",
    "Щ": "SHCH", "Ъ": "IE", "Ы": "Y", "Ь": "", "Э": "E", "Ю": "IU", "Я": "IA", "І": "I", "Ї": "I", "Є": "IE", "Ґ": "G", "Ў": "U", "Ѫ": "U",
    "Ѓ": "G", "Ђ": "D", "Ѕ": "DZ", "Ј": "J", "Ќ": "K", "Љ": "LJ", "Њ": "NJ", "Ћ": "C", "Һ": "C", "Џ": "DZ",
}  # fmt: skip
_BY_LANGUAGE: Final[Mapping[str, Mapping[str, str]]] = {  # the exceptions of table B
    "be": {"Г": "H", "Ё": "IO"},
    "bg": {"Щ": "SHT"},
    "mk": {"Х": "H", "Ц": "C", "Ѓ": "GJ", "Ќ": "KJ", "Џ": "DJ"},
    "sr": {"Г": "H", "Ж": "Z", "Х": "H", "Ц": "C", "Ч": "C", "Ш": "S"},
    "uk": {"Г": "H", "И": "Y"},
}
_FIRST: Final[Mapping[str, Mapping[str, str]]] = {"uk": {"Є": "YE", "Ї": "YI", "Й": "Y", "Ю": "YU", "Я": "YA"}}  # at the start of a word
_NATIONAL: Final[Mapping[str, Spellings]] = {  # what passports write beside the tables: right too, never our own form
    "Г": ("G", "H"), "Е": ("IE", "YE", "JE"), "Ё": ("IO", "YO", "JO"), "Ж": ("Z", "J"), "Й": ("Y", "J", ""), "И": ("Y",), "Х": ("H", "CH"),
    "Ц": ("C",), "Ч": ("C",), "Ш": ("S",), "Щ": ("SHT", "SCH"), "Ъ": ("A", "Y", ""), "Ь": ("Y",), "Ю": ("YU", "JU"), "Я": ("YA", "JA"),
    "Є": ("YE", "JE"), "Ї": ("YI", "JI"), "Ђ": ("DJ",), "Џ": ("DZH", "J"), "Ы": ("I",), "Ў": ("W",), "Љ": ("L",), "Њ": ("N",),
    "Ѓ": ("GJ",), "Ќ": ("KJ",), "Ѕ": ("Z",), "Ѫ": ("A",),
}  # fmt: skip
_ARABIC: Final[Mapping[str, str]] = {
    "ء": "XE", "آ": "XAA", "أ": "XAE", "ؤ": "U", "إ": "I", "ئ": "XI", "ا": "A", "ب": "B", "ة": "XTA", "ت": "T", "ث": "XTH", "ج": "J",
    "ح": "XH", "خ": "XKH", "د": "D", "ذ": "XDH", "ر": "R", "ز": "Z", "س": "S", "ش": "XSH", "ص": "XSS", "ض": "XDZ", "ط": "XTT", "ظ": "XZZ",
    "ع": "E", "غ": "G", "ف": "F", "ق": "Q", "ك": "K", "ل": "L", "م": "M", "ن": "N", "ه": "H", "و": "W", "ى": "XAY", "ي": "Y", "ٱ": "XXA",
    "ٹ": "XXT", "ټ": "XRT", "پ": "P", "ځ": "XKE", "څ": "XXH", "چ": "XC", "ڈ": "XXD", "ډ": "XDR", "ڑ": "XXR", "ړ": "XRR", "ږ": "XRX",
    "ژ": "XJ", "ښ": "XXS", "ک": "XKK", "ګ": "XXK", "ڭ": "XNG", "گ": "XGG", "ں": "XNN", "ڼ": "XXN", "ھ": "XDO", "ۀ": "XYH", "ہ": "XXG",
    "ۂ": "XGE", "ۃ": "XTG", "ی": "XYA", "ۍ": "XXY", "ې": "Y", "ے": "XYB", "ۓ": "XBE",
}  # fmt: skip
_LAST: Final = {"ة": "XAH"}  # teh marbuta at the end of a word
_BY_EAR: Final[Mapping[str, Spellings]] = {  # how a passport writes the sound, without vowels: right too
    "ة": ("H", "T", ""), "ث": ("T", "S"), "ج": ("G", "DJ"), "خ": ("H", "CH"), "ذ": ("D", "Z"), "ش": ("CH", "S"), "ض": ("D", "DH"),
    "ظ": ("D", "DH"), "غ": ("GH",), "ق": ("K", "G"), "ك": ("C",), "ک": ("C",), "ه": ("",), "و": ("W", "V", ""), "ي": ("", "J"), "ی": ("",),
    "ى": ("",), "ې": ("",), "چ": ("CH", "TCH"), "ژ": ("ZH",), "پ": ("PP",), "ہ": ("H", ""), "ھ": ("H", ""), "ے": ("",), "ں": ("",),
}  # fmt: skip
_VOWELS: Final = re.compile("[AEIOUX]")  # Arabic script writes few vowels; X marks a letter that has no like in A to Z
_TWICE: Final = re.compile(r"(.)\1+")

# --- names ----------------------------------------------------------------------------------------------------------------------------


def latin_form(text: str, language: str = "") -> str | None:
    """Return a name in A to Z and single spaces, whole; None where a character of it is not in the tables.

    `language` (BCP 47) picks among the exceptions of the Cyrillic table. Source: Doc 9303 part 3, section 6.
    """
    words = _words(text, language)
    if words is None:
        return None
    return " ".join(filter(None, ("".join(spellings[0] for spellings in word) for word in words))) or None


def mrz_name(family: str, given: str = "", *, language: str = "", width: int = 39) -> str | None:
    """Return the name field of a machine-readable zone: primary identifier, two fillers, secondary identifier, filled up.

    Nothing is cut: None where it is longer than `width`, or a character is not in the tables. Source: Doc 9303 part 3, section 4.6.
    """
    parts = [latin_form(part, language) for part in (family, given) if part]
    if not parts or None in parts:
        return None
    field = (FILLER * 2).join(part.replace(" ", FILLER) for part in parts if part)
    return field.ljust(width, FILLER) if len(field) <= width else None


def agrees(parts: Sequence[str], latin: str, language: str = "") -> bool:
    """Say whether `latin` is a way to write a name of such parts.

    Lenient: every spelling that the tables or a state allow is right, and any order of the words; of Arabic script the vowels are not
    looked at. What the tables do not cover agrees with everything.
    """
    read = [_words(part, language) for part in parts]
    words = [word for part in read for word in part or ()]
    if None in read or not words:
        return True
    said = latin.replace("'", "")
    if _same_words(words, _BREAKS.split(said)) or _fits([letter for word in words for letter in word], _BREAKS.sub("", said)):
        return True
    if not any(letter in _ARABIC for part in parts for letter in part):
        return False
    heard = _skeleton(latin)
    return any(_fits(_sounds("".join(order)), heard) for order in permutations(parts))


def name_agrees(name: Mapping[str, Any]) -> bool:
    """Say whether the Latin form of a name (schemas/common/name.json) is one of its native form. Passes over what has another shape."""
    latin, language = name.get("latin"), name.get("language", "")
    texts = {member: name[member] for member in ("family", "second_family", "given", "full") if isinstance(name.get(member), str)}
    if not isinstance(latin, str) or not isinstance(language, str) or not texts:
        return True
    whole = [texts.pop("full")] if "full" in texts else []
    apart = list(texts.values())
    return any(agrees(parts, latin, language) for parts in (apart, whole) if parts)


def _same_words(words: Sequence[Sequence[Spellings]], said: list[str]) -> bool:
    """Say whether each word is written once, in any order. Words no longer than a name's: the work is bounded by the schema."""
    left = [word for word in said if word]
    for word in words:
        found = next((one for one in left if _fits(word, one)), None)
        if found is None:
            if any(any(spellings) for spellings in word):
                return False
            continue
        left.remove(found)
    return not left


def _fits(letters: Iterable[Spellings], text: str) -> bool:
    """Say whether some choice of spellings gives `text`: all choices side by side, so the work is that of one."""
    reached = {0}
    for spellings in letters:
        reached = {at + len(spelling) for at in reached for spelling in spellings if text.startswith(spelling, at)}
    return len(text) in reached


def _words(text: str, language: str) -> list[list[Spellings]] | None:
    """Return the spellings of every letter, word by word; None where one is not in the tables."""
    known = language.partition("-")[0].lower()
    found = []
    for word in filter(None, _BREAKS.split(unicodedata.normalize("NFC", text).upper())):
        letters: list[Spellings] = []
        for index, letter in enumerate(word):
            spellings = _spelt(letter, known, first=index == 0, last=index == len(word) - 1)
            if letter == _SHADDA:  # the letter before is doubled, past its vowel mark
                spellings = (next((before[0] for before in reversed(letters) if before[0]), ""),)
            if spellings is None:
                return None
            letters.append(spellings)
        found.append(letters)
    return found


@lru_cache(maxsize=4096)  # letters of names, by their place
def _spelt(letter: str, language: str, *, first: bool, last: bool) -> Spellings | None:
    if letter in _OMITTED or unicodedata.category(letter) == "Mn":
        return ("",)
    if letter in _ARABIC:
        return (_LAST.get(letter, _ARABIC[letter]) if last else _ARABIC[letter],)
    if letter in _CYRILLIC:
        return _cyrillic(letter, language, first=first)
    if letter in _SEVERAL:
        return _SEVERAL[letter]
    plain = letter if "A" <= letter <= "Z" else next((latin for latin, letters in _LATIN.items() if letter in letters), None)
    if plain is not None:
        return (plain,)
    apart = unicodedata.normalize("NFD", letter)  # beyond the tables (Vietnamese, …): the letter without its marks
    return _spelt(apart[0], language, first=first, last=last) if len(apart) > 1 else None


def _cyrillic(letter: str, language: str, *, first: bool) -> Spellings:
    usual = _BY_LANGUAGE.get(language, {}).get(letter, _CYRILLIC[letter])
    best = _FIRST.get(language, {}).get(letter, usual) if first else usual
    others = [of[letter] for of in _BY_LANGUAGE.values() if letter in of]
    return tuple(dict.fromkeys((best, usual, _CYRILLIC[letter], *others, *_NATIONAL.get(letter, ()))))


def _skeleton(latin: str) -> str:
    return _TWICE.sub(r"\1", _VOWELS.sub("", re.sub("[^A-Z]", "", latin)))


def _sounds(text: str) -> Iterator[Spellings]:
    """Yield how each letter of a name in Arabic script may be heard, without vowels; a sound that comes twice in a row may be one."""
    before: Spellings = ()
    for word in filter(None, _BREAKS.split(unicodedata.normalize("NFC", text).upper())):
        for index, letter in enumerate(word):
            if letter == _SHADDA:
                continue
            written = _spelt(letter, "", first=index == 0, last=index == len(word) - 1) or ("",)
            options = tuple(dict.fromkeys([*map(_skeleton, written), *_BY_EAR.get(letter, ())]))
            yield (*options, "") if options == before else options
            if "" not in options:
                before = options


# --- check digits and dates -----------------------------------------------------------------------------------------------------------


def check_digit(field: str) -> str:
    """Return the check digit of a field of digits, A to Z and `<`: weights 7, 3, 1, modulo 10 (Doc 9303 part 3, section 4.9).

    Raises `InvariantError` for any other character.
    """
    if not set(field) <= _VALUES.keys():
        raise InvariantError("not a field of a machine-readable zone")
    return str(sum(_VALUES[character] * WEIGHTS[index % 3] for index, character in enumerate(field)) % 10)


def mrz_date(day: str) -> str:
    """Return a day of any precision (YYYY, YYYY-MM, YYYY-MM-DD) as YYMMDD, with fillers for what is unknown (section 4.8).

    Raises `InvariantError` for any other text.
    """
    found = _DATE.fullmatch(day)
    if found is None:
        raise InvariantError("not a day of any precision")
    return "".join(part or FILLER * 2 for part in found.groups())
