from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import cedarpy
import pytest

from gateway.contract.values import Country, PartnerId, Role
from gateway.core.groups import ALWAYS, GOVERNED
from gateway.core.policy import ACTIONS, DEFAULT_DENY, POLICY_ERROR, Answer, Effect, PolicySet, _question
from gateway.core.referral import PROVIDERS
from tests.unit.core.policy_samples import KINDS, PERMIT, POLICE, SCHEMA, ctx, policy_set, shipped, shipped_set

ERRS = '@id("errs") forbid(principal, action == Action::"send", resource) when { 9223372036854775807 + 1 > 0 };\n'
SHIPPED = shipped_set()


def test_without_a_permit_everything_is_denied_by_default():
    answer = policy_set('@id("f") forbid(principal, action, resource) when { !context.same_environment };').decide_partner(POLICE)
    assert answer.send == Answer(Effect.DENY, DEFAULT_DENY)
    assert answer.unreviewed == Answer(Effect.DENY, DEFAULT_DENY)
    assert set(answer.groups.values()) == {Answer(Effect.DENY, DEFAULT_DENY)}
    assert answer.allowed == ALWAYS


def test_a_permit_is_named_and_allows_no_more_than_it_says():
    answer = policy_set(PERMIT).decide_partner(POLICE)
    assert answer.send == Answer(Effect.ALLOW, ("p",))
    assert answer.unreviewed.effect is Effect.DENY
    assert answer.allowed == ALWAYS | {"identity"}


def test_a_forbid_wins_and_is_named():
    answer = policy_set(PERMIT + '@id("no") forbid(principal == Partner::"fr-police", action, resource);').decide_partner(POLICE)
    assert answer.send == Answer(Effect.DENY, ("no",))


def test_an_erring_forbid_is_a_hold_where_cedar_alone_would_allow():
    policies = policy_set(PERMIT + ERRS)
    (alone,) = cedarpy.is_authorized_batch([_question(POLICE, "send", json.dumps({}))], PERMIT + ERRS, [])
    assert alone.allowed
    answer = policies.decide_partner(POLICE)
    assert answer.send == Answer(Effect.HOLD, POLICY_ERROR)
    assert answer.groups["identity"].effect is Effect.ALLOW


def test_an_erring_permit_is_a_hold_too():
    text = '@id("e") permit(principal, action == Action::"send", resource) when { 9223372036854775807 + 1 > 0 };'
    assert policy_set(text).decide_partner(POLICE).send == Answer(Effect.HOLD, POLICY_ERROR)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"purpose": "NO_SUCH_PURPOSE"}, id="purpose"),
        pytest.param({"kind": "NO_SUCH_KIND"}, id="kind"),
        pytest.param({"family": "no-such-family"}, id="family"),
        pytest.param({"classification": "SECRET"}, id="classification"),
        pytest.param({"status": "NO_SUCH_STATUS"}, id="status"),
        pytest.param({"is_minor": "PERHAPS"}, id="minor"),
        pytest.param({"roles": ("NO_SUCH_ROLE",)}, id="role"),
    ],
)
def test_a_code_the_schema_does_not_know_is_a_hold(change):
    try:
        assert SHIPPED.decide_partner(ctx(**change)).send == Answer(Effect.HOLD, POLICY_ERROR)
    except ValueError as exc:  # pragma: no cover -- would be a crash instead of a hold
        pytest.fail(str(exc))


def test_the_memo_returns_the_same_answer_and_the_day_is_part_of_its_key():
    text = '@id("until") permit(principal, action == Action::"send", resource) when { context.day < datetime("2027-01-01") };'
    policies = policy_set(text)
    assert policies.decide_partner(POLICE) is policies.decide_partner(replace(POLICE))
    assert policies.decide_partner(ctx(day=date(2026, 12, 31))).send.effect is Effect.ALLOW
    assert policies.decide_partner(ctx(day=date(2027, 1, 1))).send.effect is Effect.DENY


def test_the_answers_in_the_memo_cannot_be_changed():
    with pytest.raises(TypeError):
        SHIPPED.decide_partner(POLICE).groups["health"] = Answer(Effect.ALLOW, ("x",))


