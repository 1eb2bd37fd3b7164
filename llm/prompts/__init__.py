"""The system prompts. A file is never changed once released: a better one is a new version.

`released.toml` holds the SHA-256 of every file, `labels.toml` which versions are in use.
"""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_FILE = re.compile(r"(?P<name>[a-z_]+)\.v(?P<version>[1-9]\d{0,3})\.txt")


@dataclass(frozen=True)
class Prompt:
    name: str
    version: int
    text: str
    sha256: str

    @property
    def label(self) -> str:
        """How a result names it: "summarize.v1"."""
        return f"{self.name}.v{self.version}"


@cache
def load(name: str, version: int) -> Prompt:
    """Read one prompt. Raises FileNotFoundError if there is none of that name and version."""
    raw = resources.files(__name__).joinpath(f"{name}.v{version}.txt").read_bytes()
    return Prompt(name, version, raw.decode("utf-8"), hashlib.sha256(raw).hexdigest())


def exists(name: str, version: int) -> bool:
    """Whether there is a prompt of that name and version, whatever the name looks like."""
    return any((prompt.name, prompt.version) == (name, version) for prompt in every())


@cache
def every() -> tuple[Prompt, ...]:
    """All prompts there are, by name and version."""
    files = (_FILE.fullmatch(file.name) for file in resources.files(__name__).iterdir())
    found = [(file["name"], int(file["version"])) for file in files if file]
    return tuple(load(name, version) for name, version in sorted(found))


def labelled(label: str) -> dict[str, int]:
    """The version of each prompt that a label stands for. Raises KeyError for an unknown label."""
    return dict(labels()[label])


@cache
def labels() -> dict[str, dict[str, int]]:
    return {label: dict(versions) for label, versions in _toml("labels").items()}


@cache
def released() -> dict[str, str]:
    """Of each released prompt, as in "summarize.v1", the SHA-256 it must have."""
    return dict(_toml("released"))


def _toml(name: str) -> dict[str, Any]:
    raw = resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(raw)
