"""What was checked, and what leaked."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Leak:
    """part is the pass it was found in; where is a route and method, or a table."""

    part: str
    where: str
    who: str
    what: str

    def __str__(self) -> str:
        who = f" as {self.who}" if self.who else ""
        return f"LEAK [{self.part}] {self.where}{who}: {self.what}"


@dataclass
class Report:
    routes: int = 0
    checks: int = 0
    leaks: list[Leak] = field(default_factory=list)
    part: str = ""

    def check(self, holds: bool, where: str, who: str, what: str) -> None:
        self.checks += 1
        if not holds:
            self.leaks.append(Leak(self.part, where, who, what))

    def nothing_of(self, found: Iterable[object], where: str, what: str) -> None:
        """One check of each kind of thing that must not be there; a leak for each that is."""
        self.checks += 1
        self.leaks += [Leak(self.part, where, "", f"{what} {each}".strip()) for each in found]
