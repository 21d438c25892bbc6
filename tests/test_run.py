"""run.py: set-up decisions, the learner's pages, ports, messages. The real set-up runs whenever the test command does."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load():
    """run.py as a module."""
    spec = importlib.util.spec_from_file_location("restorekit_run", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run = load()


@pytest.fixture
def course(tmp_path):
    """Two pages and the folder of the learner's copies."""
    notebooks, work = tmp_path / "notebooks", tmp_path / "work"
    notebooks.mkdir()
    for name in ("00_first", "01_second"):
        (notebooks / f"{name}.ipynb").write_text(f"{name} version 1")
    return notebooks, work


def test_it_imports_the_standard_library_only():
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"))
    found = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    found |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert found <= sys.stdlib_module_names


def test_pages_are_copied_once_and_a_second_time_changes_nothing(course):
    notebooks, work = course
    assert run.update_work(notebooks, work) == {"new": ["00_first.ipynb", "01_second.ipynb"], "updated": [], "kept": []}
    assert run.update_work(notebooks, work) == {"new": [], "updated": [], "kept": []}
    assert (work / "00_first.ipynb").read_text() == "00_first version 1"


def test_an_update_replaces_untouched_pages_and_keeps_changed_ones(course):
    notebooks, work = course
    run.update_work(notebooks, work)
    (work / "00_first.ipynb").write_text("mine")
    for page in notebooks.glob("*.ipynb"):
        page.write_text("version 2")
    for _ in range(2):  # the second start must not forget
        report = run.update_work(notebooks, work)
        assert report["kept"] == ["00_first.ipynb"]
        assert (work / "00_first.ipynb").read_text() == "mine"
    assert (work / "01_second.ipynb").read_text() == "version 2"


def test_a_changed_page_is_kept_quietly_while_the_course_has_nothing_newer(course):
    notebooks, work = course
    run.update_work(notebooks, work)
    (work / "00_first.ipynb").write_text("mine")
    assert run.update_work(notebooks, work)["kept"] == []


def test_without_its_record_no_page_is_overwritten(course):
    notebooks, work = course
    run.update_work(notebooks, work)
    (work / "00_first.ipynb").write_text("mine")
    (work / ".pages.json").unlink()
    run.update_work(notebooks, work)
    assert (work / "00_first.ipynb").read_text() == "mine"


def test_a_damaged_record_is_like_none(course):
    notebooks, work = course
    run.update_work(notebooks, work)
    (work / "00_first.ipynb").write_text("mine")
    (work / ".pages.json").write_text('{"00_fi')
    run.update_work(notebooks, work)
    assert (work / "00_first.ipynb").read_text() == "mine"
    assert json.loads((work / ".pages.json").read_text())


@pytest.mark.parametrize("name", ["00", "00_first", "00_first.ipynb", "work/00_first.ipynb"])
def test_reset_brings_one_page_back_and_keeps_a_copy(course, name):
    notebooks, work = course
    run.update_work(notebooks, work)
    for page in work.glob("*.ipynb"):
        page.write_text("mine")
    backup = run.reset(name, notebooks, work)
    assert backup.read_text() == "mine"
    assert (work / "00_first.ipynb").read_text() == "00_first version 1"
    assert (work / "01_second.ipynb").read_text() == "mine"
    (work / "00_first.ipynb").write_text("mine again")
    assert run.reset(name, notebooks, work) != backup
    assert backup.read_text() == "mine"


def test_reset_of_an_untouched_page_keeps_no_copy(course):
    notebooks, work = course
    run.update_work(notebooks, work)
    assert run.reset("01", notebooks, work) is None
    assert (work / "01_second.ipynb").exists()


@pytest.mark.parametrize("name", ["0", "02", "second", ""])
def test_reset_of_no_single_page_names_the_pages(course, name):
    with pytest.raises(run.Stop, match="Allowed: 00_first, 01_second"):
        run.find_page(name, course[0])


@pytest.mark.parametrize(("name", "stem"), [("01", "01_second"), ("01b", "01b_third"), ("01_second.ipynb", "01_second")])
def test_a_number_does_not_mean_the_page_with_a_letter_behind_it(course, name, stem):
    (course[0] / "01b_third.ipynb").write_text("{}")
    assert run.find_page(name, course[0]).stem == stem


