"""What role fluent_bit renders loses no event: each setting that does is a test that fails without its remedy."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from rendered import environment_in, evaluated, rendered

GIVEN = {
    "inventory_dir": "/inventory",
    "inventory_hostname": "nas1",
    "fluent_bit_s3_access_key": "AKIAEXAMPLE",
    "fluent_bit_s3_secret_key": "not-a-secret/+=",
    "fluent_bit_s3_endpoint": "http://10.9.0.1:9000",
    "fluent_bit_s3_bucket": "s3-events",
}


def of_yaml(**more: Any) -> tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]]:
    """Service, http input, heartbeat and output of the YAML form, every value as text."""
    found = yaml.safe_load(rendered("fluent_bit", "stowage.yaml", {**GIVEN, **more}))
    http, heart = found["pipeline"]["inputs"]
    (out,) = found["pipeline"]["outputs"]
    service, http, heart, out = (
        {key: str(value) for key, value in one.items()} for one in (found["service"], http, heart, out)
    )
    return service, http, heart, out


def of_classic(**more: Any) -> tuple[dict[str, str], ...]:
    """The same of the classic form."""
    text = rendered("fluent_bit", "stowage.conf", {**GIVEN, "fluent_bit_config_format": "classic", **more})
    sections: list[dict[str, str]] = []
    for line in text.splitlines():
        if line.startswith("["):
            sections.append({})
        elif line.strip() and not line.startswith("#"):
            key, value = line.split(None, 1)
            sections[-1][key] = value.strip()
    return tuple(sections)


@pytest.mark.parametrize("more", [{}, {"fluent_bit_version": "5.1.2"}, {"fluent_bit_install_method": "container"}])
def test_both_forms_say_the_same(more: dict[str, str]) -> None:
    assert of_classic(**more) == of_yaml(**more)


@pytest.mark.parametrize(
    "more", [{}, {"fluent_bit_install_method": "container"}, {"fluent_bit_install_method": "compose_file"}]
)
def test_both_buffers_are_on_the_volume_that_outlives_the_program(more: dict[str, str]) -> None:
    service, http, heart, out = of_yaml(**more)
    volume = "/data" if more else "/var/lib/fluent-bit"
    assert service["storage.path"] == f"{volume}/engine"
    assert out["store_dir"] == f"{volume}/uploads"
    assert "store_dir_limit_size" not in out
    assert (http["storage.type"], heart["storage.type"]) == ("filesystem", "filesystem")
    compose = yaml.safe_load(rendered("fluent_bit", "compose_service.yml", GIVEN))
    assert "/var/lib/fluent-bit:/data" in compose["volumes"]


def test_uploads_are_tried_for_ever_by_an_explicit_number() -> None:
    """Unset, false, no_limits and -1 all mean 1 or 5 tries in the S3 output."""
    out = of_yaml()[3]
    assert re.fullmatch(r"\d+", out["retry_limit"])
    assert int(out["retry_limit"]) >= 1_000_000


def test_buffers_open_at_a_kill_are_not_rejected() -> None:
    assert of_yaml()[0]["storage.checksum"] == "off"


def test_poison_lands_in_a_batch_that_no_output_takes() -> None:
    _, http, heart, out = of_yaml()
    assert (http["tag_key"], out["match"], heart["tag"]) == ("EventName", "s3_*", "s3_heartbeat")
    assert not http["tag"].startswith("s3_")


def test_no_object_of_the_trace_is_ever_overwritten() -> None:
    out = of_yaml()[3]
    assert "$UUID" in out["s3_key_format"]
    assert "static_file_path" not in out
    assert out["s3_key_format"].startswith("/%Y/%m/%d/")


def test_nothing_is_reached_from_elsewhere() -> None:
    service, http, _, _ = of_yaml()
    assert (service["http_listen"], http["listen"]) == ("127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize("form", ["stowage.yaml", "stowage.conf"])
def test_no_value_waits_for_a_variable_that_may_be_missing(form: str) -> None:
    """An undefined ${NAME} becomes an empty value, and the program starts all the same."""
    assert "${" not in rendered("fluent_bit", form, GIVEN)


def test_the_key_stands_in_the_environment_only() -> None:
    environment = environment_in(rendered("fluent_bit", "fluent-bit.env", GIVEN))
    assert environment == {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret/+=",
        "TZ": "UTC",
    }
    for form in ("stowage.yaml", "stowage.conf", "fluent-bit.service", "compose_service.yml"):
        assert "not-a-secret" not in rendered("fluent_bit", form, GIVEN)


def test_the_unit_comes_back_and_has_time_to_upload_at_a_stop() -> None:
    unit = rendered("fluent_bit", "fluent-bit.service", GIVEN)
    assert "Restart=always" in unit
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0]) >= 30
    assert "ReadWritePaths=/var/lib/fluent-bit\n" in unit


def broken_rules(**more: Any) -> list[str]:
    """What the role says of settings that do not hold."""
    found = evaluated("fluent_bit", "_fluent_bit_rules", {**GIVEN, **more})
    return [rule["says"] for rule in found if not rule["holds"]]


def test_the_defaults_hold() -> None:
    assert broken_rules() == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fluent_bit_version": "4.2.0"}, "gives up after 5 tries"),
        ({"fluent_bit_version": "3.2.10"}, "right: 4.2.1 or later"),
        ({"fluent_bit_data_dir": "/tmp/fluent-bit"}, "would be lost"),
        ({"fluent_bit_data_dir": "/run/x"}, "would be lost"),
        ({"fluent_bit_listen_address": "0.0.0.0"}, "asks nobody for a password"),
        ({"fluent_bit_s3_endpoint": "10.9.0.1:9000"}, "no URL"),
        ({"fluent_bit_s3_endpoint": "http://${STORE}"}, "no URL"),
        ({"fluent_bit_s3_secret_key": "with'quote"}, "an environment file would change"),
        ({"fluent_bit_upload_timeout": "1 minute"}, "is not understood"),
        ({"fluent_bit_install_method": "container"}, "a tag can be moved"),
    ],
)
def test_a_setting_that_loses_events_is_refused(more: dict[str, str], said: str) -> None:
    (line,) = broken_rules(**more)
    assert said in line


def test_a_pinned_container_and_one_that_is_there_already_are_taken() -> None:
    container = {"fluent_bit_install_method": "container"}
    assert broken_rules(**container, fluent_bit_container_digest="sha256:" + "a" * 64) == []
    assert broken_rules(**container, fluent_bit_container_pull="never") == []


def test_the_store_is_ended_at_once_and_comes_back_from_any_end() -> None:
    """By SIGTERM beta.5 acknowledges half a second of writes that leave no event (docs/quirks.md)."""
    given = {**GIVEN, "rustfs_root_access_key": "A" * 20, "rustfs_root_secret_key": "B" * 40}
    lines = rendered("rustfs", "rustfs.service", given).splitlines()
    # A clean end by this signal is no reason for systemd to start it again, so it always does.
    assert {"KillSignal=SIGKILL", "SuccessExitStatus=SIGKILL", "Restart=always"} <= set(lines)
    assert evaluated("rustfs", "_rustfs_compose_service", given)["stop_signal"] == "SIGKILL"
