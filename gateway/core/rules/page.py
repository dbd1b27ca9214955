"""Makes docs/rules.md from the catalogue and the tables, so that the page cannot say other than the code. Pure: text out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from gateway.core.rules.base import RULES, Rule
from gateway.core.rules.tables import RuleRow, RuleTables, Unit

SOURCES: Final[Mapping[str, str]] = {
    "APD": "airportsdata documentation (country and IANA zone of each airport)",
    "APPN": "College of Policing, authorised professional practice on notification requirements",
    "APPT": "College of Policing, authorised professional practice on travelling abroad",
    "BDSG": "summary of BDSG section 76 (transposes Directive (EU) 2016/680, Article 25)",
    "CFR72": "28 CFR Part 72: final rule 86 FR 69856, effective 7 January 2022; opening of section 72.7",
    "CSOD": "Child Sex Offender Disclosure Scheme, police guidance on gov.uk, 3 April 2023 (opening)",
    "CSOL": "Child Sex Offender Disclosure Scheme, pages of local forces",
    "DEL": "UK Ministry of Justice, public probation reference data",
    "DPA62": "Data Protection Act 2018, section 62",
    "ECPR": "annexes to COM(2008)332, the proposal (opening)",
    "ECRI": "generated ECRIS-RI classes of the Bulgarian criminal records register",
    "ECRT": "JAXB classes of ECRIS common reference tables",
    "EURO": "Council manual on law-enforcement information exchange, as quoted by statewatch.org, 25 February 2018",
    "FD315": "Framework Decision 2009/315/JHA, consolidated 27 June 2019 (opening)",
    "FRA20": "European Union (Future Relationship) Act 2020, sections 1, 4 and 5",
    "HALS": "Halsbury's Laws, Sentencing 507 (opening)",
    "HMI": "HMICFRS, glossary",
    "I352": "flash cards on 3x5x2 grading (brainscape pack 15753526)",
    "ICAO3": "ICAO Doc 9303 part 3, 8th edition 2021, sections 4 to 6",
    "IMLFAQ": "US Marshals Service, questions and answers on International Megan's Law, as reproduced",
    "INTA": "public clients of the notices service of INTERPOL",
    "INTN": "encyclopaedia and news pages on INTERPOL notices",
    "LIC": "ministryofjustice/create-and-vary-a-licence, licence policy 4.0 (MIT)",
    "MOJ2": "UK Ministry of Justice, public tests and samples naming MAPPA levels and category M4",
    "NACRO": "nacro.org.uk, travelling abroad while on the register (England, Wales, Northern Ireland)",
    "NI14": "NISR 2014/185, regulation 7",
    "NI16": "NISR 2016/145, regulation 5 (violent offenders)",
    "NIEM": "NIEM Model 6.0 (CC BY 4.0)",
    "NR12": "gov.uk, 2012 Notification Requirements Regulations, in force 13 August 2012",
    "QA23": "gov.uk, questions and answers on notification changes, 31 March 2023",
    "RM2K": "Thornton, Risk Matrix 2000 scoring guide, February 2007",
    "RPDA": "summary of the 2023 amendments to INTERPOL's Rules on the Processing of Data",
    "RPDR": "summary of INTERPOL's data processing safeguards",
    "SCO16": "asp 2016/22, sections 16 and 17 (in force 31 March 2023)",
    "SDL": "South Dakota Codified Laws 22-24B-37",
    "SMART": "SMART Office, Information Required for Notice of International Travel (opening)",
    "SMART2": "SMART Office, international tracking pages",
    "TRV01": "SI 2001/1846, regulation 3",
    "UK103D": "Sexual Offences Act 2003, section 103D",
    "UK117N": "explanatory notes to section 117 of the Sexual Offences Act 2003, as enacted",
    "UK122": "Sexual Offences Act 2003, sections 113 and 122",
    "UK122H": "Sexual Offences Act 2003, section 122H",
    "UK14": "2014 chapter 12, schedule 5 (in force 8 March 2015 by SI 2015/373)",
    "UK82": "Sexual Offences Act 2003, section 82",
    "UK83": "Sexual Offences Act 2003, section 83",
    "US22": "22 USC 212b",
    "US34": "34 USC 20911 to 20924 and 21501 to 21510",
}

CITED: Final = re.compile("V:([A-Z0-9]+)")

HEAD: Final = """# Rules

