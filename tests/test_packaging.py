"""What is installed, what imports what, and what an import costs."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import restorekit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "restorekit"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LONGEST_FILE = 350

# above the base (kernels, operators, pictures and every module not named here); a module imports its own layer and those below
LAYERS = [{"solvers", "nets"}, {"methods"}, {"experiments", "teach"}, {"cli", "commands", "__main__"}]


def names(requirements: list[str]) -> set[str]:
    """The package names of requirement lines."""
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in requirements}


def direct_requirements() -> set[str]:
    """What an installation with `all` asks for; the other extras are for scores that no test or page computes."""
    extras = PROJECT["optional-dependencies"]
    chosen = re.findall(r"\w+", extras["all"][0].split("[")[1])
    return names([*PROJECT["dependencies"], *(line for extra in chosen for line in extras[extra])])


def layer(module: str) -> int:
    """The number of the layer of a top-level module of restorekit; 0 is the base."""
    return next((i for i, members in enumerate(LAYERS, start=1) if module in members), 0)


def imports(path: Path) -> list[tuple[str, int]]:
    """(top-level module of restorekit, line) for each import in a file, inside functions too."""
    inside = path.relative_to(PACKAGE).parts[:-1]
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(("restorekit", *inside)[: len(inside) + 2 - node.level]) if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            targets = [f"{stem}.{alias.name}" for alias in node.names] if stem == "restorekit" else [stem]
        else:
            continue
        found += [(t.split(".")[1], node.lineno) for t in targets if t.startswith("restorekit.")]
    return [(module, line) for module, line in found if (PACKAGE / module).exists() or (PACKAGE / f"{module}.py").exists()]


def test_the_environment_file_adds_nothing_to_pyproject():
    lines = [line.strip() for line in (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()]
    items = [line for line in lines if line and not line.startswith("#")]
    minimum = PROJECT["requires-python"].removeprefix(">=")
    assert items == [
        "name: restorekit",
        "channels:",
        "- conda-forge",
        "dependencies:",
        f"- python={minimum}",
        "- pip",
        "- pip:",
        "- -e .[all]",
    ]


def test_constraints_pin_every_direct_requirement_exactly():
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for line in lines), lines
    assert direct_requirements() <= names(lines)


def test_what_is_installed_is_what_the_constraints_say():
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    here = {name: importlib.metadata.version(name).split("+")[0] for name in pinned}
    if here != pinned:
        pytest.skip("not the tested versions: " + ", ".join(f"{n} {v}" for n, v in here.items() if v != pinned[n]))


def test_the_version_is_one():
    assert restorekit.__version__ == PROJECT["version"] == importlib.metadata.version("restorekit")
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def build(kind: str, folder: Path) -> list[str]:
    """Unpacks what pip would install (kind: wheel or editable) into the folder; the names of its files."""
    code = f"from hatchling.build import build_{kind} as build; print(build(r'{folder.parent}'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(folder.parent / done.stdout.strip()) as archive:
        archive.extractall(folder)
        return archive.namelist()


def test_a_wheel_carries_the_shipped_weights_and_the_list_of_sets(tmp_path):
    pytest.importorskip("hatchling")
    site = tmp_path / "site"
    files = set(build("wheel", site))
    weights = {f.name for f in (ROOT / "data" / "weights").iterdir()}
    assert len(weights) > 1 and {f"restorekit/_weights/{name}" for name in weights} <= files
    assert "restorekit/_datasets/sets.json" in files
    assert {p.relative_to(ROOT).as_posix() for p in PACKAGE.rglob("*.py")} <= files
    assert {name.split("/")[0] for name in files} == {"restorekit", f"restorekit-{PROJECT['version']}.dist-info"}
    # far from the checkout, which would have the weights too
    code = "import restorekit, restorekit.nets as n; n.load_denoiser(1); n.shipped_kernel_flow(2); "
    code += "import restorekit.registry as r; r.entry('set5'); print(restorekit.__file__)"
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == site / "restorekit" / "__init__.py"


def test_an_editable_installation_has_no_second_copy(tmp_path):
    pytest.importorskip("hatchling")
    files = build("editable", tmp_path / "site")
    assert not [name for name in files if name.startswith("restorekit/")]
    (pth,) = (tmp_path / "site").glob("*.pth")
    assert Path(pth.read_text().strip()) == ROOT


def test_both_licenses_are_there():
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Attribution 4.0 International" in (ROOT / "LICENSE-content").read_text(encoding="utf-8")


def test_importing_the_package_loads_no_plotting_and_no_widgets():
    heavy = ["matplotlib", "ipywidgets", "IPython", "anywidget", "skimage", "scipy", "joblib", "jupytext", "nbclient"]
    probe = "import sys, torch; old = set(sys.modules); import restorekit; new = set(sys.modules) - old; "
    code = f"{probe}print([m for m in {heavy} if m in new])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_methods_load_no_plotting_and_no_widgets():
    code = "import sys, restorekit.methods.blind; print([m for m in ('matplotlib', 'ipywidgets', 'IPython') if m in sys.modules])"
    if not (PACKAGE / "methods" / "blind.py").exists():
        pytest.skip("restorekit.methods.blind is not written yet")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    wrong = [f"line {line}: restorekit.{module}" for module, line in imports(path) if layer(module) > layer(own)]
    assert not wrong, f"{path.relative_to(ROOT)} imports from above: {wrong}"


def test_the_arrow_check_sees_every_way_to_import(monkeypatch, tmp_path):
    package = tmp_path / "restorekit"
    for name in ("methods", "teach"):
        (package / name).mkdir(parents=True)
    (package / "kernels.py").write_text("")
    path = package / "methods" / "x.py"
    lines = ["import restorekit.teach", "from restorekit import teach", "from restorekit.teach.a import b"]
    path.write_text("\n".join([*lines, "from ..teach import c", "from .. import kernels", "from . import y"]))
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    assert sorted(imports(path)) == [("kernels", 5), ("methods", 6), ("teach", 1), ("teach", 2), ("teach", 3), ("teach", 4)]


@pytest.mark.parametrize("name", sorted(set(restorekit.__all__)))
def test_every_public_name_is_there(name):
    assert getattr(restorekit, name) is not None


def test_no_file_is_long():
    files = [ROOT / "run.py", *PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE}
    assert not long, f"over {LONGEST_FILE} lines: {long}"
