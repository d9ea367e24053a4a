"""Foreign text in Telegram."""

import pytest

from chainwatch.alerting.providers.telegram_html import prose


@pytest.mark.parametrize(
    "host", ["claim\U0001f525.com", "evil-.com", "evi\u0301.com", "evil\u2011.com", "\u092d\u093e.com"]
)
def test_no_host_name_becomes_a_link_whatever_stands_before_its_dot(host: str) -> None:
    assert "." not in prose(f"see {host} now")
