"""Writes and deletes by several keys, with a ledger of what the store acknowledged, and what the trace then holds."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from stowage.events.normal import Event
from stowage.s3.connection import S3Settings, s3_client

Act = tuple[str, str, str, str]
"""Access key, bucket, object key, ``put`` or ``delete``; each is done once at the most."""


@dataclass
class Ledger:
    """What was acknowledged, and what was sent without an answer (it may have happened or not)."""

    done: dict[Act, float] = field(default_factory=dict)
    unanswered: set[Act] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Load:
    """Clients of several keys, at a steady pace.

    Args:
        endpoint: The store.
        keys: Access key and secret of each writer.
        buckets: Where they write; versioned.
        total: Acknowledged operations after which it ends.
        rate: Operations a second, all together.
        seed: Of the mix.
    """

    def __init__(
        self, endpoint: str, keys: list[tuple[str, str]], buckets: list[str], total: int, rate: float, seed: int
    ) -> None:
        self.ledger = Ledger()
        self._endpoint, self._keys, self._buckets = endpoint, keys, buckets
        self._total, self._rate, self._seed = total, rate, seed
        self._begun = time.monotonic()
        self._sent = 0

    def run(self, clients_per_key: int = 2) -> None:
        """Work until enough is acknowledged."""
        self._begun = time.monotonic()
        threads = [
            threading.Thread(target=self._client, args=(pair, number), daemon=True)
            for number, pair in enumerate(self._keys * clients_per_key)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    def _take_turn(self) -> bool:
        """Wait for this client's turn in the common pace; ``False`` when enough is acknowledged."""
        with self.ledger.lock:
            if len(self.ledger.done) >= self._total:
                return False
            self._sent += 1
            due = self._begun + self._sent / self._rate
        time.sleep(max(0.0, due - time.monotonic()))
        return True

    def _client(self, pair: tuple[str, str], number: int) -> None:
        # One try per operation: a hidden second try would make events that no answer accounts for.
        settings = S3Settings(
            endpoint=self._endpoint, access_key=pair[0], secret_key=pair[1], max_attempts=1, read_timeout=20
        )
        client = s3_client(settings)
        dice = random.Random(self._seed * 100 + number)
        mine: list[tuple[str, str]] = []
        count = 0
        while self._take_turn():
            delete = bool(mine) and dice.random() < 0.4
            if delete:
                bucket, key = mine.pop(dice.randrange(len(mine)))
            else:
                count += 1
                bucket, key = dice.choice(self._buckets), f"c{number}/{dice.randrange(100):02d}/{count:05d} a+b.bin"
            act = (pair[0], bucket, key, "delete" if delete else "put")
            try:
                if delete:
                    client.delete_object(Bucket=bucket, Key=key)
                else:
                    client.put_object(Bucket=bucket, Key=key, Body=dice.randbytes(dice.choice((10, 1000, 20_000))))
            except (BotoCoreError, ClientError):
                with self.ledger.lock:
                    self.ledger.unanswered.add(act)
                time.sleep(0.3)
                continue
            with self.ledger.lock:
                self.ledger.done[act] = time.time()
            if not delete:
                mine.append((bucket, key))


def lost_objects(ledger: Ledger, settings: S3Settings) -> list[str]:
    """Objects that are not as the acknowledged operations left them: the store's restarts must lose nothing either."""
    client = s3_client(settings, pool_size=8)
    deleted = {act[1:3] for act in (*ledger.done, *ledger.unanswered) if act[3] == "delete"}
    surely_deleted = {act[1:3] for act in ledger.done if act[3] == "delete"}
    written = {act[1:3] for act in ledger.done if act[3] == "put"}

    def wrong(thing: tuple[str, str], there: bool) -> str | None:
        try:
            client.head_object(Bucket=thing[0], Key=thing[1])
        except ClientError as error:
            gone = error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
            return None if gone and not there else f"{'/'.join(thing)}: {error}"
        return None if there else f"{'/'.join(thing)}: is back"

    asked = [(thing, True) for thing in written - deleted] + [(thing, False) for thing in surely_deleted]
    with ThreadPoolExecutor(8) as pool:
        return [found for found in pool.map(lambda one: wrong(*one), asked) if found]


@dataclass(frozen=True)
class Verdict:
    """What the trace holds of the ledger.

    Attributes:
        missing: Acknowledged, and no event with the right key.
        wrong_key: Acknowledged, and only events with another key.
        copies: Events that are copies of one that is there.
        of_unanswered: Events of operations that got no answer.
        strange: Events of operations that nobody sent.
    """

    missing: list[Act]
    wrong_key: list[Act]
    copies: int
    of_unanswered: int
    strange: list[Event]


def judge(ledger: Ledger, events: Iterable[Event]) -> Verdict:
    """Compare the trace with the ledger.

    Args:
        ledger: What was acknowledged.
        events: All events of the buckets, with copies.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    by_thing: dict[tuple[str, str, str], set[str]] = {}
    strange = []
    of_unanswered = 0
    sent = {act[1:] for act in (*ledger.done, *ledger.unanswered)}
    unanswered = {act[1:] for act in ledger.unanswered}
    for event in events:
        seen[event.identity] += 1
        kind = "put" if event.name.startswith("s3:ObjectCreated:") else "delete"
        thing = (event.bucket, event.key, kind)
        by_thing.setdefault(thing, set()).add(event.principal)
        if thing not in sent:
            strange.append(event)
        of_unanswered += thing in unanswered
    missing = [act for act in ledger.done if act[1:] not in by_thing]
    wrong = [act for act in ledger.done if act[1:] in by_thing and act[0] not in by_thing[act[1:]]]
    return Verdict(missing, wrong, sum(n - 1 for n in seen.values()), of_unanswered, strange)
