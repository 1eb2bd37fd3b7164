"""A stand-in for a language model: deterministic, modest, honest about itself, and offline.

It reads the same messages as a model, finds normative statements by rule and quotes them. It
serves the demo, the tests and outages; its replies always say `guidepost-offline-1`.
"""

from llm.offline.server import MODEL, OfflineServer

__all__ = ["MODEL", "OfflineServer"]