def test_the_stamp_follows_what_decides_the_installation(tmp_path):
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    first = run.stamp(tmp_path)
    assert first == run.stamp(tmp_path)
    (tmp_path / "constraints.txt").write_text("numpy==2.0.0\n")
    assert run.stamp(tmp_path) != first


@pytest.mark.parametrize(
    ("system", "gpu", "answers", "cpu"),
    [("Linux", False, True, True), ("Linux", True, True, False), ("Linux", False, False, False), ("Darwin", False, True, False)],
)
def test_the_cpu_build_is_taken_on_linux_without_a_gpu_where_its_index_answers(system, gpu, answers, cpu):
    assert (run.CPU_INDEX in run.torch_source(system, gpu, answers)) is cpu


def test_an_address_that_does_not_answer_is_not_reachable():
    assert not run.reachable(f"http://127.0.0.1:{run.free_port(None)}/", seconds=2)
    assert not run.reachable("not an address", seconds=2)


def test_a_taken_port_is_refused_and_otherwise_the_next_is_found():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(run.Stop, match=f"{port}: in use"):
            run.free_port(port)
    assert run.free_port(port) == port


def test_a_failed_step_says_what_to_do_and_shows_the_end_of_its_output(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(run.Stop, match="no route to host") as caught:
        run.follow("Installing", [sys.executable, "-c", "print('no route to host'); raise SystemExit(3)"], "Check the network.", log)
    assert "What to do: Check the network." in str(caught.value) and str(log) in str(caught.value)


def test_a_step_that_succeeds_is_quiet_in_its_log(tmp_path, capsys):
    run.follow("Installing", [sys.executable, "-c", "print('fine')"], "", tmp_path / "log")
    assert "Installing" in capsys.readouterr().out
    assert run.last_line(tmp_path / "log") == "fine"


def test_an_existing_environment_is_used_again_and_a_broken_one_replaced(tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(run, "follow", lambda title, command, advice, log: steps.append(command))
    monkeypatch.setattr(run, "VENV", Path(sys.prefix))
    monkeypatch.setattr(run, "venv_python", lambda: Path(sys.executable))
    assert run.make_venv(tmp_path / "log")[0] == sys.executable and not steps
    monkeypatch.setattr(run, "venv_python", lambda: tmp_path / "bin" / "python")
    assert "--python" in run.make_venv(tmp_path / "log")
    assert "--clear" in steps[0]


def test_arguments_of_the_test_command_choose_or_add():
    assert run.pytest_command([])[-2:] == ["notebooks", "tests"]
    assert run.pytest_command(["-k", "blur"])[-4:] == ["-k", "blur", "notebooks", "tests"]
    assert run.pytest_command(["tests/test_run.py"])[-1] == "tests/test_run.py"


def test_settings_of_the_caller_win(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "venv_python", lambda: Path(sys.executable))
    code = "import os, sys; sys.exit(os.environ['RESTOREKIT_SIZE'] == 'smoke')"
    monkeypatch.setenv("RESTOREKIT_SIZE", "smoke")
    assert run.inside("-c", code, RESTOREKIT_SIZE="quick") == 1
    monkeypatch.delenv("RESTOREKIT_SIZE")
    assert run.inside("-c", code, RESTOREKIT_SIZE="quick") == 0


def test_help_names_every_command():
    done = subprocess.run([sys.executable, str(ROOT / "run.py"), "--help"], capture_output=True, text=True, check=True)
    for command in ("test", "restore", "reset", "sync", "execute", "--no-browser", "--port"):
        assert command in done.stdout


def test_an_unknown_command_is_refused_before_anything_is_installed():
    done = subprocess.run([sys.executable, str(ROOT / "run.py"), "tset"], capture_output=True, text=True)
    assert done.returncode == 2 and "tset" in done.stderr


def test_an_old_python_is_told_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(run.sys, "version_info", (3, 10, 4))
    assert run.main([]) == 1
    assert "3.11 or newer" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="bash")
def test_the_ci_script_is_executable_and_calls_the_test_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    assert "python3 run.py test" in script.read_text(encoding="utf-8")