Made by `.venv/bin/python -m gateway.ops.rulespage` from the code and `schemas/rules/`; a test keeps it so. Do not edit it by hand.

What is wrong for everybody rejects the message (**E**); a warning (**W**) or note (**N**) travels back in the receipt.
What concerns one recipient is a refusal of that leg (**R**) or a hold (**H**). **-** is a duty, or a way of reckoning.
A late notice is marked and sent, never refused. An error that rests on a number nobody has verified acts as a warning
until its row is marked verified.

Sources: *V:KEY* was read in the source of that key below, *S000* to *S004* are documents the project comes from,
*G* is general knowledge nobody has verified, *own* is ours.
"""


def page(tables: RuleTables) -> str:
    """Return docs/rules.md."""
    return "\n".join([HEAD, *_rules(RULES.values()), *_waiting(RULES.values()), *numbers(tables.rows), *_sources(RULES.values())]) + "\n"


def _rules(rules: Iterable[Rule]) -> Iterator[str]:
    yield "## The rules\n"
    yield "| id | families | kind | effect | rule | source | held by |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for one in sorted(rules, key=lambda r: r.id):
        families = ", ".join(one.families) or "all"
        yield f"| {one.id} | {families} | {one.kind} | {one.effect} | {one.text} | {one.source} | {held_by(one)} |"


def held_by(one: Rule) -> str:
    """Name what holds a rule, for people."""
    if one.where:
        return f"`{one.where}`"
    return "*a duty, not built yet*" if one.kind == "system" else "*waits*"


def _waiting(rules: Collection[Rule]) -> Iterator[str]:
    yield "\n## What waits for a later feature\n"
    yield "Of all that is checked or decided this list is closed: every other rule above is in force. Duties are no checks.\n"
    yield from (f"- {rule_id}: {what}" for rule_id, what in sorted(waiting(rules).items()))


def waiting(rules: Collection[Rule]) -> dict[str, str]:
    """Return the rules, or what part of them, that a later feature brings."""
    whole: dict[str, str] = {one.id: "the whole rule" for one in rules if not one.where and one.kind != "system"}
    return whole | {one.id: one.waits for one in rules if one.waits}


def numbers(rows: Iterable[RuleRow]) -> Iterator[str]:
    """Yield the section on dated rows."""
    yield "\n## The numbers\n"
    yield "The more specific jurisdiction wins, then statute over guidance over seed, verified, later, stricter (R-TIM-03).\n"
    yield "| rule | jurisdiction | number | in force | source | kind | verified | note |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in sorted(rows, key=lambda r: (r.rule, r.item, r.jurisdiction, r.id)):
        name = f"{row.rule} {row.item}".strip()
        number = "cite" if row.unit is Unit.CITATION else f"{row.quantity} {row.unit.value}"
        verified = "yes" if row.verified else "**no**"
        yield f"| {name} | {row.jurisdiction} | {number} | {_period(row)} | {row.source} | {row.source_kind} | {verified} | {row.note} |"


def _period(row: RuleRow) -> str:
    if row.effective_from is None and row.effective_to is None:
        return "not dated"
    return f"{row.effective_from or '…'} to {row.effective_to or '…'}"


def _sources(rules: Iterable[Rule]) -> Iterator[str]:
    yield "\n## The sources\n"
    yield from sources(one.source for one in rules)


def sources(cited: Iterable[str]) -> Iterator[str]:
    """Yield a line for each source that is cited as read."""
    keys = {key for text in cited for key in CITED.findall(text)}
    yield from (f"- **{key}**: {title}" for key, title in SOURCES.items() if key in keys)
