"""The system prompts. A file is never changed once released: a better one is a new version."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


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
    return f"{name}.v{version}.txt" in _files()


@cache
def _files() -> frozenset[str]:
    return frozenset(file.name for file in resources.files(__name__).iterdir())
