"""What is read from files: keys, passwords, adapters, profiles, and everything inner decides by."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import gateway
from gateway.app.ports import Store
from gateway.app.world import World
from gateway.contract import loading
from gateway.contract.errors import OperatorError
from gateway.contract.loading import Adapter
from gateway.contract.manifest import Kind
from gateway.contract.values import PartnerId
from gateway.core.admission import Context
from gateway.core.decision import Grounds
from gateway.core.directory import Directory
from gateway.core.operators import NOBODY, Operators
from gateway.core.reference import Reference
from gateway.core.schema import Schemas
from gateway.keystores.files import FileKeystore, PrivateKeys
from gateway.keystores.in_force import signers
from gateway.ops.faults import ConfigurationError, Fault
from gateway.ops.operators import load_operators
from gateway.ops.policies import load_policies
from gateway.ops.profiles import Partners, Vocabulary, load_partners
from gateway.ops.reference import load_reference, load_schemas
from gateway.ops.rulefiles import load_rule_tables
from gateway.ops.settings import Settings
from gateway.ops.system import SystemClock
from gateway.ops.tls import server_context
from gateway.stores.open import open_store

ADAPTERS: Final = {"native": "adapters.formats.native", "https_push": "adapters.transports.https_push"}
VERSION: Final = "0.1.0"

Lists = tuple[Reference, Schemas]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read from files: everything a reload replaces."""

    world: World
    partners: Partners
    adapters: Mapping[str, Adapter]


def passphrase(settings: Settings) -> bytes | None:
    """Return the passphrase of the private keys, if they have one."""
    return settings.passphrase_file.read_bytes().strip() if settings.passphrase_file else None


def keystore(settings: Settings) -> FileKeystore:
    """Return where the keys are."""
    return FileKeystore(settings.paths.keys, settings.gateway, dev=settings.is_dev, passphrase=passphrase(settings))


def store_of(settings: Settings) -> AbstractAsyncContextManager[Store]:
    """Return the store of these settings, to be opened. Raises `StoreUnavailableError` then."""
    return open_store(settings.store.url.get_secret_value(), password=store_password(settings), dev=settings.is_dev)


def store_password(settings: Settings) -> str | None:
    """Return the password of the database, where it is kept in a file."""
    file = settings.store.password_file
    return None if file is None else file.read_text(encoding="utf-8").strip()


def tls_of(certificate: Path | None, key: Path | None, *, client_ca: Path | None = None) -> ssl.SSLContext | None:
    """Return the TLS of a listener, or nothing where it has no certificate."""
    return server_context(certificate, key, client_ca=client_ca) if certificate is not None and key is not None else None


def load_adapters() -> dict[str, Adapter]:
    """Load the adapters we ship: an allow-list, not "whatever is installed"."""
    return loading.load(ADAPTERS, ours=ADAPTERS)


def load_lists(settings: Settings) -> Lists:
    """Read code lists and schemas. Raises `ReferenceFilesError` and `SchemaError`."""
    reference = load_reference(settings.paths.schemas)
    return reference, load_schemas(settings.paths.schemas, reference)


def load_profiles(settings: Settings, adapters: Mapping[str, Adapter], *, reference: Reference, schemas: Schemas) -> Partners:
    """Read the partners' profiles against what schemas and code lists know. Raises `ConfigurationError` with every fault."""
    vocabulary = Vocabulary.of(schemas, reference)
    manifests = {id_: adapter.manifest for id_, adapter in adapters.items()}
    has_channels = settings.bus.kind == "kafka"
    return load_partners(settings.paths.partners, vocabulary=vocabulary, adapters=manifests, has_channels=has_channels, desk=settings.desk)


def load_people(settings: Settings, partners: Collection[str]) -> Operators:
    """Read who works at the national desk. Raises `ConfigurationError` with every fault."""
    folder = settings.paths.operators
    return NOBODY if folder is None else load_operators(folder, partners=partners, dev=settings.is_dev)


def load(settings: Settings, keys: PrivateKeys, store: FileKeystore, lists: Lists | None = None) -> Loaded:
    """Read everything inner decides by, except `lists` that were read already.

    All or nothing: every fault is told, and the world before stays. Raises `OperatorError`s.
    """
    now = SystemClock().now()
    adapters = load_adapters()
    reference, schemas = lists or load_lists(settings)
    partners = load_profiles(settings, adapters, reference=reference, schemas=schemas)
    _refuse_long_attempts(settings, partners)
    tables = load_rule_tables(settings.paths.schemas / "rules")
    directory = Directory(partners.profiles.values())
    policies = load_policies(settings.paths.policies, partners=partners.profiles.keys())
    formats = {
        id_: adapter.format({"uri_base": settings.uri_base}) for id_, adapter in adapters.items() if adapter.manifest.kind is Kind.FORMAT
    }
    grounds = Grounds(
        environment=settings.environment, directory=directory, policies=policies, schemas=schemas, reference=reference, tables=tables,
        shows_conditions={id_: made.shows_conditions() for id_, made in formats.items()},
        digests={
            "policies": policies.digest, "rules": tables.digest, "reference": reference.digest, "schemas": schemas.digest,
            "profiles": _digest_of(partners), "gateway": VERSION,
        },
    )  # fmt: skip
    context = Context(
        gateway=settings.gateway, environment=settings.environment, uri_base=settings.uri_base, keyring=store.trusted(),
        decryption_keys=keys.decryption_keys, encrypted="required", directory=directory, schemas=schemas,
        reference=reference, tables=tables,
    )  # fmt: skip
    contact = {name: value for name, value in settings.contact.model_dump().items() if value}
    world = World(
        context=context, grounds=grounds, signers=signers(keys, now), formats=formats, contact=contact, origin=settings.origin,
        desk=PartnerId(settings.desk) if settings.desk else None, operators=load_people(settings, partners.profiles.keys()),
    )  # fmt: skip
    return Loaded(world, partners, adapters)


def _refuse_long_attempts(settings: Settings, partners: Partners) -> None:
    """Refuse attempts that could outlast their lease: a courier would begin none of them. Raises `ConfigurationError`."""
    lease, key = settings.limits.lease_seconds, "delivery.timeout_seconds"
    long = [id_ for id_, way in sorted(partners.transports.items()) if way.timeout_seconds >= lease]
    if long:
        expected = f"less than limits.lease_seconds, which is {lease}"
        raise ConfigurationError(
            Fault(str(settings.paths.partners / f"{id_}.toml"), 0, key, "outlasts its lease", expected) for id_ in long
        )


def _digest_of(partners: Partners) -> str:
    """Return one digest over all profiles: a decision rests on whom it did not choose, too."""
    return sha256("".join(f"{id_} {partners.profiles[id_].digest}\n" for id_ in sorted(partners.profiles)).encode()).hexdigest()


def certificates_of(partners: Partners) -> Mapping[str, PartnerId]:
    """Return whose each client certificate is, by its digest."""
    return {digest: profile.id for profile in partners.profiles.values() for digest in profile.client_certificates}


def problems_page() -> str:
    """Return docs/problems.md, which lies beside the package and not in it. Raises `OperatorError` where it was not installed with it."""
    page = Path(gateway.__file__).parents[1] / "docs" / "problems.md"
    try:
        return page.read_text(encoding="utf-8")
    except OSError as exc:
        raise OperatorError(
            f"{page}: cannot be read: {exc.strerror}; run from a checkout, or an image that has it beside the package"
        ) from exc