EXTENSION = (
    '@id("ext") permit(principal, action == Action::"see_extensions", resource) when { context.extension_uri == "https://x.invalid/a" };'
)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        pytest.param((), Answer(Effect.DENY, DEFAULT_DENY), id="none-present"),
        pytest.param(("https://x.invalid/a",), Answer(Effect.ALLOW, ("ext",)), id="the-named-one"),
        pytest.param(("https://x.invalid/b",), Answer(Effect.DENY, DEFAULT_DENY), id="another"),
        pytest.param(("https://x.invalid/a", "https://x.invalid/b"), Answer(Effect.DENY, DEFAULT_DENY), id="one-of-two-not-named"),
    ],
)
def test_extensions_are_shown_only_where_a_policy_names_each(present, expected):
    assert policy_set(EXTENSION).decide_partner(ctx(extensions=present)).groups["extensions"] == expected


def test_the_digest_ignores_layout_and_comments_but_not_meaning():
    assert policy_set(PERMIT).digest == policy_set("// why\n" + PERMIT.replace(", action", ",\n  action")).digest
    assert policy_set(PERMIT).digest != policy_set(PERMIT.replace("see_identity", "see_photo")).digest
    assert PolicySet(policy_set(PERMIT).policies, SCHEMA + " ").digest != policy_set(PERMIT).digest


def test_every_action_is_in_the_schema_and_every_governed_group_has_one():
    for action in ACTIONS:
        where = ' when { context.extension_uri == "u" }' if action == "see_extensions" else ""
        policy_set(f'@id("a") permit(principal, action == Action::"{action}", resource){where};')
    assert set(SHIPPED.decide_partner(POLICE).groups) == set(GOVERNED)


NGO = {"partner": PartnerId("help-line"), "kind": "SUPPORT_NGO", "sector": "NGO", "country": Country("GB")}
BORDER = {"partner": PartnerId("nl-border"), "kind": "BORDER", "country": Country("NL"), "roles": (Role.TRANSIT,)}


REFERRAL = {"family": "support-referral", "purpose": "SUPPORT", "status": "SELF_REFERRED"}
WIDE = "".join(
    f'@id("{action}") permit(principal, action == Action::"{action}", resource)'
    + (' when { context.extension_uri == "https://x.invalid/a" };\n' if action == "see_extensions" else ";\n")
    for action in ACTIONS
)


@pytest.mark.parametrize("kind", sorted(KINDS - PROVIDERS))
def test_no_policy_permits_a_referral_to_anybody_but_a_provider_of_support(kind):
    """R-REF-02 is built in: files that permit everything, and files that err, change nothing."""
    for text in (WIDE, WIDE + ERRS, ERRS, ""):
        answer = policy_set(text).decide_partner(ctx(kind=kind, **REFERRAL))
        said = {answer.send, answer.unreviewed, *answer.groups.values()}
        assert said == {Answer(Effect.DENY, ("R-REF-02",))}


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_a_policy_may_permit_a_referral_to_a_provider_of_support(kind):
    answer = policy_set(WIDE).decide_partner(ctx(kind=kind, provider="COSA", extensions=("https://x.invalid/a",), **REFERRAL))
    assert {a.effect for a in (answer.send, answer.unreviewed, *answer.groups.values())} == {Effect.ALLOW}
    assert policy_set("").decide_partner(ctx(kind=kind, **REFERRAL)).send == Answer(Effect.DENY, DEFAULT_DENY)


def test_other_families_still_reach_the_police_by_such_files():
    assert policy_set(WIDE).decide_partner(POLICE).send == Answer(Effect.ALLOW, ("send",))


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param({"is_minor": "NO"}, False, id="no-minor"),
        pytest.param({"is_minor": "YES"}, True, id="a-minor"),
        pytest.param({"is_minor": "UNKNOWN"}, True, id="perhaps-a-minor"),
        pytest.param({"is_minor": "YES", "provider": "YOUNG_PERSON_SERVICE"}, False, id="for-young-people"),
        pytest.param({"is_minor": "UNKNOWN", "provider": "YOUNG_PERSON_SERVICE"}, False, id="for-young-people-perhaps"),
        pytest.param({"is_minor": "UNKNOWN", "anonymous": True}, False, id="nobody-knows-who"),
        pytest.param({"is_minor": "YES", "anonymous": True}, True, id="an-anonymous-minor"),
        pytest.param({"is_minor": "YES", "kind": "HEALTH", "sector": "STATUTORY"}, False, id="not-to-an-ngo"),
    ],
)
def test_a_referral_about_a_minor_reaches_an_ngo_for_young_people_alone(change, refused):
    general = shipped()["general.cedar"]
    answer = policy_set(general + WIDE).decide_partner(ctx(**{**NGO, "provider": "COSA", **REFERRAL, **change}))
    assert answer.send == (Answer(Effect.DENY, ("R-GEN-09",)) if refused else Answer(Effect.ALLOW, ("send",)))


