from __future__ import annotations

import json

import pytest

from stowage.site.check_storages import _FIELDS, storages_faults

S3 = {
    "name": "main",
    "type": "s3",
    "endpoint": "http://nas1:9000",
    "access_key": "AKIA",
    "secret_key": "geheim-geheim",
    "bucket": "filator",
}


ACCEPTED = [
    S3 | {"prefix": "files", "open_timeout": 2.5, "retry_limit": 0, "public_endpoint": None},
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


@pytest.mark.parametrize("kind", ["db", "s3", "local"])
def test_the_service_knows_the_same_fields(kind):
    assert set(settings_of_the_service()._TYPES[kind].model_fields) == set(_FIELDS[kind])
