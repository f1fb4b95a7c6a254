"""Real engines for all tests: a tiny random model for mechanics, small real weights for meaning."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from extractor.api.app import Settings, create_app
from extractor.engine.base import Chat
from extractor.engine.local import LocalEngine
from extractor.pipeline import Extractor
from extractor.store import locate
from tests.servers import VllmServer

CHATML = Chat(
    "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n"
)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights and SmolLM2's real tokenizer. Its answers mean nothing and vary."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny") / "tiny-random"
    tokenizer = AutoTokenizer.from_pretrained(locate("smollm2-135m").path)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=8192,
        initializer_range=0.5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"dtype": "float32"}))
    return folder


@pytest.fixture(scope="session")
def tiny_engine(tiny_model_dir: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine(
        tiny_model_dir, model="tiny-random", weights_sha256="0" * 64, precision="float32", chat=CHATML
    )
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def tiny_extractor(tiny_engine: LocalEngine) -> Extractor:
    return Extractor(tiny_engine)


@pytest.fixture(scope="module")
def api_url(tiny_extractor: Extractor) -> Iterator[str]:
    """The address of the real API on loopback, with the tiny model; it takes 4 reports and 4 KB at a time."""
    app = create_app(Settings(max_reports=4, max_body=4096), lambda: tiny_extractor)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            end = time.monotonic() + 60
            while httpx.get(f"{address}/health/ready").status_code != 200:
                assert time.monotonic() < end, "the API did not become ready"
                time.sleep(0.05)
            yield address
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def vllm_servers(
    tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VllmServer, VllmServer]]:
    """Two vLLM API servers; test_remote_failover.py, the last that needs them, leaves one dead."""
    folder = tmp_path_factory.mktemp("servers")
    servers = (VllmServer(tiny_model_dir, folder / "0.log"), VllmServer(tiny_model_dir, folder / "1.log"))
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield servers
    finally:
        for server in servers:
            server.kill()
