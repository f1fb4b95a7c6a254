"""Engines: `open_engine` opens the right one."""

from collections.abc import Sequence
from pathlib import Path

from extractor.engine.base import Chat, Engine
from extractor.store import Template, default_id, entry, locate
from extractor.store.cache import folder_sha256
from extractor.store.manifest import CALIBRATION, WORDING


def open_engine(model: str | None = None, urls: Sequence[str] = ()) -> Engine:
    """Open a model of the store (by id), a model in a folder (by path), or the one that vLLM servers serve.

    A folder holds a model as Hugging Face writes it; it is taken to speak ChatML, as the Qwen family does. A
    server must serve the model under its id or its hub repository's name. For a model with an adapter, that is
    `vllm serve BASE --enable-lora --lora-modules ID=FOLDER`, with the base from the hub and the very folder of
    extractor/store/adapters/ that is merged here.

    Raises:
        NotFoundError: the manifest has no such model.
        StoreError: its weights are not on this machine.
        EngineError: it could not be loaded, or no server answers.
    """
    if urls:
        from extractor.engine.remote import RemoteEngine

        chosen = entry(model or default_id())
        names = [chosen.id, *([chosen.served.repo] if chosen.served else [])]
        return RemoteEngine(urls, model=chosen.id, names=names, chat=_chat(chosen.template))
    from extractor.engine.local import LocalEngine

    if model is not None and Path(model).is_dir():
        folder = Path(model).resolve()
        return LocalEngine(
            folder,
            model=folder.name,
            weights_sha256=folder_sha256(folder, without={CALIBRATION, WORDING}),
            precision="auto",
            chat=_chat(entry(default_id()).template),
        )
    weights = locate(model or default_id())
    return LocalEngine(
        weights.path,
        model=weights.entry.id,
        weights_sha256=weights.sha256,
        precision=weights.precision,
        chat=_chat(weights.entry.template),
        context=weights.entry.context_used,
        adapter=weights.adapter,
    )


def _chat(template: Template) -> Chat:
    return Chat(**template.model_dump())
