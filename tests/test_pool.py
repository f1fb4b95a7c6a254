"""Which server is asked, when one is down, and how it gets its reports back.

The servers here are real HTTP servers on loopback with scripted answers: a real vLLM server cannot be told to hang, to
answer 503 for a while or to come back with another model. Two real ones, one of them killed: test_remote_failover.py.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from extractor.engine.pool import ServerPool
from extractor.errors import EngineError
from tests.servers import free_port, until

CANARY = "Zebrafinch"
LOOK_EVERY = 0.2


class Scripted(ThreadingHTTPServer):
    """Does what `mood` says: answers ("well"), "hangs", "drops" the connection, or answers this status."""

    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.mood: str | int = "well"
        self.to_questions: str | int = "well"
        self.cards: list[dict[str, Any]] = [card("tiny")]
        self.body = b""
        self.asked: list[dict[str, Any]] = []
        self.looks = 0
        self.recovers = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    def recover(self) -> None:
        self.mood = "well"
        self.recovers.set()

    def stop(self) -> None:
        self.recovers.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        self.server.looks += 1
        answers: dict[str, dict[str, Any]] = {
            "/health": {},
            "/version": {"version": "0.32.0"},
            "/v1/models": {"data": self.server.cards},
        }
        self.answer(self.server.mood, answers[self.path])

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(question)
        served = question["model"] in {card["id"] for card in self.server.cards}
        mood = self.server.mood if self.server.mood != "well" else self.server.to_questions
        self.answer(mood if served else 404, {"by": self.server.url, "to": question["prompt"]})

    def answer(self, mood: str | int, content: dict[str, Any]) -> None:
        if mood == "hangs":
            self.server.recovers.wait(20)
        if mood in {"hangs", "drops"}:
            return
        data = self.server.body or json.dumps(content).encode()
        self.send_response(mood if isinstance(mood, int) else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


def card(name: str, context: int | None = 4096) -> dict[str, Any]:
    return {"id": name, "max_model_len": context}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("extractor.engine.pool.LOOK_EVERY", LOOK_EVERY)
    caplog.set_level(logging.INFO, "extractor.engine")


@pytest.fixture
def start() -> Iterator[Callable[..., Scripted]]:
    with ExitStack() as running:
        yield lambda port=0: running.enter_context(Scripted(port))


@pytest.fixture
def servers(start: Callable[..., Scripted]) -> list[Scripted]:
    return [start() for _ in range(3)]


def open_pool(*urls: str, timeout: float = 5) -> ServerPool:
    return ServerPool(urls, model="tiny", names=["tiny", "org/tiny"], timeout=timeout)


def ask(pool: ServerPool, group: int, prompt: str = "a prompt") -> str:
    return str(pool.call("/v1/completions", {"prompt": prompt}, group=group)["by"])


def places(pool: ServerPool) -> dict[int, str]:
    return {group: ask(pool, group) for group in range(150)}


def group_of(server: Scripted, pool: ServerPool) -> int:
    return next(group for group in range(1000) if ask(pool, group) == server.url)


def test_a_group_stays_with_its_server_and_groups_spread_over_all(servers):
    urls = [server.url for server in servers]
    with closing(open_pool(*urls)) as pool, closing(open_pool(*reversed(urls))) as other:
        placed = places(pool)
        assert placed == places(pool) == places(other)
    assert sorted(Counter(placed.values())) == sorted(urls)
    assert min(Counter(placed.values()).values()) >= 20  # 50 each, give or take 6


def test_only_a_lost_servers_groups_move_they_spread_over_the_rest_and_come_back(servers):
    lost, *rest = servers
    with closing(open_pool(*(server.url for server in servers))) as pool:
        placed = places(pool)
        lost.mood = 503
        moved = places(pool)
        assert {group for group in placed if placed[group] != moved[group]} == {
            group for group, url in placed.items() if url == lost.url
        }
        takers = Counter(moved[group] for group, url in placed.items() if url == lost.url)
        assert all(takers[server.url] >= 5 for server in rest)  # 25 each, give or take 4
        lost.recover()
        group = next(group for group, url in placed.items() if url == lost.url)
        until(lambda: ask(pool, group) == lost.url, 10)
        assert places(pool) == placed


@pytest.mark.parametrize("mood", ["hangs", "drops", 500, 503, 307])
def test_a_server_that_failed_is_not_asked_again_before_it_is_found_well(servers, mood, caplog):
    lost, *rest = servers
    with closing(open_pool(*(server.url for server in servers), timeout=0.5)) as pool:
        group = group_of(lost, pool)
        lost.mood = mood
        assert ask(pool, group) in {server.url for server in rest}
        asked = len(lost.asked)
        begin = time.monotonic()
        assert lost.url not in {ask(pool, group) for _ in range(20)}
        assert time.monotonic() - begin < 5  # 20 times the timeout would be 10
        assert len(lost.asked) == asked
        lost.recover()
        until(lambda: ask(pool, group) == lost.url, 10)
        looks = lost.looks
        time.sleep(3 * LOOK_EVERY)
        assert lost.looks == looks  # a server that is well is left alone
    down, well = (record.getMessage() for record in caplog.records)
    assert "is down" in down
    assert lost.url in down
    assert well.endswith(f"is well again: {lost.url}")


def test_where_all_are_down_each_is_named_with_what_happened_and_every_call_tries_them_anew(servers):
    one, other, third = servers
    with closing(open_pool(*(server.url for server in servers))) as pool:
        one.mood, other.mood = 503, "drops"
        third.stop()
        for _ in range(2):
            with pytest.raises(EngineError) as caught:
                ask(pool, 0, CANARY)
            assert caught.value.code == "engine_unreachable"
            assert CANARY not in repr(caught.value)
            assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        assert f"{one.url}/health answered 503." in caught.value.detail
        assert f"{other.url}: RemoteProtocolError." in caught.value.detail
        assert f"{third.url}: ConnectError." in caught.value.detail
        other.recover()
        assert ask(pool, 0) == other.url


def test_a_single_server_that_starts_again_is_found_by_the_next_call(start):
    port = free_port()
    server = start(port)
    with closing(open_pool(server.url)) as pool:
        ask(pool, 0)
        server.stop()
        with pytest.raises(EngineError, match="ConnectError"):
            ask(pool, 0)
        again = start(port)
        assert ask(pool, 0) == again.url


def test_a_server_that_refuses_a_question_is_not_down(servers, caplog):
    refusing, *_ = servers
    with closing(open_pool(*(server.url for server in servers))) as pool:
        group = group_of(refusing, pool)
        refusing.to_questions = 400
        with pytest.raises(EngineError) as caught:
            ask(pool, group, CANARY)
        assert caught.value.code == "engine_refused"
        assert caught.value.detail == f"{refusing.url}/v1/completions answered 400."
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        refusing.to_questions = "well"
        assert ask(pool, group) == refusing.url
    assert not caplog.records


def test_a_password_in_an_address_is_refused_and_not_repeated(start):
    server = start()
    with pytest.raises(EngineError) as caught:
        open_pool(server.url.replace("//", f"//user:{CANARY}@"))
    assert caught.value.code == "engine_address"
    assert CANARY not in str(caught.value)
    assert not server.looks


def test_a_proxy_of_the_environment_sees_no_report(start, monkeypatch):
    proxy, server = start(), start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    with closing(open_pool(server.url)) as pool:
        assert ask(pool, 0, CANARY) == server.url
    assert (proxy.looks, len(proxy.asked), len(server.asked)) == (0, 0, 1)


def test_one_server_with_the_model_is_enough_to_start(servers, caplog):
    one, other, third = servers
    other.cards = [card("gemma")]
    third.mood = 503
    with closing(open_pool(*(server.url for server in servers))) as pool:
        assert set(places(pool).values()) == {one.url}
        assert not other.asked
        assert not third.asked
        assert f"{other.url} does not serve tiny." in caplog.text
        other.cards = [card("tiny")]
        third.recover()
        until(lambda: set(places(pool).values()) == {server.url for server in servers}, 10)


@pytest.mark.parametrize(
    ("moods", "code"), [(("well", 503), "engine_wrong_model"), ((503, "drops"), "engine_unreachable")]
)
def test_without_a_server_that_has_the_model_there_is_no_start(servers, moods, code):
    for server, mood in zip(servers, moods, strict=False):
        server.mood, server.cards = mood, [card("gemma")]
    urls = [server.url for server in servers[:2]]
    with pytest.raises(EngineError) as caught:
        open_pool(*urls)
    assert caught.value.code == code
    assert all(url in caught.value.detail for url in urls)


@pytest.mark.parametrize("seen_down", [True, False])
def test_a_server_that_comes_back_with_another_model_is_not_used(servers, seen_down, caplog):
    changed, *_ = servers
    with closing(open_pool(*(server.url for server in servers))) as pool:
        group = group_of(changed, pool)
        if seen_down:
            changed.mood = 503
            ask(pool, group)
        changed.cards = [card("gemma")]
        changed.recover()
        if seen_down:
            until(lambda: "does not serve tiny" in caplog.text, 10)
        assert ask(pool, group) != changed.url
        assert "does not serve tiny" in caplog.text
        asked = len(changed.asked)
        time.sleep(3 * LOOK_EVERY)
        assert ask(pool, group) != changed.url
        assert len(changed.asked) == asked
        changed.cards = [card("tiny")]
        until(lambda: ask(pool, group) == changed.url, 10)


def test_each_server_is_asked_by_its_own_name_for_the_model_and_the_shortest_context_counts(servers):
    one, other, third = servers
    other.cards = [card("org/tiny", 2048)]
    third.cards = [card("base"), card("tiny", None)]  # an adapter, as vLLM lists it
    with closing(open_pool(*(server.url for server in servers))) as pool:
        places(pool)
        assert pool.context_length == 2048
        assert pool.version == "0.32.0"
    names = [{question["model"] for question in server.asked} for server in (one, other, third)]
    assert names == [{"tiny"}, {"org/tiny"}, {"tiny"}]


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[]", b'{"data": [{}]}'])
def test_what_is_no_vllm_server_is_an_error_that_names_it(servers, body):
    servers[0].body = body
    with pytest.raises(EngineError, match=servers[0].url) as caught:
        open_pool(servers[0].url)
    assert caught.value.code == "engine_unreachable"


def test_64_threads_each_get_their_own_answer_while_a_server_comes_and_goes(servers):
    flapping, *_ = servers
    with closing(open_pool(*(server.url for server in servers))) as pool, ThreadPoolExecutor(65) as threads:
        done = threading.Event()

        def flap() -> None:
            while not done.wait(0.1):
                flapping.mood = "drops" if flapping.mood == "well" else "well"

        flapper = threads.submit(flap)
        try:
            numbers = [str(number) for number in range(640)]
            answers = list(
                threads.map(
                    lambda n: pool.call("/v1/completions", {"prompt": n}, group=int(n))["to"], numbers
                )
            )
        finally:
            done.set()
        flapper.result()
    assert answers == numbers


def test_closing_leaves_no_thread_behind(servers):
    before = watchers()
    pool = open_pool(*(server.url for server in servers))
    assert len(watchers() - before) == 3
    pool.close()
    assert watchers() == before


def watchers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "vllm-watch"}
