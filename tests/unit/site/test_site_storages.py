from __future__ import annotations

import json

import pytest

from stowage.site.check_storages import SCHEMA, storages_faults

S3 = {
    "name": "main",
    "type": "s3",
    "endpoint": "http://nas1:9000",
    "access_key": "AKIA",
    "secret_key": "geheim-geheim",
    "bucket": "filator",
}


ACCEPTED = [
    S3 | {"prefix": "files", "checksum": "auto", "open_timeout": 2.5, "retry_limit": 0, "public_endpoint": None},
    {"name": "db", "type": "db"},
    {"name": "here", "type": "local", "path": "/srv/files", "readonly": True},
]


def test_the_services_own_example_is_accepted_as_list_and_as_json():
    storages = ACCEPTED
    assert storages_faults(storages) == []
    assert storages_faults(json.dumps(storages)) == []


REFUSED = [
    ("[{", "is no JSON"),
    ([], "is no list with an entry"),
    ({"name": "main"}, "is no list with an entry"),
    (["main"], "entry 0 is no mapping"),
    ([S3 | {"bukcet": "x"}], "field bukcet: unknown"),
    ([S3 | {"type": "s4"}], '"s4" is unknown'),
    ([S3 | {"name": ""}], "field name: missing"),
    ([S3 | {"name": "db"}], "name: db with type s3"),
    ([{"name": "bytes", "type": "db"}], '"bytes" with type db'),
    ([S3, S3], '"main" stands twice'),
    ([S3 | {"readonly": True}], "no storage that may be written"),
    ([S3 | {"readonly": "no"}], "field readonly: str"),
    ([S3 | {"bucket": "AB"}], 'field bucket: "AB" cannot be used'),
    ([S3 | {"bucket": "a..b"}], 'field bucket: "a..b" cannot be used'),
    ([S3 | {"name": "a b"}], 'field name: "a b" cannot be used'),
    ([S3 | {"retry_limit": -3}], "field retry_limit: -3 is too small"),
    ([S3 | {"open_timeout": 0}], "field open_timeout: 0 is too small"),
    ([S3 | {"read_timeout": 3601}], "field read_timeout: 3601 is too large"),
    ([S3 | {"secret_key": ""}], "field secret_key: missing"),
    ([S3 | {"public_endpoint": ""}], "field public_endpoint: is empty"),
    ([S3 | {"checksum": "md5"}], '"md5" is unknown'),
    ([S3 | {"addressing_style": "auto"}], '"auto" is unknown'),
    ([S3 | {"retry_limit": True}], "field retry_limit: bool"),
    ([S3 | {"endpoint": "nas1:9000"}], "field endpoint: has no scheme"),
    ([{key: S3[key] for key in S3 if key != "bucket"}], "field bucket: missing"),
    ([S3 | {"use_dynamic_buckets": True}], "field prefix: missing"),
    ([{"name": "here", "type": "local"}], "field path: missing"),
]


@pytest.mark.parametrize(("value", "fault"), REFUSED)
def test_what_the_service_would_refuse_is_found_before(value, fault):
    faults = storages_faults(value)
    assert any(fault in what for what, _ in faults), faults
    assert "geheim" not in str(faults)


def settings_of_the_service():
    return pytest.importorskip("filator.settings", reason="needs the package of service/ (make setup)")


def test_the_service_accepts_what_is_accepted_here():
    assert len(settings_of_the_service().parse_storages(json.dumps(ACCEPTED))) == 3


@pytest.mark.parametrize(("value", "fault"), REFUSED)
def test_the_service_refuses_what_is_refused_here(value, fault):
    settings = settings_of_the_service()
    with pytest.raises(settings.ConfigError):
        settings.parse_storages(value if isinstance(value, str) else json.dumps(value))


def test_the_committed_schema_is_what_the_services_models_say():
    fix = ".venv/bin/python scripts/storages-schema"
    assert json.loads(json.dumps(settings_of_the_service().storages_schema())) == SCHEMA, fix


VALUES = [None, "", "x", "AB", "a..b", "with space", "db", "files", "-x", "a/b", "../x", "/srv", "x" * 201, "line\n"]
VALUES += [True, False, -3, 0, 1, 2.5, 100, 101, 3600, 3601, [], {}]
VALUES += ["http://h:9000", "http://h:9000/", "http://h/path", "http://h:99999", "http://u:p@h", "ftp://h", "http://"]
BASES = [S3, S3 | {"use_dynamic_buckets": True, "prefix": "files"}, *ACCEPTED[1:]]
WRITABLE = {"name": "spare", "type": "local", "path": "/spare"}


def variants(base):
    for field, rule in SCHEMA[base["type"]]["properties"].items():
        yield field, {key: value for key, value in base.items() if key != field}
        for value in [*VALUES, *rule.get("enum", ())]:
            # Whether a file can be read is known on its host alone.
            if field != "ca_bundle" or not isinstance(value, str):
                yield field, base | {field: value}


@pytest.mark.parametrize("base", BASES, ids=["s3", "s3-dynamic", "db", "local"])
def test_preflight_and_service_agree_on_every_field_and_choice(base):
    settings = settings_of_the_service()
    differ = []
    for field, entry in variants(base):
        here = storages_faults([entry, WRITABLE])
        try:
            settings.parse_storages(json.dumps([entry, WRITABLE]))
            there = ""
        except settings.ConfigError as error:
            there = str(error)
        if bool(here) != bool(there):
            differ.append((field, entry.get(field, "(left out)"), here, there))
    assert differ == []
