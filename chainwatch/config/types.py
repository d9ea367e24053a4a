"""The types of values in the configuration, and the errors of invalid ones.

Errors name what was expected and never repeat the value: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
)

from chainwatch.grammar import calendars, matchers
from chainwatch.grammar.durations import EXAMPLES, parse_duration
from chainwatch.model import SEVERITY_NAMES
from chainwatch.support.keccak import checksum_address

SIGNING_KEY_MIN = 4
"""The fewest characters of a signing key."""

_UrlText = TypeVar("_UrlText", str, SecretStr)
_Checked = TypeVar("_Checked")


class Table(BaseModel):
    """What every table of the file has in common: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)


class Expected(ValueError):
    """``str(error)`` completes "expected …"; ``hint`` is how to fix it."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.hint = hint


OWN_HEADERS = frozenset(
    {
        "content-length",
        "content-type",
        "idempotency-key",
        "transfer-encoding",
        "x-chainwatch-signature",
        "x-chainwatch-timestamp",
    }
)
"""Names, in small letters, of headers that chainwatch sets itself for each message."""


def normal_severity(value: object) -> str:
    """Return a severity as ``P0`` … ``P3`` for any accepted spelling, in any case."""
    severity = SEVERITY_NAMES.get(value.lower()) if isinstance(value, str) else None
    if severity is None:
        raise Expected("a severity: P0 (critical), P1 (high), P2 (medium, warning) or P3 (low, info)")
    return severity


def _duration(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Expected(
            f"a duration such as {EXAMPLES}", f'a bare number has no unit: write "{value}s" for seconds'
        )
    if not isinstance(value, str):
        raise Expected(f"a duration such as {EXAMPLES}")
    return parse_duration(value)


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise Expected("a duration above zero")
    if seconds < 0.001:  # in whole milliseconds, as rules are evaluated, it would be none
        raise Expected("a duration of 1ms or more")
    return seconds


def checked_address(value: object) -> str:
    """Return an address of a contract with its EIP-55 checksum. Raises `Expected`."""
    if not isinstance(value, str) or not re.fullmatch("0x[0-9a-fA-F]{40}", value):
        raise Expected("an address: 0x and 40 hex digits")
    if int(value, 16) == 0:
        raise Expected("an address of a contract, which the zero address is not")
    right = checksum_address(bytes.fromhex(value[2:]))
    if value not in (right, "0x" + value[2:].lower(), "0x" + value[2:].upper()):
        raise Expected(
            "an address with a right EIP-55 checksum",
            "a digit or a capital letter is wrong: copy it again, or write it all in lower case",
        )
    return right


def _attribute(value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Expected("an integer or text, as the value of a free attribute")
    return value


def _one_or_more(value: object) -> Any:
    return [value] if isinstance(value, str | int) else value


def _match(match: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return ``match`` with severities by their short names."""
    if "severity" in match:
        match = match | {"severity": [_severity_test(value) for value in match["severity"]]}
    return match


def _severity_test(value: str) -> str:
    operator = next((o for o in matchers.OPERATORS if value.startswith(o)), "")
    if operator in ("=~", "!~"):
        return value
    return operator + normal_severity(value[len(operator) :])


def _with_patterns(match: dict[str, list[str]]) -> dict[str, list[str]]:
    matchers.build(match)  # raises ValueError for an invalid pattern
    return match


def _checked(parse: Callable[[Any], object]) -> Any:
    """Return a check that ``parse`` accepts a value, which is kept unparsed."""

    def check(value: _Checked) -> _Checked:
        try:
            parse(value)
        except Expected:
            raise
        except ValueError as error:
            raise Expected(str(error)) from None
        return value

    return AfterValidator(check)


def _url(*schemes: str) -> Any:
    """Return a check that a text, open or secret, is a URL of one of ``schemes`` with a host."""
    wanted = f"a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)} and names a host"

    def check(value: _UrlText) -> _UrlText:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        try:
            parts = urlsplit(text)
            good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:  # an impossible port or IPv6 address; the text itself must not be repeated
            good = False
        if not good or not text.isprintable() or re.search(r"\s", text):
            raise Expected(wanted)
        return value

    return AfterValidator(check)


