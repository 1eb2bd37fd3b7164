"""What is sealed opens in its place, with its key, unchanged; and nowhere else."""

import base64
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import checks, crypto
from config.crypto import BadKeys, CannotUnseal, KeyRing
from deploy.local.stack import ROOT

PLACE = "table.column:1"


def entry(key_id, key=None):
    return f"{key_id}:{base64.b64encode(key or os.urandom(32)).decode()}"


@given(st.binary(max_size=300), st.text(max_size=40))
def test_what_is_sealed_opens_in_its_place(plaintext, place):
    place = place.encode(errors="ignore").decode()

    blob = crypto.seal(plaintext, place)

    assert crypto.unseal(blob, place) == plaintext
    assert plaintext not in blob or len(plaintext) < 4


def test_the_same_text_is_never_sealed_to_the_same_bytes():
    assert crypto.seal(b"text", PLACE) != crypto.seal(b"text", PLACE)


@pytest.mark.parametrize("place", ["table.column:2", "table.other:1", "other.column:1", "", "x"])
def test_in_another_place_it_stays_shut(place):
    blob = crypto.seal(b"text", PLACE)

    with pytest.raises(CannotUnseal):
        crypto.unseal(blob, place)


def test_no_byte_of_it_can_be_changed_or_taken_away():
    blob = crypto.seal(b"text", PLACE)

    for at in range(len(blob)):
        for changed in (blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :], blob[:at]):
            with pytest.raises(CannotUnseal):
                crypto.unseal(changed, PLACE)


def test_the_first_key_seals_and_each_opens_what_it_has_sealed():
    old, new = entry("k1"), entry("k2")
    before = KeyRing(old).seal(b"text", PLACE)

    ring = KeyRing(f"{new},{old}\n")
    after = ring.seal(b"text", PLACE)

    assert (crypto.key_id_of(before), crypto.key_id_of(after)) == ("k1", "k2")
    assert ring.unseal(before, PLACE) == ring.unseal(after, PLACE) == b"text"
    with pytest.raises(CannotUnseal, match="lacks the key 'k1'"):
        KeyRing(new).unseal(before, PLACE)


def test_another_key_of_the_same_name_opens_nothing():
    blob = KeyRing(entry("k1")).seal(b"text", PLACE)

    with pytest.raises(CannotUnseal):
        KeyRing(entry("k1")).unseal(blob, PLACE)


def test_a_ring_does_not_show_its_keys():
    key = os.urandom(32)

    shown = repr(KeyRing(entry("k1", key)))

    assert shown == "KeyRing(k1)"


WRONG = [
    ("", "Key 1 has no id"),
    ("k1", "has 0 bytes, not 32"),
    ("k1:%%%", "is not base64"),
    (entry("k1", b"short"), "has 5 bytes, not 32"),
    (entry("k 1"), "Key 1 has no id"),
    (f"{entry('k1')},", "Key 2 has no id"),
    (f"{entry('k1')},{entry('k1')}", "twice"),
]


@pytest.mark.parametrize(("text", "reason"), WRONG)
def test_keys_that_are_none_are_refused_at_the_start(text, reason, settings):
    settings.ENCRYPTION_KEYS = text

    [found] = checks.encryption_keys_are_sound(None)

    assert found.id == "guidepost.E005"
    assert reason in found.msg
    with pytest.raises(BadKeys, match=reason):
        crypto.seal(b"text", PLACE)


def test_what_is_refused_is_not_shown(settings):
    settings.ENCRYPTION_KEYS = "k1:c2VjcmV0IHNlY3JldA=="

    [found] = checks.encryption_keys_are_sound(None)

    assert "c2VjcmV0" not in f"{found}"


def test_sound_keys_pass(settings):
    settings.ENCRYPTION_KEYS = f"{entry('k1')},{entry('k2')}"

    assert checks.encryption_keys_are_sound(None) == []


def test_one_key_under_two_names_is_refused(settings):
    key = os.urandom(32)
    settings.ENCRYPTION_KEYS = f"{entry('k1', key)},{entry('k2', key)}"

    assert [e.id for e in checks.encryption_keys_are_sound(None)] == ["guidepost.E006"]


@pytest.mark.parametrize("name", ["SECRET_KEY", "API_KEY_PEPPER"])
@pytest.mark.parametrize(
    "written", [lambda k: base64.b64encode(k).decode(), bytes.hex, lambda k: k.decode()]
)
def test_a_key_that_serves_elsewhere_is_refused(settings, name, written):
    key = b"0123456789abcdef0123456789abcdef"
    setattr(settings, name, written(key))
    settings.ENCRYPTION_KEYS = entry("k1", key)

    assert [e.id for e in checks.encryption_keys_are_sound(None)] == ["guidepost.E007"]


def check_in_a_process_of_its_own(**environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("ENCRYPTION_KEYS")}
    env |= {"DJANGO_SETTINGS_MODULE": "config.settings", **environment}
    command = [sys.executable, "manage.py", "check"]
    return subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)


def test_nothing_starts_without_a_key():
    done = check_in_a_process_of_its_own()

    assert done.returncode == 1
    assert "Set the ENCRYPTION_KEYS environment variable" in done.stderr


def test_keys_may_come_from_a_file(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(f"{entry('k2')},{entry('k1')}\n")
    bad.write_text("k1:c2hvcnQ=\n")

    assert check_in_a_process_of_its_own(ENCRYPTION_KEYS_FILE=str(good)).returncode == 0
    refused = check_in_a_process_of_its_own(ENCRYPTION_KEYS_FILE=str(bad))
    assert "guidepost.E005" in refused.stderr
