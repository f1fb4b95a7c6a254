"""The set-up that users get: the lock files say what is installed, and the built package is whole."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = ("torch-cpu.txt", "cpu.txt", "dev.txt", "bench.txt", "gpu.txt")
ONLY_FOR_CUDA = {"torchaudio", "torchcodec", "torchvision", "triton"}


def locked(name: str) -> dict[str, str]:
    """Package names and versions of one lock file."""
    text = (ROOT / "locks" / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_every_package_by_hash_and_name_no_host(name):
    text = (ROOT / "locks" / name).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)
    assert "://" not in "".join(blocks)
    assert not re.search(r"^\s*-(?!-hash)", text, flags=re.MULTILINE), "no options: pip's own settings decide"


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("cpu.txt", ("cpu", "batch", "eval", "ray")),
        ("gpu.txt", ("gpu", "batch", "eval", "ray")),
        ("bench.txt", ("bench",)),
    ],
)
def test_locks_answer_pyproject(project, name, extras):
    optional = project["project"]["optional-dependencies"]
    wanted = project["project"]["dependencies"] + [line for extra in extras for line in optional[extra]]
    versions = locked(name)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(versions[requirement.name]), f"run make lock: {requirement}"


def test_development_tools_are_not_in_the_images(project):
    tools = {Requirement(line).name for line in project["dependency-groups"]["dev"]} - {"packaging"}
    assert tools <= locked("dev.txt").keys()
    assert not tools & (locked("cpu.txt").keys() | locked("gpu.txt").keys())


SITE = sysconfig.get_path("purelib")  # not the copies that setuptools carries inside


def test_installed_packages_are_the_locked_ones():
    wanted = locked("torch-cpu.txt") | locked("cpu.txt") | locked("dev.txt")
    found = {canonicalize_name(each.name): each.version for each in metadata.distributions(path=[SITE])}
    assert {name: found.get(canonicalize_name(name)) for name in wanted} == wanted


def test_nothing_is_missing_but_what_only_a_gpu_needs():
    check = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert set(re.findall(r"requires (\S+), which is not installed", check.stdout)) == ONLY_FOR_CUDA
    assert "but you have" not in check.stdout


def test_the_built_wheel_holds_data_files_and_licence(tmp_path):
    source = tmp_path / "source"
    skip = shutil.ignore_patterns(".*", "build", "wheelhouse", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=skip)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run(
        [*build, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True, timeout=120
    )
    names = set(zipfile.ZipFile(next(tmp_path.glob("extractor-*.whl"))).namelist())
    data = [
        file.relative_to(ROOT).as_posix()
        for folder in ("extractor", "schemas", "prompts")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".toml", ".js", ".css", ".html", ".safetensors", ".json"}
    ]
    assert set(data) <= names
    assert any(name.endswith("licenses/docs/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)
