"""Reads what core may not: code lists and schemas from files, countries, scripts, airports and time zones from libraries."""

from __future__ import annotations

import io
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from importlib import metadata, resources
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

import airportsdata
import pycountry

from gateway.contract.errors import OperatorError
from gateway.contract.values import Family
from gateway.core.problems import RefusedInputError
from gateway.core.reference import Airport, CodeList, CodeLists, Entry, Reference, Zone, ZoneTable
from gateway.core.schema import Schemas
from gateway.core.schema_source import SchemaFiles
from gateway.core.strict_json import parse_object

KOSOVO: Final = "XK"  # user-assigned in ISO 3166-1, written by airports and passports all the same (domain.md d.12)
ALWAYS_IN_FORCE: Final = date(1900, 1, 1)
ZONE_YEARS: Final = range(2020, 2041)  # journeys are told ahead; before and after, the first and last offset hold
PROBE: Final = timedelta(days=7)  # no zone changes its clocks twice within a week: Morocco's month of Ramadan is the shortest
LIBRARIES: Final = ("pycountry", "airportsdata", "tzdata")
_TZDATA: Final = resources.files("tzdata.zoneinfo")
_LIST_KEYS: Final[Mapping[str, type]] = {"id": str, "title": str, "effective_from": date, "source": str, "verified": bool, "entries": list}
_MORE_KEYS: Final[Mapping[str, type]] = {"effective_to": date, "maps_to": str, "use": str, "note": str}
_ENTRY_KEYS: Final = {"code", "title", "mark", "to"}


class ReferenceFilesError(OperatorError):
    """Code lists or schemas cannot be used. Names every fault with its file."""


def load_reference(schemas_dir: Path) -> Reference:
    """Read code lists and registered extensions of a folder, and the libraries. Raises `ReferenceFilesError` with all faults at once."""
    world = _world()
    editions, digest = _code_lists(schemas_dir / "codes")
    editions["iso-3166-1"] = (_library_list("iso-3166-1", "ISO 3166-1 alpha-2 countries, and XK", world.countries),)
    editions["iso-15924"] = (_library_list("iso-15924", "ISO 15924 scripts", world.scripts),)
    editions["nationality"] = tuple(_nationalities(editions["iso-3166-1"][0], edition) for edition in editions.get("icao-nationality", ()))
    if faults := list(_map_faults(editions)):
        raise ReferenceFilesError("; ".join(faults))
    versions = " ".join(f"{name}={metadata.version(name)}" for name in LIBRARIES)
    return Reference(
        codes=CodeLists(MappingProxyType(editions)),
        countries=frozenset(world.countries),
        airports=world.airports,
        zones_by_country=world.zones_by_country,
        zone_offsets=world.zone_offsets,
        extensions=frozenset(_extensions(schemas_dir)),
        digest=sha256(f"{digest}\0{versions}".encode()).hexdigest(),
    )


def load_schema_files(schemas_dir: Path) -> SchemaFiles:
    """Read the schema files of a folder. Raises `ReferenceFilesError`."""
    return SchemaFiles(
        common={f"/schemas/common/{file.name}": _json(file) for file in sorted((schemas_dir / "common").glob("*.json"))},
        families={Family(file.parent.name, file.stem): _json(file) for file in sorted((schemas_dir / "families").glob("*/*.json"))},
        extensions=_extensions(schemas_dir),
    )


def load_schemas(schemas_dir: Path, reference: Reference) -> Schemas:
    """Read and compile the message schemas. Raises `ReferenceFilesError` and `SchemaError`."""
    return Schemas(load_schema_files(schemas_dir), reference.codes)


def _extensions(schemas_dir: Path) -> dict[str, Mapping[str, Any]]:
    """Return the schemas of registered extensions by URI: an extension is registered by lying in the folder."""
    found: dict[str, Mapping[str, Any]] = {}
    for file in sorted((schemas_dir / "extensions").glob("*.json")):
        schema = _json(file)
        uri = schema.get("$id")
        if not isinstance(uri, str) or not uri.startswith("https://") or uri in found:
            raise ReferenceFilesError(f"{file.name}: $id must be an https URI of its own")
        found[uri] = schema
    return found


