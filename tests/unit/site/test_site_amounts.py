"""Ages, times and switches of a site: its reader understands each, or it is refused before a host is touched."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from example_site import REPOSITORY

from stowage.site.check_amounts import AMOUNTS
from stowage.site.fit import misfit
from stowage.site.names import role_options

WRONG = [
    ("prune_timer_older_than", "1day", "an age such as 14d"),
    ("prune_timer_older_than", "0d", "an age such as 14d"),
    ("object_store_filator_prune_older_than", "1day", "an age such as 14d"),
    ("object_store_filator_prune_older_than", 14, "an age such as 14d"),
    ("object_store_link_seconds", "1day", "a whole number from 0 on"),
    ("object_store_link_seconds", -1, "a whole number from 0 on"),
    ("object_store_trace_timeout", "1day", "a whole number from 1 on"),
    ("object_store_trace_remember", "1day", "a whole number from 0 on"),
    ("object_store_trace_heartbeat", "1day", "a whole number from 0 on"),
    ("object_store_port", 99999, "a whole number from 1 to 65535"),
    ("object_store_durability", "hard", "one of strict, relaxed, none, empty"),
    ("object_store_trace", "perhaps", "true or false"),
    ("stowage_prune_timer", "perhaps", "true or false"),
    ("filator_default_lifetime", 0, "a whole number from 1 on"),
    ("filator_default_lifetime", -5, "a whole number from 1 on"),
    ("filator_presign_seconds", 604801, "a whole number from 1 to 604800"),
    ("filator_log_level", "loud", "one of debug, info, warning, error"),
]


@pytest.mark.parametrize(("name", "value", "right"), WRONG)
def test_a_value_that_its_reader_does_not_understand_is_one_line(
    name: str, value: Any, right: str, faults: Any
) -> None:
    told = [line for line in faults(("*", name, value)) if f"{name} is {str(value)!r}" in line]
    assert len(told) == 1
    assert f"right: {right}" in told[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prune_timer_older_than", ""),
        ("prune_timer_older_than", "1h30m"),
        ("object_store_filator_prune_older_than", "14d"),
        ("object_store_link_seconds", "86400"),
        ("object_store_trace_remember", 0),
        ("object_store_trace", "no"),
        ("object_store_durability", ""),
        ("filator_presign_seconds", 604800),
    ],
)
def test_a_value_that_its_reader_takes_passes(name: str, value: Any, faults: Any) -> None:
    assert [line for line in faults(("*", name, value)) if f" {name} is " in line] == []


def test_every_variable_that_is_judged_exists(rules: Any) -> None:
    assert AMOUNTS.keys() <= rules.known | set(yaml.safe_load((REPOSITORY / "inventories/wiring.yml").read_text()))


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("filator_workers", -1, "a whole number from 0 on"),
        ("prune_timer_keep_last", "-1", "a whole number from 0 on"),
        ("filator_listen_port", 99999, "a port from 1 to 65535"),
    ],
)
def test_no_number_of_a_role_is_below_zero_and_no_port_beyond_the_last(name: str, value: Any, right: str) -> None:
    options = role_options(REPOSITORY / "roles")
    found = misfit(name, value, options[name], lambda s, v: list(ArgumentSpecValidator(s).validate(v).error_messages))
    assert found == (f"{name} is {value}", right)
