"""The same three endpoints as others would write them, for `make bench` to run beside ours.

Each does what its documents show and nothing that ours does for safety: no limits, no idempotency,
no audit, no encryption, no row security. `floor` is the least that can be called durable.
Each is told by the environment where its database and Redis are, see `tests.bench.contenders`.
"""
