"""What is packaged agrees with what is there: packages, versions, entry points, the ChimeraX bundle."""

import configparser
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import hetero

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def packages_there(top: Path, name: str) -> set[str]:
    return {
        ".".join([name, *p.parent.relative_to(top).parts])
        for p in top.rglob("__init__.py")
        if "__pycache__" not in p.parts
    }


def test_package_list_names_every_package(config):
    listed = set(config["options"]["packages"].split())
    there = packages_there(ROOT / "engine" / "hetero", "hetero")
    there |= packages_there(ROOT / "napari_plugin" / "napari_hetero", "napari_hetero")
    assert listed == there


def test_versions_agree():
    bundle = tomllib.loads((ROOT / "chimerax_bundle" / "pyproject.toml").read_text())["project"]
    assert bundle["version"] == hetero.__version__
    assert f"## {hetero.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert bundle["license"] == {"text": "BSD-3-Clause"}
    assert "dependencies" in bundle
    assert all(d.startswith("ChimeraX-") for d in bundle["dependencies"]), "the bundle needs nothing but ChimeraX"


def test_pyproject_holds_build_system_and_ruff_only():
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(document) == {"build-system", "tool"}
    assert set(document["tool"]) == {"ruff"}


def test_napari_manifest_is_named_like_the_distribution(config):
    entry = config["options.entry_points"]["napari.manifest"].strip()
    manifest = yaml.safe_load((ROOT / "napari_plugin" / "napari_hetero" / "napari.yaml").read_text())
    assert entry == f"{config['metadata']['name']} = napari_hetero:napari.yaml"
    assert manifest["name"] == config["metadata"]["name"] == "hetero-em"


def test_every_verb_has_its_module_settings_and_help():
    from hetero.commands import VERBS, load

    for verb in VERBS:
        module = load(verb)
        assert module.__doc__.startswith(f"``hetero {verb}``")
        assert callable(module.run) and callable(module.describe)
        for name in module.Settings.__dataclass_fields__:
            assert f"{name}:" in module.Settings.__doc__, f"{verb}: setting {name} has no help"


def test_wheel_holds_code_manifest_and_data(tmp_path):
    # From the working tree, without a build environment of its own: no network is needed.
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--skip-dependency-check",
        "--outdir",
        tmp_path,
        ROOT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith(f"hetero_em-{hetero.__version__}-")
    for needed in (
        "hetero/cli.py",
        "hetero/data/ribosome_6zu5.cif.gz",
        "hetero/data/level_weights.pt",
        "napari_hetero/napari.yaml",
    ):
        assert needed in names
    metadata = zipfile.ZipFile(wheel).read(f"hetero_em-{hetero.__version__}.dist-info/entry_points.txt").decode()
    assert "hetero = hetero.cli:main" in metadata
    assert "hetero-em = napari_hetero:napari.yaml" in metadata


def test_console_script_says_its_version():
    done = subprocess.run([sys.executable, "-m", "hetero", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"hetero {hetero.__version__}\n"
