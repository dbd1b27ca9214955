"""From schema files to one self-contained schema per family and entry point, so that every validator sees the same thing.

References are put in place, registered extensions are filled in, and the delivery schema is made from the submission schema: a minimised
view lacks groups, so whatever a removed group could leave empty is not required there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.contract.errors import OperatorError
from gateway.contract.values import Family
from gateway.core.groups import ALWAYS

Schema = Mapping[str, Any]
GROUP: Final = "x-field-group"
REST: Final = "x-field-group-rest"  # of an array: the group of every item but the first
EXTENSIONS: Final = "x-extensions"  # marks the object that holds the registered extensions by URI
VALUES: Final = frozenset({"examples", "const", "enum", "required"})  # keywords that hold values, not schemas
BESIDE_REF: Final = frozenset({"$ref", "title", "description", "x-source", "examples", GROUP})
CONDITIONS: Final = ("allOf", "anyOf", "if", "then", "else", "contains", "minItems", "minProperties", "maxProperties", REST)
DELIVERY: Final = "/schemas/common/delivery.json"
FAMILY_FILE: Final = re.compile(r"/schemas/families/([a-z-]+)/([0-9]+[.][0-9]+)[.]json")


class SchemaError(OperatorError):
    """A schema file cannot be used. Names the file or the path in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaFiles:
    """The parsed schema files."""

    common: Mapping[str, Schema]  # by reference: /schemas/common/person.json
    families: Mapping[Family, Schema]
    extensions: Mapping[str, Schema]  # by registered URI


def submission(files: SchemaFiles, family: Family) -> dict[str, Any]:
    """Return what a sender may submit: the family's schema with everything in place. Raises `SchemaError`."""
    resolved: dict[str, Any] = _resolve(files.families[family], files, (str(family),))
    return resolved


def delivery(files: SchemaFiles, family: Family) -> dict[str, Any]:
    """Return what a partner may get: any view of a submission, with what the gateway adds. Raises `SchemaError`."""
    whole = submission(files, family)
    added = _resolve({"$ref": DELIVERY}, files, (str(family),))
    view = _optional(whole)
    properties = {**view["properties"], **added["properties"]}
    properties["subject"] = _with_issuer(properties["subject"])
    properties["body"] = _optional(
        {key: value for key, value in whole["properties"]["body"].items() if key != GROUP}
    )  # empty, if all is withheld
    required = sorted({*view["required"], *added["required"], "body"})
    return {**view, "title": f"{whole['title']}, delivery", "properties": properties, "required": required, "examples": []}


def _with_issuer(subject: Schema) -> dict[str, Any]:
    """Ask for the issuer: a register leaves it out, but a delivery must tell the persons of two registers apart."""
    issuer = subject["properties"]["iss"]["examples"][0]
    examples = [{"iss": issuer, **example} for example in subject["examples"]]
    return {**subject, "required": sorted({*subject["required"], "iss"}), "examples": examples}


def always_there(node: Schema) -> bool:
    """Say whether something of `node` is in every view: it, or a required member of it, is in a group that is never removed."""
    if GROUP in node:
        return node[GROUP] in ALWAYS
    if "properties" in node:
        return any(always_there(node["properties"][name]) for name in node.get("required", ()) if name in node["properties"])
    return "items" in node and node.get("minItems", 0) > 0 and always_there(node["items"])


def _resolve(node: Any, files: SchemaFiles, within: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, files, within) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        return _referred(node, files, within)
    out = {
        name: value if name in VALUES else _resolve(value, files, within) for name, value in node.items() if name not in {"$id", "$schema"}
    }
    if node.get(EXTENSIONS) is True:
        out["properties"] = {uri: _resolve(schema, files, (*within, uri)) for uri, schema in sorted(files.extensions.items())}
        out["additionalProperties"] = False
    return out


def _referred(node: Schema, files: SchemaFiles, within: tuple[str, ...]) -> dict[str, Any]:
    """Put a referred schema in place. Only annotations may stand beside a reference: they replace the target's."""
    name = node["$ref"]
    found = _target(name, files)
    if found is None or name in within or not node.keys() <= BESIDE_REF:
        raise SchemaError(" → ".join((*within, str(name))), "unknown, circular, or with more than annotations beside it")
    target: dict[str, Any] = _resolve(found, files, (*within, name))
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _target(reference: str, files: SchemaFiles) -> Schema | None:
    """Return a common schema, or the part of it or of a family's that a fragment names (RFC 6901); None where there is no such thing."""
    name, _, fragment = reference.partition("#")
    family = FAMILY_FILE.fullmatch(name)
    found: Any = files.families.get(Family(family[1], family[2])) if family and fragment else files.common.get(name)
    for step in fragment.split("/")[1:]:
        found = found.get(step) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _optional(node: Schema) -> dict[str, Any]:
    """Return `node` as views have it: nothing that a removed group could leave out is required.

    Under a group nothing changes, as a group is there whole or not at all. Above it, conditions go: they hold of what was submitted.
    """
    if GROUP in node:
        return dict(node)
    out = {key: value for key, value in node.items() if key not in CONDITIONS}
    if "properties" in node:
        out["properties"] = {name: _optional(child) for name, child in node["properties"].items()}
        out["required"] = [name for name in node.get("required", ()) if always_there(node["properties"][name])]
    if "items" in node:
        out["items"] = _optional(node["items"])
    return out
