"""How much goes into a call, and comes out of it. It loads nothing else."""

from dataclasses import dataclass

MAX_CHARACTERS = 12_000  # of passages in one call: about 3,000 tokens, where recall is still good
MAX_REPAIRS = 4  # calls; what does not fit into them stays as it is, and is listed as such
MAX_OUTPUT = 16_384  # tokens of any reply
BASE_OUTPUT = 4_096  # of a reply to next to nothing
OUTPUT_PER_BYTE = 2  # of data: room to quote it, in the JSON of an item


@dataclass(frozen=True, slots=True)
class Tokens:
    prompt: int
    completion: int

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def max_output(data_bytes: int) -> int:
    return min(MAX_OUTPUT, BASE_OUTPUT + OUTPUT_PER_BYTE * data_bytes)
