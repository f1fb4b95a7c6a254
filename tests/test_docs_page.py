"""The API page works in a real browser that can reach nothing but this server."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

STATIC = Path(__file__).parents[1] / "extractor" / "static"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run `extractor serve` without a model, where nobody listens at the vLLM server's address: the page needs none."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "extractor", "serve", "--port", str(port), "--url", "http://127.0.0.1:9"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(server, address)
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=30)


def _wait_for(server: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(f"{address}/health/live").status_code == 200
        except httpx.TransportError:
            assert server.poll() is None, "the server stopped"
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.1)
        else:
            return


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_the_page_shows_the_api_with_the_network_blocked(url, tmp_path):
    assert BROWSER
    page = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{url}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    shown = set(re.findall(r'data-path="([^"]+)"', page.stdout))
    document = httpx.get(f"{url}/docs/openapi.json").json()
    assert "/extract" in shown
    assert shown == document["paths"].keys()
    assert "Read one report, or a list of reports" in page.stdout
    assert "CONSOLE" not in page.stderr, "the page logged an error, such as a resource that it may not load"


def test_the_page_names_no_other_host(url):
    page = httpx.get(f"{url}/docs")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/static/")
        assert httpx.get(url + address).status_code == 200
    assert "://" not in page.text
    assert not re.search(
        r"@import|url\(\s*(?![\"']?data:)", (STATIC / "swagger-ui" / "swagger-ui.css").read_text()
    )


def test_the_bundled_files_are_the_ones_named_in_their_readme():
    folder = STATIC / "swagger-ui"
    named = dict(re.findall(r"\| `([0-9a-f]{64})` \| `([^`]+)` \|", (folder / "README.md").read_text()))
    present = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    del present["README.md"]
    assert present == {name: digest for digest, name in named.items()}
