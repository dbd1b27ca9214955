"""Rules of all families, and of travel, that are no function over one message: where each is held, or that it waits."""

from __future__ import annotations

from typing import Final

from gateway.core.problems import RuleId
from gateway.core.rules.base import Kind, Rule, register
from gateway.core.travel import FAMILY as TRAVEL

WAITS: Final = ""  # for a later feature; of what can be checked or decided, the list is closed: the others are duties (kind system)

# (id, kind, effect, source, where it is held, text)
ENTRIES: Final[tuple[tuple[str, Kind, str, str, str, str], ...]] = (
    ("R-GEN-01", "schema", "E", "V:RPDA; V:EURO", "gateway.core.schema.Schemas",
     "A message has a purpose, a legal basis, a classification and at least one handling code."),
    ("R-GEN-02", "decision", "R", "V:EURO H2; G (RPD)", "gateway.core.routing.country_bar",
     "No leg goes to a country the message or a profile excludes, nor to one who would pass on what may not be passed on."),
    ("R-GEN-04", "decision", "R", "own", "gateway.core.recipients.leg_refusal",
     "What is past delete_by is not sent and not returned (EXPIRED); asked again at sealing and at each read."),
    ("R-GEN-05", "facts", "-", "V:US34 §21503(e)(3)(C), §21504(d); LED Art 16 (G)", "gateway.core.correction.past_recipients",
     "A correction or withdrawal goes to every partner that may have got the original."),
    ("R-GEN-06", "system", "-", "V:DPA62; V:BDSG", "gateway.core.evidence",
     "Who, when, why and to whom is logged: collection, alteration, consultation, disclosure, combination, erasure."),
    ("R-GEN-07", "system", "-", "V:DPA62(4), (5)", "gateway.core.evidence",
     "Logs serve checks of lawfulness, self-monitoring, integrity, security and criminal proceedings alone; they hold no personal data."),
    ("R-GEN-08", "schema", "E", "own", "gateway.core.schema.Schemas",
     "No family has a field for a victim's identity, extensions included: age band, sex and relationship only."),
    ("R-GEN-09", "decision", "R, H", "S002; own", "gateway.core.recipients.leg_hold",
     "Legs about a minor, or one who may be, are held (MINOR), to an NGO refused by policy; acknowledgements go to those who know."),
    ("R-GEN-12", "facts", "-", "own", "gateway.app.intake",
     "A repeat gets the same receipt and never goes out twice as new; the same id with other content is a conflict."),
    ("R-GEN-13", "decision", "R", "G (LED Arts 35 to 38; DPA 2018 ss.73 to 76); V:FRA20 s.4(5)", "gateway.core.recipients.leg_refusal",
     "Abroad needs a transfer basis that holds for the recipient, and an origin state's consent; everywhere a legal basis is needed."),
    ("R-GEN-14", "decision", "R", "V:FRA20 s.4(4)(b); LED Art 9(3) (G)", "gateway.core.recipients.leg_refusal",
     "The sender's conditions travel with every copy; no leg to a partner whose format cannot show them (HANDLING)."),
    ("R-GEN-15", "system", "-", "V:US34 §21504(d); LED Art 7(3) (G)", WAITS,
     "Recipients of data found wrong or unlawfully sent are told without delay to correct, erase or restrict it."),
    ("R-GEN-17", "decision", "N", "V:RPDR", "gateway.core.recipients.leg_expiry",
     "A leg ends at the earliest of the message's delete_by and the recipient's rule (INTERPOL-shaped: 5 years from iat, in its profile)."),
    ("R-GEN-19", "schema", "E", "own", "gateway.core.schema.Schemas",
     "An extension has a registered URI and a schema."),
    ("R-GEN-21", "system", "-", "S004; own", "gateway.core.decision.Grounds",
     "A decision keeps the facts used and the digests of policies, rules, code lists and profile, with the version."),
    ("R-RTE-01", "decision", "-", "own", "gateway.core.routing.route",
     "Countries of segments, nationality and residence resolve to every partner that receives for them; one in two roles gets one leg."),
    ("R-RTE-02", "decision", "R", "own", "gateway.core.routing.route",
     "Where none matches the refusal names the country (NO_PARTNER)."),
    ("R-RTE-03", "decision", "-", "own", "gateway.core.routing.route",
     "The home country never resolves, not even as transit; every other transit country does."),
    ("R-RTE-04", "decision", "R", "own", "gateway.core.routing.route",
     "A partner the sender names gets a leg only if its profile receives it (NOT_RECEIVING)."),
    ("R-RTE-05", "decision", "-", "V:US34 §21504(f)(3)", "gateway.core.routing.route",
     "A notice with decision_not_to_transmit is recorded and receipted, without legs."),
    ("R-RTE-06", "facts", "-, W", "own", "gateway.core.interest.interested",
     "Orders, risk updates and breaches without named recipients go to partners with a live interest."),
    ("R-RTE-07", "facts", "-", "own", "gateway.core.routing.route",
     "A reply goes to the sender of what it answers, a correction to who may have got what it corrects."),
    ("R-RTE-08", "decision", "N", "own", "gateway.core.routing.route",
     "A nationality that is no country routes nowhere."),
    ("R-RTE-09", "decision", "H", "own", "gateway.core.recipients.leg_hold",
     "Legs of a suspended partner are held (SUSPENDED)."),
    ("R-TIM-01", "message", "-", "own; zones V:APD", "gateway.core.rules.time.window_of",
     "Lead times count in the zone of departure, the airport's, else the country's: its earliest instant; for left before, the latest."),
    ("R-TIM-04", "system", "-", "own", WAITS,
     "Working days follow the calendar of the country that must act. Here they are Monday to Friday; its holidays are not known yet."),
    ("R-TIM-05", "message", "-", "own", "gateway.core.rules.time.days_before",
     "Days count as dates in that zone, hours as elapsed time."),
    ("R-TRV-08", "decision", "R", "V:US34 §21502(4)", "gateway.core.routing.route",
     "Each country entered, transit too, ends in a leg or a recorded refusal, whether the sender listed it or not."),
    ("R-TRV-09", "facts", "N", "V:UK103D; handling own", "gateway.core.alerts.is_restricted",
     "An order in force that forbids the journey alerts the managing authority at once and marks the notice: it is sent all the same."),
    ("R-TRV-10", "system", "-", "V:US34 §21503(e)(1), (2)", WAITS,
     "Angel Watch: list check by 48 hours before departure, information 24 hours before, up to 72 after."),
    ("R-TRV-12", "facts", "E", "own", "gateway.core.rules.earlier.a_departed_segment_stays",
     "A departed segment is not changed by supersedes, only corrected."),
    ("R-TRV-13", "system", "-", "V:US34 §21504(f), §21503(e)(6)", "gateway.core.evidence",
     "Each notice, each answer and each decision not to transmit is recorded, and when each copy left."),
    ("R-TRV-14", "facts", "R", "V:US34 §21503(e)(7), §21504(g)(2)", "gateway.core.rules.earlier.is_marked_wrong",
     "A notice withdrawn as wrong leaves a do-not-send marker that refuses it again; its status has the facts for the person's letter."),
    ("R-TRV-15", "system", "-", "V:SMART2", "gateway.core.minimise",
     "Each recipient sees the action requested, information only unless the sender set another."),
    ("R-TRV-16", "schema", "N", "V:US22", "gateway.core.schema.Schemas",
     "A US covered offender's passport is endorsed: identity_documents[].passport_endorsed."),
    ("R-TRV-19", "message", "-", "S000; own", "gateway.core.recipients.lane_of",
     "DETECTED and ATTEMPTED journeys have no lead time and go at least in the PRIORITY lane."),
)  # fmt: skip

OF_SOME: Final[dict[str, tuple[str, ...]]] = {
    "R-RTE-05": (TRAVEL,),
    "R-RTE-06": ("order-summary", "risk-update", "breach-notification", "acknowledgement"),
    "R-RTE-07": ("acknowledgement", "information-response", "supervision-transfer", "support-referral", "correction"),
    "R-TIM-01": (TRAVEL,),
    "R-TIM-05": (TRAVEL,),
    "R-TRV-09": (TRAVEL, "order-summary"),
}


def _families(rule_id: str) -> tuple[str, ...]:
    return OF_SOME.get(rule_id, (TRAVEL,) if rule_id.startswith("R-TRV-") else ())


for _id, _kind, _effect, _source, _where, _text in ENTRIES:
    register(Rule(RuleId(_id), _kind, _effect, _source, _text, _where, _families(_id)))
