"""The README's promises: its file tree is the tree, its commands exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click

from tamis.cli import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> dict[str, str]:
    """Path -> purpose, as the README draws it."""
    block = README.split("<!-- tree -->")[1].split("```")[1]
    entries: dict[str, str] = {}
    parent = ""
    for line in block.splitlines()[1:]:
        name, _, purpose = line.strip().partition(" ")
        if line.startswith("  "):
            entries[parent + name.rstrip("/")] = purpose.strip()
        else:
            parent = name if name.startswith("src/") else ""
            entries[name.rstrip("/")] = purpose.strip()
    return entries


def test_what_the_tree_names_exists_and_has_a_purpose() -> None:
    for path, purpose in tree().items():
        assert (ROOT / path).exists(), path
        assert purpose or path == "src/tamis", path


def test_the_tree_names_every_module_and_folder() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "src/tamis"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    here = {Path(path).parts[2] for path in listed}
    quiet = {"__init__.py", "__main__.py", "py.typed"}
    missing = {name for name in here - quiet if f"src/tamis/{name}" not in tree()}
    assert missing == set()


def test_commands_that_the_documents_name_exist() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        code = "\n".join([*re.findall(r"```sh\n(.*?)```", text, re.DOTALL), *re.findall(r"`(tamis .*?)`", text)])
        for name in re.findall(r"^tamis ([a-z]+)", code, re.MULTILINE):
            assert name in cli.commands, f"{path.name} names `tamis {name}`"


def test_every_command_explains_itself() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, f"{name} {option.name}"


def test_the_lock_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert all(re.match(r"^[\w.-]+==[\w.+!-]+( ;.*)?$", line) for line in lock.splitlines())
