"""Reading code lists, schemas and libraries: complete, dated, and refused whole where a file is wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from gateway.contract.errors import InvariantError
from gateway.core.reference import Entry
from gateway.ops.reference import ZONE_YEARS, ReferenceFilesError, load_reference, load_schema_files
from tests.unit.core.schema_samples import DAY, reference

GOOD = """
id = "colour"
title = "Colours"
effective_from = 2020-01-01
source = "test"
verified = true
entries = [{ code = "RED", title = "Red", mark = "P" }, { code = "BLUE", title = "Blue" }]
"""
FAULTS = [
    (GOOD.replace('id = "colour"', ""), "id must be there"),
    (GOOD.replace("2020-01-01", "2020-01-01T00:00:00Z"), "effective_from must be there, of type date"),
    (GOOD.replace("true", '"yes"'), "verified must be there, of type bool"),
    (GOOD + "colour = 1", "unknown key colour"),
    (GOOD + "effective_to = 2019-01-01", "effective_to must be a day not before"),
    (GOOD.replace('"BLUE"', '"RED"'), "a code is there twice"),
    (GOOD.replace(', title = "Blue"', ""), "entry 2 must have code and title"),
    (GOOD.replace('"Blue"', "7"), "entry 2 must hold text alone"),
    (GOOD.split("entries", maxsplit=1)[0] + "entries = []", "no entries"),
    (GOOD + 'effective_to = "2027-01-01"', "effective_to must be of type date"),
    (GOOD + "maps_to = 7", "maps_to must be of type str"),
    (GOOD + "use = true", "use must be of type str"),
    (GOOD + "note = []", "note must be of type str"),
    (GOOD.replace('title = "Blue"', 'title = "Blue", to = "AZURE"'), "entry 2 leads to a code, and maps_to does not say of which list"),
    ("id = ", "not TOML"),
    (GOOD.encode("utf-16").decode("latin-1"), "not TOML"),
]


def folder(tmp_path: Path, **texts: str) -> Path:
    (tmp_path / "codes").mkdir()
    for name, text in texts.items():
        (tmp_path / "codes" / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_a_faulty_list_is_named_with_its_file(tmp_path, text, fault):
    with pytest.raises(ReferenceFilesError, match=f"wrong.toml: .*{fault}"):
        load_reference(folder(tmp_path, right=GOOD.replace("colour", "other"), wrong=text))


def test_all_faults_of_all_files_come_together(tmp_path):
    with pytest.raises(ReferenceFilesError) as caught:
        load_reference(folder(tmp_path, one="x", two=GOOD + "y = 1", three=GOOD + "z = 1"))
    assert all(part in str(caught.value) for part in ("one.toml", "two.toml", "three.toml"))


def test_a_folder_without_lists_is_refused(tmp_path):
    with pytest.raises(ReferenceFilesError, match="no code lists"):
        load_reference(tmp_path)


def test_two_editions_at_once_are_refused_and_two_in_turn_are_not(tmp_path):
    new = GOOD.replace("2020-01-01", "2026-01-01").replace('"RED"', '"GREEN"')
    with pytest.raises(ReferenceFilesError, match="list colour: two editions"):
        load_reference(folder(tmp_path, old=GOOD, new=new))
    (tmp_path / "codes" / "old.toml").write_text(GOOD + "effective_to = 2025-12-31", encoding="utf-8")
    codes = load_reference(tmp_path).codes
    assert [codes.has("colour", "RED", date(y, m, d)) for y, m, d in ((2019, 12, 31), (2020, 1, 1), (2025, 12, 31), (2026, 1, 1))] == [
        False,
        True,
        True,
        False,
    ]
    assert codes.has("colour", "GREEN", date(2026, 1, 1))
    assert codes.listing("colour", date(2019, 1, 1)) is None
    assert codes.in_force(date(2019, 1, 1))["colour"] == {}


MAPPED = (
    GOOD.replace('"colour"', '"shade"').replace('title = "Red"', 'title = "Red", to = "RED"')
    + 'maps_to = "colour"\nuse = "a test"\nnote = "Said."'
)
MAPS = [
    (MAPPED.replace('maps_to = "colour"', 'maps_to = "color"'), "list shade: maps_to names no list: color"),
    (MAPPED.replace('to = "RED"', 'to = "GREEN"'), "list shade: RED leads to GREEN, which list colour does not have"),
    (MAPPED.replace("2020-01-01", "2019-01-01"), "list shade: RED leads to RED, which list colour does not have"),
]


@pytest.mark.parametrize(("text", "fault"), MAPS)
def test_a_map_that_leads_nowhere_on_its_first_day_is_refused(tmp_path, text, fault):
    with pytest.raises(ReferenceFilesError, match=fault):
        load_reference(folder(tmp_path, colour=GOOD, shade=text))


def test_a_map_leads_from_a_code_to_one_of_another_list_or_to_none(tmp_path):
    listing = load_reference(folder(tmp_path, colour=GOOD, shade=MAPPED)).codes.listing("shade", DAY)
    assert listing is not None
    assert (listing.maps_to, listing.use, listing.note) == ("colour", "a test", "Said.")
    assert {code: entry.to for code, entry in listing.entries.items()} == {"RED": "RED", "BLUE": ""}


@pytest.mark.parametrize(
    ("mark", "verified"), [("G", False), ("V:MOJ2, name G", False), ("V:BDSG", True), ("P", True), ("S004", True), ("", True)]
)
def test_an_entry_rests_on_general_knowledge_where_its_mark_ends_so(mark, verified):
    assert Entry("A", "a", mark).verified is verified


def test_a_list_is_verified_where_every_entry_is():
    for editions in reference().codes.editions.values():
        for edition in editions:
            assert edition.verified == all(entry.verified for entry in edition.entries.values()), edition.id


def test_a_list_nobody_shipped_is_no_empty_list():
    with pytest.raises(InvariantError):
        reference().codes.has("colour", "RED", DAY)


def test_the_shipped_lists_are_in_force_and_say_where_they_come_from():
    for list_id, editions in reference().codes.editions.items():
        assert reference().codes.listing(list_id, DAY) is not None
        for edition in editions:
            assert edition.id == list_id
            assert edition.source
            assert all(entry.mark for entry in edition.entries.values())


def test_the_digest_follows_the_lists(tmp_path):
    one = load_reference(folder(tmp_path, colour=GOOD)).digest
    (tmp_path / "codes" / "colour.toml").write_text(GOOD.replace("Red", "Crimson"), encoding="utf-8")
    assert load_reference(tmp_path).digest != one


# --- libraries ------------------------------------------------------------------------------------------------------------


def test_countries_are_those_of_iso_and_kosovo():
    assert {"GB", "FR", "TH", "XK"} <= reference().countries
    assert not {"UK", "EU", "QQ", "gb"} & reference().countries
    assert reference().countries == reference().codes.in_force(DAY)["iso-3166-1"].keys()


def test_airports_lie_in_known_countries_and_zones():
    airports = reference().airports
    assert (airports["LHR"].country, airports["LHR"].zone) == ("GB", "Europe/London")
    assert airports["PRN"].country == "XK"
    assert len(airports) > 7000
    assert {airport.country for airport in airports.values()} <= reference().countries
    assert {airport.zone for airport in airports.values()} <= reference().zone_offsets.zones.keys()


def test_every_country_has_a_zone():
    for country in reference().countries:
        assert set(reference().zones_of(country)) <= reference().zone_offsets.zones.keys(), country
    assert len(reference().zones_of("US")) > 5
    assert reference().zones_of("XK") == ("Europe/Belgrade",)


CLOCKS = [
    ("Europe/London", "2026-07-01T12:00", ["2026-07-01T11:00"]),
    ("Europe/London", "2026-10-25T01:30", ["2026-10-25T00:30", "2026-10-25T01:30"]),  # comes twice
    ("Europe/London", "2026-03-29T01:30", ["2026-03-29T00:30", "2026-03-29T01:30"]),  # is skipped
    ("Europe/London", "2026-03-29T00:59", ["2026-03-29T00:59"]),
    ("Europe/London", "2026-03-29T02:00", ["2026-03-29T01:00"]),
    ("Asia/Kathmandu", "2026-01-01T00:00", ["2025-12-31T18:15"]),
    ("Pacific/Kiritimati", "2026-01-01T00:00", ["2025-12-31T10:00"]),
    ("Australia/Lord_Howe", "2026-04-05T01:45", ["2026-04-04T14:45", "2026-04-04T15:15"]),  # half an hour comes twice
    ("UTC", "2026-01-01T00:00", ["2026-01-01T00:00"]),
]


@pytest.mark.parametrize(("zone", "local", "instants"), CLOCKS)
def test_a_local_time_gives_every_instant_it_may_mean_earliest_first(zone, local, instants):
    found = reference().zone_offsets.instants(zone, datetime.fromisoformat(local))
    assert [at.replace(tzinfo=None) for at in found] == [datetime.fromisoformat(at) for at in instants]


@pytest.mark.parametrize("seed", range(5))
def test_the_tables_agree_with_the_library_on_any_day(seed):
    dice = Random(seed)
    zones = sorted(reference().zone_offsets.zones)
    start = datetime(ZONE_YEARS.start, 1, 2, tzinfo=UTC)
    for _ in range(400):
        name = dice.choice(zones)
        local = (start + timedelta(minutes=dice.randrange(60 * 24 * 365 * (len(ZONE_YEARS) - 1)))).replace(tzinfo=None)
        with files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:  # not the system's own, which may be older
            zone = ZoneInfo.from_file(file)
        expected = sorted({local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)})
        assert list(reference().zone_offsets.instants(name, local)) == expected, (name, local)


def test_a_zone_that_was_not_loaded_is_no_utc():
    with pytest.raises(InvariantError):
        reference().zone_offsets.instants("Europe/Atlantis", datetime(2026, 1, 1))  # noqa: DTZ001 -- local on purpose


# --- schema files ---------------------------------------------------------------------------------------------------------

BAD_FILES = [
    ("common/person.json", '{"a": 1, "a": 2}', "person.json"),
    ("families/x/1.0.json", "{", "1.0.json"),
    ("extensions/x.json", '{"title": "no id"}', "x.json"),
    ("extensions/x.json", '{"$id": "http://plain.example/x"}', "x.json"),
]


@pytest.mark.parametrize(("name", "text", "named"), BAD_FILES)
def test_a_schema_file_that_is_not_strict_json_or_has_no_uri_is_named(tmp_path, name, text, named):
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ReferenceFilesError, match=named):
        load_schema_files(tmp_path)


def test_one_uri_is_registered_once(tmp_path):
    (tmp_path / "extensions").mkdir()
    for name in ("a", "b"):
        (tmp_path / "extensions" / f"{name}.json").write_text('{"$id": "https://x.example/1"}', encoding="utf-8")
    with pytest.raises(ReferenceFilesError, match=r"b\.json"):
        load_schema_files(tmp_path)
