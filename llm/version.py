"""Which results may stand for one another."""

# Raised whenever our own code makes another result of the same text and the same replies.
# Results of another version are not offered again (see jobs/cache.py).
CHAIN_VERSION = 1
