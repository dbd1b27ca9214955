from __future__ import annotations

import pytest

from gateway.core.policy_source import PolicyFaultsError, read_policies, statements
from tests.unit.core.policy_samples import PARTNERS, PERMIT, SCHEMA, shipped


def faults(text: str, **more: str) -> list[str]:
    with pytest.raises(PolicyFaultsError) as caught:
        read_policies({"test.cedar": text, **more}, SCHEMA, partners=PARTNERS)
    return [str(f) for f in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        pytest.param('\n\npermit(principal, action == Action::"send", resource);', "test.cedar:3", "missing @id", id="no-id"),
        pytest.param('@id permit(principal, action == Action::"send", resource);', "test.cedar:1", "missing @id", id="empty-id"),
        pytest.param('@id("a b") permit(principal, action == Action::"send", resource);', "test.cedar:1", "@id is not a name", id="odd-id"),
        pytest.param('@id("R-REF-02") forbid(principal, action, resource);', "test.cedar:1", "built into the gateway", id="id-of-a-built-in-rule"),
        pytest.param(PERMIT + "\n" + PERMIT, "test.cedar:3", "repeated @id p; it stands at test.cedar:1", id="repeated-id"),
        pytest.param(
            '// c\n@id("a")\nforbid(principal == Partner::"atlantis", action, resource);', "test.cedar:2", "unknown partner atlantis", id="partner"
        ),
        pytest.param(
            '@id("a") forbid(principal, action, resource) when { principal == Partner::"atlantis" };', "test.cedar:1", "unknown partner atlantis",
            id="partner-in-a-condition",
        ),
        pytest.param(
            '@id("a") permit(principal, action in [Action::"see_shoes"], resource);', "test.cedar:1", "unknown field group shoes", id="group"
        ),
        pytest.param('@id("a") forbid(principal, action == Action::"sned", resource);', "test.cedar:1", "sned", id="action"),
        pytest.param('@id("a") forbid(principal, action, resource == Family::"post");', "test.cedar:1", "post", id="family"),
        pytest.param(
            '@id("a") forbid(principal, action, resource) when { principal.kind == Kind::"POLCIE" };', "test.cedar:1", "POLCIE", id="misspelt-kind"
        ),
        pytest.param('@id("a") forbid(principal, action, resource) when { context.jti == "x" };', "test.cedar:1", "jti", id="outside-the-context"),
        pytest.param(
            '@id("a") forbid(principal, action, resource == Partner::"fr-police");', "test.cedar:1", "applicable action", id="partner-as-resource"
        ),
        pytest.param('@id("a") forbid(principal, action, resource) when { 1 };', "test.cedar:1", "Bool", id="wrong-type"),
        pytest.param('@id("a") permit(principal, action, resource);', "test.cedar:1", "a permit for every action", id="wide-permit"),
        pytest.param(
            '@id("a") permit(principal, action == Action::"see_extensions", resource);', "test.cedar:1", "names none", id="extension-without-its-uri"
        ),
        pytest.param(
            '@id("a") permit(principal, action == Action::"see_extensions", resource) when { context.extension_uri == "u" || context.abroad };',
            "test.cedar:1", "names none", id="extension-with-a-way-round",
        ),
        pytest.param('@id("a") permit(principal == ?principal, action == Action::"send", resource);', "test.cedar:1", "a template", id="template"),
        pytest.param(PERMIT + "permit(principal, action", "test.cedar:2", "not a Cedar policy", id="cut-off"),
        pytest.param(PERMIT + '@id("open) permit(principal, action, resource);', "test.cedar:2", "not a Cedar policy", id="open-string"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_file_and_line(text, place, said):
    (fault,) = faults(text)
    assert fault.startswith(place + ": ")
    assert said in fault


def test_all_faults_of_all_files_come_at_once():
    found = faults('permit(principal, action, resource);\n@id("q") nonsense;', **{"other.cedar": PERMIT, "zz.cedar": PERMIT})
    assert [f.split(": ")[0] for f in found] == ["test.cedar:1", "test.cedar:1", "test.cedar:2", "zz.cedar:1"]


def test_a_schema_that_is_none_is_a_fault_too():
    with pytest.raises(PolicyFaultsError, match=r"gateway\.cedarschema:1: not a Cedar schema"):
        read_policies({}, "entity", partners=PARTNERS)


def test_statements_are_cut_outside_strings_and_comments():
    text = (
        '// a; b\n\n@id("x;y") permit(principal, action, resource); // "tail;\n  // more\nforbid(principal, // why; so\n action, resource);'
    )
    cut = list(statements("f", text))
    assert [s.line for s in cut] == [3, 5]
    assert cut[0].text == '@id("x;y") permit(principal, action, resource);'
    assert cut[1].text.startswith("forbid(principal,")


def test_the_shipped_policies_are_right_and_name_no_partner_of_the_examples():
    policies = read_policies(shipped(), SCHEMA, partners=())
    assert len({p.id for p in policies}) == len(policies) > 5


def test_the_scope_tells_partner_and_family():
    text = '@id("a") forbid(principal == Partner::"fr-police", action, resource == Family::"risk-update");'
    (policy,) = read_policies({"f": text}, SCHEMA, partners=PARTNERS)
    assert (policy.partner, policy.family) == ("fr-police", "risk-update")


@pytest.mark.parametrize(
    "condition",
    [
        'context.extension_uri == "u"',
        '"u" == context.extension_uri && context.abroad',
        'context.abroad && (context.extension_uri == "u" || context.extension_uri == "v")',
    ],
)
def test_a_permit_for_extensions_that_names_them_is_right(condition):
    text = f'@id("a") permit(principal, action == Action::"see_extensions", resource) when {{ {condition} }};'
    (policy,) = read_policies({"f": text}, SCHEMA, partners=PARTNERS)
    assert policy.id == "a"
