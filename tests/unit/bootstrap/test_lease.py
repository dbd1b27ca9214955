"""The lease of an attempt is a setting, and no partner's attempt may outlast it."""

from __future__ import annotations

import pytest

from gateway import bootstrap
from gateway.bootstrap import reading
from gateway.cli.devsetup import make_dev_setup
from gateway.ops.faults import ConfigurationError
from gateway.ops.settings import ProcessRole, load_settings

QUICK = {"limits": {"lease_seconds": 5}}


@pytest.mark.parametrize(("seconds", "told"), [(4, []), (5, ["fr-police.toml"]), (30, ["fr-police.toml"])])
def test_an_attempt_that_could_outlast_its_lease_is_refused_at_the_start(tmp_path, seconds, told):
    profiles = {"fr-police": {"delivery": {"timeout_seconds": seconds}}, "es-police": {"delivery": {"timeout_seconds": 2}}}
    setup = make_dev_setup(tmp_path / "made", profiles=profiles, settings={ProcessRole.EMBEDDED: QUICK})
    settings = load_settings(setup.settings[ProcessRole.EMBEDDED])
    reference, schemas = bootstrap.load_lists(settings)
    partners = bootstrap.load_profiles(settings, bootstrap.load_adapters(), reference=reference, schemas=schemas)
    faults = []
    try:
        reading._refuse_long_attempts(settings, partners)
    except ConfigurationError as exc:
        faults = [fault.file.rsplit("/", 1)[1] for fault in exc.faults]
    assert faults == told


def test_a_lease_longer_than_the_most_is_refused(tmp_path):
    setup = make_dev_setup(tmp_path / "made", partners=["gb-register"], settings={ProcessRole.EMBEDDED: {"limits": {"lease_seconds": 61}}})
    with pytest.raises(ConfigurationError, match=r"limits\.lease_seconds"):
        load_settings(setup.settings[ProcessRole.EMBEDDED])
