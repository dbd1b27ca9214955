from __future__ import annotations

import re

import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api import app, events, problems, public
from gateway.api.messages import LINES_TYPE, TOKEN_TYPES
from gateway.core.limits import LINES_COUNT_MAX
from gateway.core.problems import Code

DOCUMENT = yaml.safe_load(public.openapi())
METHODS = {"get", "post", "put", "patch", "delete", "head", "options", "trace"}


def operations():
    return {(method.upper(), path): item[method] for path, item in DOCUMENT["paths"].items() for method in METHODS & item.keys()}


def test_the_document_is_openapi_3_1():
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_routes_and_document_are_the_same_set():
    assert {(method, re.sub(r"\{(\w+):(?:[^{}]|\{[^}]*\})*\}", r"{\1}", path)) for method, path, _ in app.ROUTES} == set(operations())


def test_codes_and_document_are_the_same_list():
    assert DOCUMENT["components"]["schemas"]["Code"]["enum"] == [code.value for code in Code]


def test_every_error_of_a_receiver_is_in_the_document():
    assert set(events._ERRORS.values()) | {"invalid_request"} <= set(
        DOCUMENT["components"]["schemas"]["EventError"]["properties"]["err"]["enum"]
    )


def test_media_types_of_a_submission_are_those_taken():
    assert set(operations()["POST", "/v1/messages"]["requestBody"]["content"]) == {*TOKEN_TYPES, LINES_TYPE}


def test_the_limits_in_the_text_are_those_kept():
    assert (
        f"{LINES_COUNT_MAX} lines"
        in DOCUMENT["paths"]["/v1/messages"]["post"]["requestBody"]["content"][LINES_TYPE]["schema"]["description"]
    )


def test_every_status_a_message_can_get_is_in_the_document():
    possible = {problems.STATUS[code] for code in Code} - {404, 405}
    assert {str(status) for status in possible} <= set(operations()["POST", "/v1/messages"]["responses"])
