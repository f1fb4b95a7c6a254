"""The README's Python is run as it stands."""

import re
from pathlib import Path

import extractor.pipeline
from extractor.result import Extraction

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs(tiny_extractor, monkeypatch, capsys):
    monkeypatch.setattr(extractor.pipeline, "open_extractor", lambda: tiny_extractor)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102  our own README
    assert isinstance(names["result"], Extraction)
    assert "lvef" in capsys.readouterr().out
