"""Which replaced versions stay: the decisions of filator.replaced, under any order of writers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from filator.models import Attachment, Pointer
from filator.replaced import Kept, retire, same_key, strays

KEYS = ("files/u", "mine/u")
START = datetime(2026, 1, 1, tzinfo=UTC)


def version(number: int, key: str = KEYS[0]) -> Pointer:
    return Pointer("s3", "b", key, f"v{number}")


# A loaded machine is no fault of the code.
patient = settings(deadline=None)
listings = st.integers(0, 12).map(lambda count: [version(number) for number in range(count)])


@patient
@given(listings, st.data())
def test_of_a_key_with_a_row_only_what_lies_above_the_rows_version_is_astray(
    listed: list[Pointer], data: st.DataObject
) -> None:
    assume(listed)
    live = data.draw(st.sampled_from(listed))
    named = data.draw(st.sets(st.sampled_from(listed)))
    found = strays(listed, live, named, keep_replaced=True)
    assert found == [it for it in listed[: listed.index(live)] if it not in named]
    everything = strays(listed, live, named, keep_replaced=False)
    assert everything == [it for it in listed if it != live and it not in named]


@patient
@given(listings, st.sets(st.integers(0, 12).map(version)))
def test_of_a_key_without_a_row_everything_is_astray_that_nothing_names(
    listed: list[Pointer], named: set[Pointer]
) -> None:
    for keep in (True, False):
        assert strays(listed, None, named, keep_replaced=keep) == [it for it in listed if it not in named]


@patient
@given(listings)
def test_a_listing_that_hides_the_rows_version_condemns_nothing(listed: list[Pointer]) -> None:
    assert strays(listed, version(99), (), keep_replaced=True) == []


class World:
    """One uuid: its row, its history, and a store that orders the versions of each key by the time of writing."""

    def __init__(self) -> None:
        self.row: Attachment | None = None
        self.kept: list[Kept] = []
        self.clock = 0
        self.written: dict[Pointer, int] = {}
        self.gone: set[Pointer] = set()

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def write(self, key: str) -> Pointer:
        pointer = version(self.tick(), key)
        self.written[pointer] = self.clock
        return pointer

    def commit(self, read: Attachment | None, new: Pointer, *, keep: bool = True) -> None:
        """What Rows.save does, without PostgreSQL."""
        moment = START + timedelta(seconds=self.tick())
        item = Attachment("u", new.version_id or "", moment, moment, "[]", "{}", None, "", "", new, 1)
        if self.row is None:
            if read is not None:
                item = item._replace(created_at=read.created_at, generation=1_000_000 + self.clock)
            self.row = item
            return
        old = self.row
        done = retire(old, new, read, self.kept, keep=keep, expired=False)
        assert done.stays != (old.pointer in done.gone)
        self.kept = [it for it in self.kept if it.pointer not in done.gone]
        if done.stays:
            self.kept.append(Kept(old.generation, old.pointer))
        self.gone |= set(done.gone)
        self.row = item._replace(created_at=old.created_at, generation=old.generation + 1)

    def touch(self) -> None:
        if self.row is not None:
            self.row = self.row._replace(generation=self.row.generation + 1)

    def delete(self) -> None:
        if self.row is not None:
            self.gone |= {self.row.pointer, *(it.pointer for it in self.kept)}
            self.row, self.kept = None, []


# A writer's number takes its request one step on: it reads the row, writes its bytes, commits.
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 0, 1, 2, 3, "touch", "delete"]), st.sampled_from([KEYS[0], *KEYS])),
    min_size=9,
    max_size=30,
)


@settings(patient, max_examples=3000)
@given(STEPS)
def test_whatever_the_writers_do_the_row_has_the_newest_version_that_stays(steps: list[tuple[int | str, str]]) -> None:
    world = World()
    reads: dict[int | str, Attachment | None] = {}
    writes: dict[int | str, Pointer] = {}
    for step, key in steps:
        if step == "touch":
            world.touch()
        elif step == "delete":
            world.delete()
        elif step in writes:
            world.commit(reads.pop(step), writes.pop(step))
        elif step in reads:
            writes[step] = world.write(key)
        else:
            reads[step] = world.row
        if world.row is None:
            continue
        row = world.row.pointer
        assert row not in world.gone
        for it in world.kept:
            assert it.pointer not in world.gone
            assert not same_key(it.pointer, row) or world.written[it.pointer] < world.written[row]
        assert len({it.generation for it in world.kept}) == len(world.kept)


@patient
@given(st.lists(st.sampled_from(KEYS), max_size=8))
def test_writers_one_after_the_other_lose_nothing(keys: list[str]) -> None:
    world = World()
    for key in keys:
        world.commit(world.row, world.write(key))
    assert world.gone == set()
    assert len(world.kept) == max(0, len(keys) - 1)


def test_without_the_setting_the_replaced_version_goes() -> None:
    world = World()
    for _ in range(2):
        world.commit(world.row, world.write(KEYS[0]), keep=False)
    assert (world.kept, len(world.gone)) == ([], 1)


def test_with_an_expired_file_its_whole_history_goes() -> None:
    world = World()
    for _ in range(3):
        world.commit(world.row, world.write(KEYS[0]))
    assert world.row is not None
    done = retire(world.row, version(99), None, world.kept, keep=True, expired=True)
    assert (done.stays, set(done.gone)) == (False, set(world.written))


def test_a_version_without_a_name_cannot_stay() -> None:
    world = World()
    world.commit(None, Pointer("db", None, "blob1", None))
    world.commit(world.row, Pointer("db", None, "blob2", None))
    assert (world.kept, len(world.gone)) == ([], 1)
