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
