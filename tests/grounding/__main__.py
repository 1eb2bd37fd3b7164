"""`python -m tests.grounding` prints how many faithful items are flagged, and how many mutants."""

import sys

from tests.grounding.report import faithful_lines, mutant_lines

if __name__ == "__main__":
    for line in [*faithful_lines(), *mutant_lines()]:
        sys.stdout.write(f"{line}\n")
