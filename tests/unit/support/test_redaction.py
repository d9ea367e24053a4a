"""What is secret in a URL, and that no spelling of it stays in what others say (S9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.support.redaction import Redactor, parts_of, parts_of_url

URL = "https://someuser:pa55@host.example/v3/lettersonly/p%2FthKEY1?token=%26queryKEY%3D&x=1"


@pytest.mark.parametrize(
    "said",
    [
        *(
            "someuser",
            "someuser:pa55",
            "'pa55'",
            "lettersonly",
            "p%2FthKEY1",
            "p/thKEY1",
            "%26queryKEY%3D",
            "&queryKEY=",
        ),
        *("P%2FTHKEY1", "p%2fthkey1", "LETTERSONLY"),
        "Basic c29tZXVzZXI6cGE1NQ==",
        "/v3/lettersonly/p%2FthKEY1?token=%26queryKEY%3D&x=1",
        URL,
    ],
)
def test_no_spelling_of_a_key_stays_in_what_its_own_server_says(said: str) -> None:
    redacted = Redactor(parts_of_url(URL))(f"<{said}>")
    assert "***" in redacted
    for secret in ("someuser", "pa55", "lettersonly", "thkey", "querykey", "c29t"):
        assert secret not in redacted.lower()


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example",
        "https://host.example/",
        "https://host.example//v3/?x=&y=1#",
        "https://:@host.example/%20%20%20%20/webhooks",
    ],
)
def test_what_is_no_key_stays(url: str) -> None:
    said = "host.example/v3 has 1 of y"
    assert Redactor(parts_of_url(url))(said) == said
    assert Redactor(parts_of(url))("in chainwatch and webhooks") == "in chainwatch and webhooks"


def test_a_key_of_letters_is_reported_from_the_words_of_a_path() -> None:
    struck = Redactor(parts_of("https://host.example/webhooks/lettersOnly/averyverylonglowercasekey"))
    assert struck("webhooks lettersOnly averyverylonglowercasekey") == "webhooks *** ***"


@given(
    st.text() | st.sampled_from(["http://[x-secret", "Bearer a://[]@:x/secret", "x://u:p:q@[::1/?=&%"]),
    st.text(),
)
def test_any_text_is_a_secret_or_not_one(secret: str, said: str) -> None:
    redact = Redactor(parts_of(secret))
    shown = redact(f"{said}{secret}")
    if len(secret.strip()) >= 8 and not secret.startswith("sqlite:"):
        assert secret.strip() not in shown
