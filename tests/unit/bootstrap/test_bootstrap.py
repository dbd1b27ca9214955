"""What the composition root makes of profiles: the shape of a broker, and what a reload cannot put in force."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway import bootstrap
from gateway.app.forget import Forget
from gateway.bootstrap import inner
from gateway.cli.devsetup import make_dev_setup
from gateway.contract.errors import OperatorError
from gateway.contract.values import Jti, PartnerId
from gateway.ops.faults import ConfigurationError
from gateway.ops.profiles import Partners
from gateway.ops.settings import ProcessRole, Settings, load_settings
from gateway.stores.open import open_store
from gateway.testing.clock import FakeClock

REGISTER, FRANCE, SPAIN = PartnerId("gb-register"), PartnerId("fr-police"), PartnerId("es-police")


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory) -> Partners:
    setup = make_dev_setup(tmp_path_factory.mktemp("partners") / "made", profiles={FRANCE: {"delivery": {"shard": "eu"}}})
    settings = load_settings(setup.settings[ProcessRole.EMBEDDED])
    reference, schemas = bootstrap.load_lists(settings)
    return bootstrap.load_profiles(settings, bootstrap.load_adapters(), reference=reference, schemas=schemas)


def with_profile(partners: Partners, partner: PartnerId, **changes: object) -> Partners:
    changed = replace(partners.profiles[partner], **changes)
    return Partners({**partners.profiles, partner: changed}, partners.transports)


def without_push(partners: Partners, *gone: PartnerId) -> Partners:
    return Partners(partners.profiles, {id_: way for id_, way in partners.transports.items() if id_ not in gone})


def test_a_broker_has_a_shard_for_each_that_is_pushed_to_and_one_where_nobody_is(partners: Partners) -> None:
    assert bootstrap.kafka_shape(partners).shards == ["eu", "main"]
    assert bootstrap.kafka_shape(without_push(partners, SPAIN)).shards == ["eu"]
    assert bootstrap.kafka_shape(without_push(partners, SPAIN, FRANCE)).shards == ["main"]


def test_a_channel_keeps_submissions_as_long_as_they_may_be_old(partners: Partners) -> None:
    assert bootstrap.kafka_shape(partners).registers == {}
    changed = with_profile(partners, REGISTER, kafka_channel=True, iat_age_seconds=600)
    assert bootstrap.kafka_shape(changed).registers == {REGISTER: 600}


@pytest.mark.parametrize("role", [ProcessRole.EMBEDDED, ProcessRole.INNER])
def test_a_reload_takes_what_only_decisions_rest_on(partners: Partners, role: ProcessRole) -> None:
    inner._refuse_restart(Settings(role=role), partners, with_profile(partners, FRANCE, suspended=True, name="Other", version=2))


def test_inner_takes_a_change_of_addresses_for_it_holds_none_and_refuses_one_of_channels(partners: Partners) -> None:
    settings = Settings(role=ProcessRole.INNER)
    inner._refuse_restart(settings, partners, without_push(partners, FRANCE))
    with pytest.raises(OperatorError, match="whose Kafka channels there are changed: restart"):
        inner._refuse_restart(settings, partners, with_profile(partners, REGISTER, kafka_channel=True))


def test_the_embedded_form_tells_everything_that_needs_a_restart_at_once(partners: Partners) -> None:
    changed = with_profile(without_push(partners, FRANCE), REGISTER, client_certificates=frozenset({"0" * 64}))
    with pytest.raises(OperatorError) as caught:
        inner._refuse_restart(Settings(role=ProcessRole.EMBEDDED), partners, changed)
    assert [line.partition(": ")[2].partition(" changed")[0] for line in str(caught.value).splitlines()] == [
        "how partners are pushed to",
        "whose client certificates there are",
    ]


def test_the_desk_of_the_settings_is_the_one_that_is_told(tmp_path: Path) -> None:
    file = make_dev_setup(tmp_path / "made").settings[ProcessRole.EMBEDDED]
    settings = load_settings(file)
    keys = bootstrap.keystore(settings)
    assert bootstrap.load(settings, keys.private(), keys).world.desk == "gb-police"
    without = load_settings(file, over={"desk": ""})
    assert bootstrap.load(without, keys.private(), keys).world.desk is None
    with pytest.raises(ConfigurationError, match="desk: no partner has this id"):
        bootstrap.load(load_settings(file, over={"desk": "xx-desk"}), keys.private(), keys)


async def test_a_used_token_is_remembered_for_an_inner_whose_clock_is_behind(tmp_path: Path) -> None:
    clock = FakeClock()
    used = (REGISTER, Jti("used"), clock.now() + timedelta(seconds=60))
    async with open_store(f"sqlite:///{tmp_path}/gateway.db", dev=True) as store:
        for seconds, is_new in ((0, True), (60, False), (59, False), (1, True)):
            clock.advance(seconds=seconds)
            await Forget(store, clock=clock).run_once()
            async with store.unit_of_work() as work:
                assert bool(await work.remember_requests([used])) is is_new, clock.now()