def test_the_kind_of_provider_is_a_code_or_the_answer_a_hold():
    known = ctx(**{**NGO, **REFERRAL, "provider": "NOT_A_PROVIDER"})
    assert policy_set(WIDE).decide_partner(known).send == Answer(Effect.HOLD, POLICY_ERROR)


@pytest.mark.parametrize(
    ("change", "effect", "because"),
    [
        pytest.param({}, "allow", ("travel-to-authorities",), id="police-get-a-travel-notice"),
        pytest.param(BORDER, "allow", ("travel-to-authorities",), id="border-gets-it"),
        pytest.param({"purpose": "SUPPORT"}, "deny", DEFAULT_DENY, id="not-for-support"),
        pytest.param({"family": "supervision-transfer"}, "deny", DEFAULT_DENY, id="family-for-others"),
        pytest.param({"same_environment": False}, "deny", ("R-GEN-16",), id="another-environment"),
        pytest.param(NGO, "deny", ("travel-not-to-support",), id="provider-gets-no-travel-notice"),
        pytest.param({**NGO, "is_minor": "UNKNOWN"}, "deny", ("R-GEN-09", "travel-not-to-support"), id="minor-to-provider"),
        pytest.param({**NGO, "family": "registration-record"}, "deny", ("R-INT-06",), id="record-to-ngo"),
        pytest.param({**NGO, "family": "intelligence-report", "is_minor": "NO"}, "deny", ("R-INT-06",), id="intelligence-to-ngo"),
        pytest.param({"family": "support-referral"}, "deny", ("R-REF-02",), id="referral-to-police"),
        pytest.param({"family": "acknowledgement", "roles": (Role.REPLY,)}, "allow", ("acknowledgement",), id="acknowledgement"),
        pytest.param(
            {**NGO, "family": "acknowledgement", "roles": (Role.REPLY,), "is_minor": "YES"},
            "allow",
            ("acknowledgement",),
            id="word-back-to-ngo",
        ),
        pytest.param(
            {**NGO, "family": "acknowledgement", "roles": (Role.NAMED,), "is_minor": "YES"},
            "deny",
            ("R-GEN-09",),
            id="no-other-word-to-ngo",
        ),
    ],
)
def test_shipped_policies_send(change, effect, because):
    assert SHIPPED.decide_partner(ctx(**change)).send == Answer(Effect(effect), because)


def test_border_in_transit_sees_who_and_when_and_nothing_of_the_offences():
    seen = SHIPPED.decide_partner(ctx(**BORDER)).allowed - ALWAYS
    assert seen == {"identity", "identity_documents", "itinerary", "orders", "sender_contact", "exchange"}


def test_police_see_less_of_somebody_who_only_passes_through():
    stays, passes = SHIPPED.decide_partner(POLICE).allowed, SHIPPED.decide_partner(ctx(roles=(Role.TRANSIT,))).allowed
    assert stays - passes == {"contact", "accommodation", "vehicles", "offences", "victim_profile", "risk", "narrative"}


@pytest.mark.parametrize("group", ["health", "staff_safety", "household", "associates", "support", "intelligence", "extensions"])
def test_no_shipped_policy_shows_this_of_a_travel_notice(group):
    assert group not in SHIPPED.decide_partner(POLICE).allowed


@pytest.mark.parametrize(
    ("status", "effect"), [("CONVICTED", "allow"), ("UNDER_ORDER", "allow"), ("CONCERN", "deny"), ("SUSPECTED", "deny")]
)
def test_a_notice_about_somebody_not_dealt_with_by_a_court_waits_for_a_person(status, effect):
    assert SHIPPED.decide_partner(ctx(status=status)).unreviewed.effect is Effect(effect)
