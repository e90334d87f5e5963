"""Head and body of an answer leave together, and nothing of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from filator.connection import HELD_BYTES, OneWrite

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
LARGE = bytes(HELD_BYTES + 1)

Calls = list[tuple[str, Any]]


class Transport(asyncio.Transport):
    """Notes what it is told; sent bytes are copied, as a socket does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Calls = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(("write", bytes(data)))

    def writelines(self, list_of_data: Any) -> None:
        self.calls.append(("writelines", [bytes(it) for it in list_of_data]))

    def close(self) -> None:
        self.calls.append(("close", None))

    def is_closing(self) -> bool:
        return ("close", None) in self.calls


def calls_of(use: Callable[[OneWrite, Calls], Awaitable[None]]) -> Calls:
    """What the transport was told by the end of `use`, which sees it grow, and of one more turn of the loop."""

    async def run() -> Calls:
        transport = Transport()
        await use(OneWrite(transport, asyncio.get_running_loop()), transport.calls)
        await asyncio.sleep(0)
        return transport.calls

    return asyncio.run(run())


def test_a_head_and_its_body_are_one_write() -> None:
    async def use(joined: OneWrite, calls: Calls) -> None:
        joined.write(HEAD)
        assert calls == []
        joined.write(b"body")

    assert calls_of(use) == [("write", HEAD + b"body")]


def test_a_head_without_a_body_leaves_at_the_next_turn_of_the_loop() -> None:
    async def use(joined: OneWrite, calls: Calls) -> None:
        joined.write(HEAD)
        assert calls == []
        await asyncio.sleep(0)
        assert calls == [("write", HEAD)]

    assert calls_of(use) == [("write", HEAD)]


def test_a_view_that_is_held_is_not_lost_behind_an_empty_write() -> None:
    async def use(joined: OneWrite, _calls: Calls) -> None:
        joined.write(memoryview(HEAD))
        joined.write(b"")

    assert calls_of(use) == [("write", HEAD)]


def test_a_large_body_goes_behind_its_head_without_being_copied_into_one() -> None:
    async def use(joined: OneWrite, _calls: Calls) -> None:
        joined.write(HEAD)
        joined.write(LARGE)

    assert calls_of(use) == [("writelines", [HEAD, LARGE])]


def test_a_large_write_with_nothing_before_it_does_not_wait() -> None:
    async def use(joined: OneWrite, calls: Calls) -> None:
        joined.write(LARGE)
        assert calls == [("write", LARGE)]

    assert calls_of(use) == [("write", LARGE)]


def test_the_largest_body_that_is_joined_and_held_has_the_bound() -> None:
    async def use(joined: OneWrite, calls: Calls) -> None:
        joined.write(LARGE[1:])
        assert calls == []
        joined.write(LARGE[1:])

    assert calls_of(use) == [("write", LARGE[1:] * 2)]


def test_answers_of_one_turn_keep_their_order() -> None:
    async def use(joined: OneWrite, calls: Calls) -> None:
        joined.write(b"head1 ")
        joined.write(b"body1 ")
        joined.write(b"head2 ")
        assert calls == [("write", b"head1 body1 ")]

    assert calls_of(use) == [("write", b"head1 body1 "), ("write", b"head2 ")]


def test_what_is_held_leaves_before_the_connection_closes_and_only_once() -> None:
    async def use(joined: OneWrite, calls: Calls) -> None:
        joined.write(HEAD)
        joined.close()
        assert calls == [("write", HEAD), ("close", None)]

    assert calls_of(use) == [("write", HEAD), ("close", None)]


def test_everything_else_is_the_transport_s_own() -> None:
    async def use(joined: OneWrite, _calls: Calls) -> None:
        assert joined.is_closing() is False
        joined.close()
        assert joined.is_closing() is True

    assert calls_of(use) == [("close", None)]
