"""Make a broker fit the plan, or say what is wanting. Creates what is missing; never changes or deletes what is there."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from gateway.app.ports import BusUnavailableError
from gateway.buses.kafka import KafkaAccess
from gateway.buses.kafka_plan import Operation, Plan, Rule, Topic
from gateway.contract.errors import OperatorError

ANSWER_SECONDS: Final = 10
SCRAM_ITERATIONS: Final = 8192
HARMLESS: Final = frozenset({"DESCRIBE", "DESCRIBE_CONFIGS"})  # names and settings only: monitoring may have them
PREFIX: Final = "gw."


@dataclass(frozen=True, slots=True, order=True)
class Wanting:
    """One thing that is not as it must be."""

    what: str  # the topic, rule or user
    wanted: str
    found: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.what}: wanted {self.wanted}, found {self.found}"


class TopicsWantingError(OperatorError):
    """The broker's topics are not as they must be. Carries everything that is wanting, and what to run."""

    def __init__(self, wanting: Sequence[Wanting]) -> None:
        """Keep all of it, a line each."""
        self.faults = (*map(str, wanting), "run `gateway kafka setup --config FILE`: it creates what is missing and says what to change")
        super().__init__("\n".join(self.faults))


class KafkaSetup:
    """One visit to a broker, as a principal that may administer it."""

    def __init__(self, access: KafkaAccess) -> None:
        self._admin = AdminClient(_options(access))

    def find_wanting(self, plan: Plan) -> list[Wanting]:
        """Return everything that is missing or wrong. Raises `BusUnavailableError`."""
        return [*self.topics_wanting(plan), *sorted(self._rules_wanting(plan))]

    def topics_wanting(self, plan: Plan) -> list[Wanting]:
        """Return what is wrong with the topics: needs no more than the right to see their settings."""
        present = self._present(plan)
        configs = self._configs(present)
        found: list[Wanting] = []
        for topic in plan.topics:
            if topic.name not in present:
                found.append(Wanting(topic.name, "a topic", "none"))
                continue
            found += _layout_wanting(topic, plan.replicas, present[topic.name])
            found += _config_wanting(topic, configs[topic.name])
        return found

    def refuse_wanting(self, plan: Plan) -> None:
        """Refuse topics that are not as the plan has them. Raises `TopicsWantingError`, `BusUnavailableError`."""
        if wanting := self.topics_wanting(plan):
            raise TopicsWantingError(wanting)

    def create_missing(self, plan: Plan) -> list[str]:
        """Create topics and rules that are missing; return what was created. Raises `BusUnavailableError`."""
        topics, rules = self._missing(plan)
        if topics:
            made = [NewTopic(topic.name, topic.partitions, plan.replicas, config=topic.config) for topic in topics]
            _all(self._admin.create_topics(made))
        if rules:
            _all(self._admin.create_acls([_binding(rule) for rule in rules]))
        _wait_until(lambda: self._missing(plan) == ([], []))
        return [*(f"topic {topic.name}" for topic in topics), *(str(rule) for rule in rules)]

    def create_users(self, plan: Plan, folder: Path) -> list[str]:
        """Give every principal a SCRAM password, kept in `folder` with mode 0600; return whose password was new.

        A password file that is there is used again, so that a repeat changes nothing. Raises `BusUnavailableError`.
        """
        new: list[str] = []
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
        changes: list[Any] = []
        for principal in plan.principals:
            file = folder / f"{principal}.password"
            if not file.exists():
                _write_secret(file, secrets.token_urlsafe(24))
                new.append(principal)
            password = file.read_text(encoding="utf-8").strip().encode()
            changes.append(UserScramCredentialUpsertion(principal, credential, password))
        _all(self._admin.alter_user_scram_credentials(changes))
        return new

    def _missing(self, plan: Plan) -> tuple[list[Topic], list[Rule]]:
        present, allowed = self._present(plan), {_rule(binding) for binding in self._bindings()}
        topics = [topic for topic in plan.topics if topic.name not in present]
        return topics, [rule for rule in plan.rules if rule not in allowed]

    def _present(self, plan: Plan) -> dict[str, tuple[int, int]]:
        """Return partitions and the smallest number of replicas of each planned topic that exists."""
        wanted = {topic.name for topic in plan.topics}
        listed = _answer(lambda: self._admin.list_topics(timeout=ANSWER_SECONDS)).topics
        names = sorted(wanted & set(listed))
        if not names:
            return {}
        described = _all(self._admin.describe_topics(TopicCollection(names)))
        return {name: (len(topic.partitions), min(len(part.replicas) for part in topic.partitions)) for name, topic in described.items()}

    def _configs(self, present: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        if not present:
            return {}
        asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in present]
        answers = _all(self._admin.describe_configs(asked))
        return {resource.name: {name: entry.value for name, entry in entries.items()} for resource, entries in answers.items()}

    def _bindings(self) -> list[Any]:  # the library types its fields as several things at once
        every: Any = None  # the library's types say str; None is its word for "any"
        asked = AclBindingFilter(
            ConfigResource.Type.ANY, every, ResourcePatternType.ANY, every, every, AclOperation.ANY, AclPermissionType.ANY
        )
        found: list[Any] = _answer(lambda: self._admin.describe_acls(asked, request_timeout=ANSWER_SECONDS).result(ANSWER_SECONDS))
        return found

    def _rules_wanting(self, plan: Plan) -> Iterator[Wanting]:
        bindings = self._bindings()
        present = {_rule(binding) for binding in bindings}
        for rule in plan.rules:
            if rule not in present:
                yield Wanting(str(rule), "a rule", "none")
        for binding in bindings:
            if _rule(binding) not in plan.rules and _touches_ours(binding):
                yield Wanting(_say(binding), "no such rule", "one")


