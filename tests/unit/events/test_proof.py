"""An earlier canary is proof only while nothing it depended on has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stowage.events.bindings import Binding
from stowage.events.proof import Proof, parse_proofs, print_proofs

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
BOUND = (Binding("arn:rustfs:sqs::qatlas:webhook", ("s3:ObjectCreated:*",)),)
PROOF = Proof(NOW - timedelta(hours=1), 61.5, BOUND)


def test_a_proof_holds_while_the_bindings_are_the_same_and_it_is_young() -> None:
    assert PROOF.holds(BOUND, NOW, 3600)
    assert not PROOF.holds(BOUND, NOW, 3599)
    assert not PROOF.holds((), NOW, 86400)
    assert not PROOF.holds((Binding(BOUND[0].arn, BOUND[0].events, prefix="in/"),), NOW, 86400)


def test_a_proof_from_the_future_proves_nothing() -> None:
    assert not PROOF.holds(BOUND, NOW - timedelta(hours=2), 86400)


def test_proofs_come_back_as_they_were_stored() -> None:
    assert parse_proofs(print_proofs({"files": PROOF})) == {"files": PROOF}


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"files": {}}', b'{"files": 1}', b"\xff"])
def test_what_is_no_proof_proves_nothing(data: bytes) -> None:
    assert parse_proofs(data) == {}
