"""The queue in front of the model: bounded, fair between requests, and left at once by who goes away."""

import threading
from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from extractor.api.line import Line, Waiting
from extractor.pipeline import Job


def request(name: str, count: int) -> list[Waiting]:
    return [Waiting(Job("LVEF 62 %.", id=f"{name}{number}"), Future()) for number in range(count)]


def names(batch: list[Waiting] | None) -> list[str | None]:
    assert batch is not None
    return [item.job.id for item in batch]


def test_a_request_is_taken_whole_or_not_at_all():
    line = Line(3)
    assert line.put(request("a", 2))
    assert not line.put(request("b", 2))
    assert line.put(request("c", 1))
    assert len(line) == 3
    assert names(line.take(9)) == ["a0", "c0", "a1"]


def test_a_single_report_does_not_wait_for_a_long_list():
    line = Line(300)
    line.put(request("list", 256))
    assert names(line.take(2)) == ["list0", "list1"]
    line.put(request("single", 1))
    assert "single0" in names(line.take(2))


def test_a_report_taken_back_frees_its_place_at_once_and_is_never_read():
    line = Line(2)
    gone = request("gone", 2)
    line.put(gone)
    assert not line.put(request("here", 1))
    for item in gone:
        assert item.answer.cancel()
    assert len(line) == 0
    assert line.put(request("here", 2))
    assert names(line.take(9)) == ["here0", "here1"]


def test_what_is_being_read_cannot_be_taken_back():
    line = Line(1)
    (item,) = request("a", 1)
    line.put([item])
    line.take(1)
    assert not item.answer.cancel()


def test_a_closed_line_ends_behind_those_who_wait():
    line = Line(4)
    line.put(request("a", 2))
    line.close()
    assert names(line.take(1)) == ["a0"]
    assert names(line.take(1)) == ["a1"]
    assert line.take(1) is None


def test_an_empty_line_is_waited_at_for_so_long_only():
    assert Line(1).take(1, seconds=0.01) == []


@given(sizes=st.lists(st.integers(0, 9), max_size=8), most=st.integers(1, 5))
def test_every_report_comes_once_in_its_own_order_and_by_turns(sizes, most):
    line = Line(100)
    for number, size in enumerate(sizes):
        assert line.put(request(f"{number}/", size))
    taken: list[str] = []
    while len(line):
        batch = names(line.take(most))
        assert len(batch) <= most
        taken += [str(name) for name in batch]
    places = {name: place for place, name in enumerate(taken)}
    assert len(places) == len(taken) == sum(sizes)
    for number, size in enumerate(sizes):
        own = [places[f"{number}/{index}"] for index in range(size)]
        assert own == sorted(own)
        # Before its report number n, no request has had more than n + 1 turns.
        assert all(place <= (index + 1) * len(sizes) - 1 for index, place in enumerate(own))


def test_requests_from_many_threads_are_all_taken():
    line = Line(1000)
    senders = [
        threading.Thread(target=lambda n=n: [line.put(request(f"{n}/{k}/", 2)) for k in range(10)])
        for n in range(8)
    ]
    for sender in senders:
        sender.start()
    taken: list[str | None] = []
    while len(taken) < 160:
        taken += names(line.take(7, seconds=5))
    for sender in senders:
        sender.join()
    assert len(set(taken)) == 160