def _options(access: KafkaAccess) -> dict[str, str | int | float | bool]:
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": access.bootstrap,
        "security.protocol": access.security,
        "log_level": 3,
    }
    if access.security != "PLAINTEXT":
        options |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": access.user, "sasl.password": access.password}
        if access.ca_file:
            options["ssl.ca.location"] = access.ca_file
    return options


def _answer(ask: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except (KafkaException, TimeoutError) as exc:
        reason = exc.args[0].str() if isinstance(exc, KafkaException) else "no answer in time"
        raise BusUnavailableError(reason) from exc


def _all(futures: Mapping[Any, Future[Any]]) -> dict[Any, Any]:
    return {key: _answer(future.result, ANSWER_SECONDS) for key, future in futures.items()}


def _wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a broker to show what its controller has agreed to, so that a check right after finds it."""
    end = time.monotonic() + ANSWER_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise BusUnavailableError("what was created does not appear")
        time.sleep(0.1)


def _write_secret(file: Path, text: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)


def _layout_wanting(topic: Topic, replicas: int, found: tuple[int, int]) -> Iterator[Wanting]:
    partitions, copies = found
    if partitions < topic.partitions:
        yield Wanting(topic.name, f"{topic.partitions} partitions or more", str(partitions))
    if copies < replicas:
        yield Wanting(topic.name, f"{replicas} replicas or more", str(copies))


def _config_wanting(topic: Topic, found: Mapping[str, str]) -> Iterator[Wanting]:
    for name, value in topic.settings.items():
        if found.get(name) != value:
            yield Wanting(f"{topic.name} {name}", value, str(found.get(name)))
    for name, most in topic.ceilings.items():
        if not 0 <= int(found[name]) <= most:  # -1 is "for ever"
            yield Wanting(f"{topic.name} {name}", f"at most {most}", found[name])
    for name, least in topic.floors.items():
        if int(found[name]) < least:
            yield Wanting(f"{topic.name} {name}", f"at least {least}", found[name])


def _binding(rule: Rule) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if rule.prefixed else ResourcePatternType.LITERAL
    operation, allow = AclOperation[rule.operation], AclPermissionType.ALLOW
    return AclBinding(ConfigResource.Type[rule.kind], rule.name, pattern, f"User:{rule.principal}", "*", operation, allow)


def _rule(binding: Any) -> Rule | None:
    """Return the rule that a binding states, None where it is no rule of our kind."""
    operation = binding.operation.name
    ours = binding.permission_type == AclPermissionType.ALLOW and binding.host == "*" and binding.restype.name in {"TOPIC", "GROUP"}
    if not ours or operation not in Operation.__members__ or not binding.principal.startswith("User:"):
        return None
    prefixed = binding.resource_pattern_type == ResourcePatternType.PREFIXED
    return Rule(binding.principal.removeprefix("User:"), Operation(operation), binding.restype.name, binding.name, prefixed)


def _touches_ours(binding: Any) -> bool:
    """Say whether a binding lets somebody at our topics or groups: by name, by prefix, or because it names everything."""
    if binding.permission_type != AclPermissionType.ALLOW or binding.operation.name in HARMLESS:
        return False
    if binding.restype.name not in {"TOPIC", "GROUP"}:
        return False
    if binding.resource_pattern_type == ResourcePatternType.PREFIXED:
        return bool(binding.name.startswith(PREFIX) or PREFIX.startswith(binding.name))
    return bool(binding.name == "*" or binding.name.startswith(PREFIX))


def _say(binding: Any) -> str:
    prefixed = "*" if binding.resource_pattern_type == ResourcePatternType.PREFIXED else ""
    return f"{binding.principal} may {binding.operation.name} {binding.restype.name.lower()} {binding.name}{prefixed}"
