from __future__ import annotations

import json

import pytest

from stowage.site.check_storages import storages_faults

S3 = {
    "name": "main",
    "type": "s3",
    "endpoint": "http://nas1:9000",
    "access_key": "AKIA",
    "secret_key": "geheim-geheim",
    "bucket": "filator",
}


def test_the_services_own_example_is_accepted_as_list_and_as_json():
    storages = [S3 | {"prefix": "files", "open_timeout": 2.5, "retry_limit": 0}, {"name": "db", "type": "db"}]
    assert storages_faults(storages) == []
    assert storages_faults(json.dumps(storages)) == []


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("[{", "is no JSON"),
        ([], "is no list with an entry"),
        ({"name": "main"}, "is no list with an entry"),
        (["main"], "entry 1 is no mapping"),
        ([S3 | {"bukcet": "x"}], "field bukcet: unknown"),
        ([S3 | {"type": "s4"}], '"s4" is unknown'),
        ([S3 | {"name": ""}], "field name: missing"),
        ([S3 | {"name": "db"}], "name: db with type s3"),
        ([{"name": "bytes", "type": "db"}], '"bytes" with type db'),
        ([S3, S3], '"main" stands twice'),
        ([S3 | {"readonly": True}], "no storage that may be written"),
        ([S3 | {"readonly": "no"}], "field readonly: str"),
        ([S3 | {"retry_limit": True}], "field retry_limit: bool"),
        ([S3 | {"endpoint": "nas1:9000"}], "field endpoint: has no scheme"),
        ([{key: S3[key] for key in S3 if key != "bucket"}], "field bucket: missing"),
        ([S3 | {"use_dynamic_buckets": True}], "field prefix: missing"),
        ([{"name": "here", "type": "local"}], "field path: missing"),
    ],
)
def test_what_the_service_would_refuse_is_found_before(value, fault):
    faults = storages_faults(value)
    assert any(fault in what for what, _ in faults), faults
    assert "geheim" not in str(faults)