def _explorer(url: str) -> str:
    """Return ``url`` without a slash at its end; refuse what a channel's markup could misread, and what may be secret."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~-]+)*/?", url):
        raise Expected(
            "an explorer's URL such as https://etherscan.io: a host and perhaps a path",
            "leave out user, query and fragment",
        )
    return url.rstrip("/")


def _database_url(url: SecretStr, info: ValidationInfo) -> SecretStr:
    """Return a database URL; SQLite files are made absolute against the folder in the validation context."""
    scheme, _, rest = url.get_secret_value().partition("://")
    file = rest.removeprefix("/")
    if scheme == "sqlite" and rest != file and file not in ("", ":memory:"):
        return SecretStr(f"sqlite:///{_folder(info) / file}")
    if scheme in ("postgresql", "postgres", "postgresql+psycopg") and rest:
        return url
    raise Expected("sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")


def _not_blank(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise Expected("a secret that is not empty")
    return secret


def _header_value(secret: SecretStr) -> SecretStr:
    if not all(char.isprintable() or char == "\t" for char in secret.get_secret_value()):
        raise Expected(
            "a header's value on one line",
            "a line end or another character that is not seen came with it: is there one at the end of the variable?",
        )
    return _not_blank(secret)


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+", name):
        raise Expected("a header's name, such as X-Api-Key")
    if name.lower() in OWN_HEADERS:
        raise Expected("a header that chainwatch does not send by itself")
    return name


def _signing_key(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().strip()) < SIGNING_KEY_MIN:
        raise Expected(
            f"a key of at least {SIGNING_KEY_MIN} characters",
            "a shorter one can be guessed: make one with `openssl rand -hex 32`",
        )
    return secret


def in_folder(path: Path | str, info: ValidationInfo) -> Path:
    """Return ``path`` relative to the config file's folder."""
    return _folder(info) / path


def _folder(info: ValidationInfo) -> Path:
    context: dict[str, Path] = info.context or {}
    return context.get("folder", Path()).absolute()


HeaderName = Annotated[str, AfterValidator(_header_name)]
Secret = Annotated[SecretStr, AfterValidator(_not_blank)]
HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]
SigningKey = Annotated[SecretStr, AfterValidator(_signing_key)]
Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[float, BeforeValidator(_duration)]
PositiveDuration = Annotated[float, BeforeValidator(_duration), AfterValidator(_positive)]
Severity = Annotated[str, BeforeValidator(normal_severity)]
Address = Annotated[str, BeforeValidator(checked_address)]
OptionalAddress = Annotated[str, BeforeValidator(lambda value: "" if value == "" else checked_address(value))]
Addresses = Annotated[list[Address], Field(min_length=1), BeforeValidator(_one_or_more)]
Deployment = Annotated[
    Annotated[Address, Tag("same")] | Annotated[dict[str, Addresses], Tag("each")],
    Discriminator(lambda value: "each" if isinstance(value, dict) else "same"),
]
"""One address on every network, or a table: network → its addresses."""
Attribute = Annotated[int | str, BeforeValidator(_attribute)]
Names = Annotated[list[Text], Field(min_length=1), BeforeValidator(_one_or_more)]
AbiPath = Annotated[Path, AfterValidator(in_folder)]
FilePath = AbiPath
RpcUrl = Annotated[SecretStr, _url("ws", "wss", "http", "https")]
HttpUrl = Annotated[SecretStr, _url("https", "http")]
HttpUrls = Annotated[list[HttpUrl], BeforeValidator(_one_or_more)]
WebLink = Annotated[str, _url("https", "http")]
ExplorerUrl = Annotated[str, _url("https", "http"), AfterValidator(_explorer)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Match = Annotated[dict[str, Names], AfterValidator(_match), AfterValidator(_with_patterns)]
Texts = Annotated[list[Text], BeforeValidator(_one_or_more)]
Zone = Annotated[str, _checked(calendars.check_zone)]
Clocks = Annotated[Texts, _checked(calendars.parse_times)]
Weekdays = Annotated[Texts, _checked(lambda texts: calendars.parse_names(texts, calendars.WEEKDAYS, 0))]
Days = Annotated[Texts, _checked(calendars.parse_days)]
Months = Annotated[Texts, _checked(lambda texts: calendars.parse_names(texts, calendars.MONTHS, 1))]
Years = Annotated[Texts, _checked(calendars.parse_years)]
Digest = Annotated[str, _checked(calendars.parse_schedule)]
AtLeastOne = Annotated[int, Field(ge=1, strict=True)]