def _json(file: Path) -> dict[str, Any]:
    try:
        return parse_object(file.read_bytes())
    except (OSError, RefusedInputError) as exc:
        raise ReferenceFilesError(f"{file}: cannot be read as strict JSON") from exc


# --- code lists ---------------------------------------------------------------------------------------------------------


def _code_lists(folder: Path) -> tuple[dict[str, tuple[CodeList, ...]], str]:
    faults: list[str] = []
    found: defaultdict[str, list[CodeList]] = defaultdict(list)
    digest = sha256()
    for file in sorted(folder.glob("*.toml")):
        raw = file.read_bytes()
        digest.update(f"{file.name}\0{len(raw)}\0".encode() + raw)
        try:
            table = tomllib.loads(raw.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            faults.append(f"{file.name}: not TOML: {exc}")
            continue
        wrong = [f"{file.name}: {fault}" for fault in _list_faults(table)]
        faults += wrong
        if not wrong:
            found[table["id"]].append(_code_list(table))
    editions = {list_id: tuple(sorted(several, key=lambda edition: edition.effective_from)) for list_id, several in found.items()}
    faults += [f"list {list_id}: two editions are in force at once" for list_id, several in editions.items() if _overlap(several)]
    if not editions:
        faults.append(f"{folder}: no code lists; name the gateway's own folder (--schemas, or paths.schemas in the settings)")
    if faults:
        raise ReferenceFilesError("; ".join(faults))
    return editions, digest.hexdigest()


def _list_faults(table: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"unknown key {key}" for key in sorted(table.keys() - _LIST_KEYS.keys() - _MORE_KEYS.keys()))
    yield from (f"{key} must be there, of type {kind.__name__}" for key, kind in _LIST_KEYS.items() if type(table.get(key)) is not kind)
    given = [(key, kind) for key, kind in _MORE_KEYS.items() if key in table]
    yield from (f"{key} must be of type {kind.__name__}" for key, kind in given if type(table[key]) is not kind)
    last, first = table.get("effective_to"), table.get("effective_from")
    if type(last) is date and type(first) is date and last < first:
        yield "effective_to must be a day not before effective_from"
    yield from _entry_faults(table)


def _entry_faults(table: Mapping[str, Any]) -> Iterator[str]:
    entries = table.get("entries")
    for number, entry in enumerate(entries if isinstance(entries, list) else (), start=1):
        if not isinstance(entry, dict) or not {"code", "title"} <= entry.keys() <= _ENTRY_KEYS:
            yield f"entry {number} must have code and title, and may have mark and to"
        elif not all(isinstance(value, str) and value for value in entry.values()):
            yield f"entry {number} must hold text alone"
        elif "to" in entry and "maps_to" not in table:
            yield f"entry {number} leads to a code, and maps_to does not say of which list"
    codes = [entry.get("code") for entry in entries or () if isinstance(entry, dict)] if isinstance(entries, list) else []
    if len({str(code) for code in codes}) < len(codes):
        yield "a code is there twice"
    if entries == []:
        yield "no entries"


def _code_list(table: Mapping[str, Any]) -> CodeList:
    entries = {entry["code"]: Entry(**entry) for entry in table["entries"]}
    return CodeList(
        id=table["id"],
        title=table["title"],
        source=table["source"],
        verified=table["verified"],
        effective_from=table["effective_from"],
        effective_to=table.get("effective_to"),
        entries=MappingProxyType(entries),
        maps_to=table.get("maps_to", ""),
        use=table.get("use", ""),
        note=table.get("note", ""),
    )


def _map_faults(editions: Mapping[str, tuple[CodeList, ...]]) -> Iterator[str]:
    """Name every code that leads nowhere: it must be in the other list on the first day of its own."""
    lists = CodeLists(editions)
    for one in (edition for several in editions.values() for edition in several if edition.maps_to):
        if one.maps_to not in editions:
            yield f"list {one.id}: maps_to names no list: {one.maps_to}"
            continue
        lost = [entry for entry in one.entries.values() if entry.to and not lists.has(one.maps_to, entry.to, one.effective_from)]
        yield from (f"list {one.id}: {entry.code} leads to {entry.to}, which list {one.maps_to} does not have" for entry in lost)


def _overlap(editions: tuple[CodeList, ...]) -> bool:
    return any(one.effective_to is None or one.effective_to >= following.effective_from for one, following in pairwise(editions))


def _library_list(list_id: str, title: str, names: Mapping[str, str]) -> CodeList:
    entries = MappingProxyType({code: Entry(code, name, "library") for code, name in sorted(names.items())})
    source = f"pycountry {metadata.version('pycountry')}"
    return CodeList(id=list_id, title=title, source=source, verified=True, effective_from=ALWAYS_IN_FORCE, entries=entries)


def _nationalities(countries: CodeList, icao: CodeList) -> CodeList:
    """Return countries and ICAO's codes as one list, in force as the latter is."""
    return CodeList(
        id="nationality",
        title="ISO 3166-1 alpha-2, XK, or a nationality code of ICAO 9303",
        source=f"{countries.source}; {icao.source}",
        verified=icao.verified,
        effective_from=icao.effective_from,
        effective_to=icao.effective_to,
        entries=MappingProxyType({**countries.entries, **icao.entries}),
        maps_to=icao.maps_to,
    )


# --- libraries ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _World:
    countries: Mapping[str, str]
    scripts: Mapping[str, str]
    airports: Mapping[str, Airport]
    zones_by_country: Mapping[str, tuple[str, ...]]
    zone_offsets: ZoneTable


@lru_cache(maxsize=1)
def _world() -> _World:
    """Read the libraries once: they change with an installation, never within a process."""
    countries = {country.alpha_2: country.name for country in pycountry.countries} | {KOSOVO: "Kosovo"}
    airports = {code: Airport(row["country"], row["tz"]) for code, row in airportsdata.load("IATA").items() if row["country"] in countries}
    by_country = _zones_by_country()
    names = {airport.zone for airport in airports.values()} | {zone for zones in by_country.values() for zone in zones} | {"UTC"}
    return _World(
        countries=MappingProxyType(countries),
        scripts=MappingProxyType({script.alpha_4: script.name for script in pycountry.scripts}),
        airports=MappingProxyType(airports),
        zones_by_country=MappingProxyType(by_country),
        zone_offsets=ZoneTable(_Zones({name: _zone_file(name) for name in sorted(names)})),
    )


def _zones_by_country() -> dict[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    table = _TZDATA.joinpath("zone.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if line and not line.startswith("#"):
            country, _, zone = line.split("\t")[:3]
            found[country].append(zone)
    found[KOSOVO] = ["Europe/Belgrade"]  # tzdata files it there
    return {country: tuple(sorted(zones)) for country, zones in sorted(found.items())}


_PROBES: Final = [datetime(ZONE_YEARS.start, 1, 1, tzinfo=UTC) + PROBE * week for week in range(53 * len(ZONE_YEARS))]


class _Zones(Mapping[str, Zone]):
    """Zones by name. All files are read at start; a zone is reckoned when it is first asked for: few of 400 ever are."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def __getitem__(self, name: str) -> Zone:
        return _offsets(self._files[name])

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _zone_file(name: str) -> bytes:
    """Return a zone of the tzdata package: the system's own may differ between machines."""
    return _TZDATA.joinpath(*name.split("/")).read_bytes()


@lru_cache(maxsize=1024)  # many zones are one file under several names
def _offsets(raw: bytes) -> Zone:
    """Return the offsets of a zone over `ZONE_YEARS`."""
    zone = ZoneInfo.from_file(io.BytesIO(raw))
    by_wall_clock = [zone.utcoffset(probe) for probe in _PROBES]  # by the clock on the wall, which is fast, and a day off at most
    weeks = [i for i, (one, following) in enumerate(pairwise(by_wall_clock)) if one != following]
    changes = [_change(zone, _PROBES[i] - timedelta(days=1), _PROBES[i + 1] + timedelta(days=1)) for i in weeks]
    return Zone(tuple(changes), (_offset(zone, _PROBES[0]), *(_offset(zone, datetime.fromtimestamp(at, UTC)) for at in changes)))


def _offset(zone: ZoneInfo, at: datetime) -> int:
    there = at.astimezone(zone).utcoffset() or timedelta()
    return round(there.total_seconds())


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> int:
    """Return the second between two instants at which the offset changes."""
    low, high = round(before.timestamp()), round(after.timestamp())
    old = _offset(zone, before)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, datetime.fromtimestamp(middle, UTC)) == old else (low, middle)
    return high
