import hashlib
from pathlib import Path

import pytest

from llm import prompts
from llm.schemas import Checklist, Summary, response_format

# What OpenAI's strict mode refuses inside a schema.
_UNSUPPORTED = {"minLength", "maxLength", "minItems", "maxItems", "default", "pattern", "format"}


def objects(node):
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for child in node.values():
            yield from objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child)


@pytest.mark.parametrize("model", [Summary, Checklist])
def test_a_schema_fits_the_strict_mode_of_openai(model):
    wanted = response_format(model)

    assert wanted["json_schema"]["name"] == model.__name__.lower()
    assert wanted["json_schema"]["strict"] is True
    found = list(objects(wanted["json_schema"]["schema"]))
    assert len(found) >= 2
    for node in found:
        assert node["additionalProperties"] is False
        assert set(node["required"]) == set(node["properties"])
    assert not any(f"'{word}':" in str(wanted) for word in _UNSUPPORTED)


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("summarize", "ee26c31831a817bcd082152de6572f29b9032b2e1d4e03ed1ce861640d954d94"),
        ("checklist", "e6117bf2faf662453889a578f672736ed76776495057fb03960dd82927e6f37f"),
    ],
)
def test_a_released_prompt_never_changes(name, sha256):
    prompt = prompts.load(name, 1)

    assert prompt.sha256 == sha256
    assert prompt.label == f"{name}.v1"


def test_every_prompt_file_is_named_after_its_version():
    folder = Path(prompts.__file__).parent

    for path in folder.glob("*.txt"):
        name, version, _ = path.name.split(".")
        prompt = prompts.load(name, int(version.removeprefix("v")))
        assert prompt.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
