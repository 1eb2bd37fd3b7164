"""What serves the OpenAPI document, and what it begins with."""

import gzip
import json

import pytest

URL = "/openapi.json"


@pytest.fixture
def document(client):
    return json.loads(client.get(URL).content)


def test_it_is_compressed_for_who_can_read_that(client):
    plain = client.get(URL)
    packed = client.get(URL, headers={"Accept-Encoding": "br, gzip;q=0.5"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 5
    assert "Content-Encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_who_has_it_is_not_sent_it_again(client):
    first = client.get(URL)

    again = client.get(URL, headers={"If-None-Match": first.headers["ETag"]})
    other = client.get(URL, headers={"If-None-Match": '"another"'})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert other.status_code == 200
    assert first.headers["Cache-Control"] == "public, max-age=300"


def test_what_it_is_not_is_refused_as_everywhere(client):
    assert client.post(URL).status_code == 405
    assert client.get(URL, headers={"Accept": "image/png"}).status_code == 406
    assert client.head(URL).status_code == 200
    named = client.get(URL, headers={"Accept": "application/vnd.oai.openapi+json"})
    assert named.headers["Content-Type"] == "application/vnd.oai.openapi+json"


def test_it_begins_with_the_first_token_and_the_first_job(document):
    said = document["info"]["description"]

    assert said.index("client_credentials") < said.index("$URL/jobs ")
    assert "](/docs/errors)" in said


def test_every_tag_is_described_and_what_comes_first_is_first(document):
    tags = [tag["name"] for tag in document["tags"]]
    used = {
        tag for path in document["paths"].values() for each in path.values() for tag in each["tags"]
    }

    assert tags[:2] == ["Tokens", "Jobs"]
    assert set(tags) == used
