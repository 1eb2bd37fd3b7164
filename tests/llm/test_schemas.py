import pytest

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
