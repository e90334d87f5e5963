"""The short form of `make attack`: the service by itself, and behind both edges from the templates of the roles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from attack import Target, attack
from conftest import MakeSite, Site
from test_edges import PROXIES, in_front

EACH = {"upgrade": 60, "framing": 60, "preface": 15, "early close": 30, "malformed": 300, "header flood": 6}


@pytest.fixture(scope="module")
def site(make_site: MakeSite) -> Site:
    return make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_EDGE_ACCESS="open", FILATOR_HEAD_SECONDS="5")


@pytest.fixture(params=["direct", *PROXIES])
def target(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    assert site.app.process is not None
    with contextlib.ExitStack() as stack:
        url = site.url
        if request.param in PROXIES:
            folder = tmp_path_factory.mktemp(request.param)
            url = stack.enter_context(in_front(request.param, folder, site.app.edge_port)).service_url
        yield Target(request.param, url.removeprefix("http://"), site.app.process.pid, site.app.log)


def test_others_get_what_they_asked_for_while_the_service_is_attacked(target: Target) -> None:
    report = attack(target, each=EACH, held=20, seed=1)
    assert report.asked > 50
    assert report.desyncs == []
    assert report.broken == []
    assert report.failures == 0
