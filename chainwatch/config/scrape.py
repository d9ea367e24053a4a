"""What is scraped: addresses of other programs' metrics."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from chainwatch.config.types import AtLeastOne, Expected, FilePath, PositiveDuration, Secret, Table, Text
from chainwatch.grammar.durations import parse_duration

TARGETS_MAX = 1_000
_JOB, _INSTANCE = "job", "instance"


def _target(text: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        is_good = bool(parts.hostname) and parts.port not in (None, 0) and parts.netloc == text
    except ValueError:
        is_good = False
    if not is_good or "@" in text or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise Expected(
            'HOST:PORT, such as "10.0.0.5:9100"', "the rest of an address stands in scheme and path"
        )
    return text


def _path(text: str) -> str:
    if not re.fullmatch(r"/[\x21-\x7e]*", text) or "#" in text:
        raise Expected("a path that begins with /, such as /metrics or /probe?module=http")
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) or name.startswith("__"):
            raise Expected(
                "names of labels with letters, digits and `_`, no digit first, without `__` before"
            )
        if name == _JOB:
            raise Expected("labels other than `job`, which is a key of its own")
    return labels


Target = Annotated[str, AfterValidator(_target)]
Targets = Annotated[
    list[Target],
    Field(min_length=1, max_length=TARGETS_MAX),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]


class ScrapeSettings(Table):
    """Metrics of other programs that are read every `interval`, in Prometheus' text format or OpenMetrics 1.0.

    Each target has the series `up`, `scrape_duration_seconds`, `scrape_samples_scraped`,
    `scrape_samples_post_metric_relabeling` and `scrape_series_added`, as in Prometheus. Redirects are not followed.
    """

    job: Text = Field(description="The label `job` of all its series.")
    targets: Targets = Field(
        description="Where to scrape, as `HOST:PORT`: the label `instance`. One, or a list."
    )
    interval: PositiveDuration = Field(
        default=parse_duration("15s"), description="Time between two scrapes of a target."
    )
    timeout: PositiveDuration | None = Field(
        default=None,
        description="Time within which a target must answer, no longer than `interval`. "
        "Default: 10s, or `interval` where that is less.",
    )
    scheme: Literal["http", "https"] = Field(default="http", description="How targets are asked.")
    path: Annotated[str, AfterValidator(_path)] = Field(
        default="/metrics", description="Path, with a query if wanted."
    )
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = Field(
        default={}, description="Further labels of all its series; `instance` replaces that of the targets."
    )
    honor_labels: StrictBool = Field(
        default=False,
        description="Keep labels of a target's own where they collide with those given here. "
        "Default: they are renamed to `exported_…`.",
    )
    honor_timestamps: StrictBool = Field(
        default=True, description="Keep times that a target gives its samples."
    )
    username: Text | None = Field(default=None, description="User of HTTP's basic authentication.")
    password: Secret | None = Field(default=None, description="Its password (secret).")
    token: Secret | None = Field(default=None, description="Bearer token to send (secret).")
    ca: FilePath | None = Field(
        default=None, description="PEM file with the authorities that sign the targets' certificates."
    )
    cert: FilePath | None = Field(
        default=None, description="PEM file with the certificate to present to the targets."
    )
    key: FilePath | None = Field(default=None, description="PEM file with that certificate's private key.")
    server_name: Text | None = Field(
        default=None, description="Name that the targets' certificates must have. Default: the host's."
    )
    insecure: StrictBool = Field(default=False, description="Accept any certificate.")
    sample_limit: AtLeastOne = Field(
        default=50_000,
        description="Samples of one answer; one with more is a failed scrape, as with each of these limits.",
    )
    label_limit: AtLeastOne = Field(default=64, description="Labels of one series.")
    label_name_length_limit: AtLeastOne = Field(default=512, description="Characters of a label's name.")
    label_value_length_limit: AtLeastOne = Field(default=4_096, description="Characters of a label's value.")
    body_size_limit: AtLeastOne = Field(default=2**24, description="Bytes of an answer, decompressed.")

    @property
    def patience(self) -> float:
        """Seconds within which a target must answer."""
        return min(self.interval, _TIMEOUT) if self.timeout is None else self.timeout

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.timeout is not None and self.timeout > self.interval:
            raise Expected("a `timeout` no longer than `interval`")
        if (self.username is None) != (self.password is None):
            raise Expected("`username` and `password` together, or neither")
        if self.username is not None and self.token is not None:
            raise Expected("either `token`, or `username` and `password`")
        if self.key is not None and self.cert is None:
            raise Expected("`cert` with `key`")
        if self.scheme == "http" and (self.ca or self.cert or self.server_name or self.insecure):
            raise Expected('`scheme = "https"` with `ca`, `cert`, `server_name` and `insecure`')
        return self


_TIMEOUT = 10.0
