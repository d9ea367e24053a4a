"""The documentation's pages and the configurations in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import tomli

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its page, the heading above it, its language, its text."""

    page: str
    heading: str
    language: str
    text: str

    @property
    def is_configuration(self) -> bool:
        """Whether it is a whole configuration and no excerpt."""
        return self.language == "toml" and {"networks", "flows"} <= tomli.loads(self.text).keys()


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = path.read_text(encoding="utf-8")
    headings = [(match.start(), match[1]) for match in _HEADING.finditer(prose(text, keep_length=True))]
    found = []
    for match in _BLOCK.finditer(text):
        above = [name for start, name in headings if start < match.start()]
        found.append(Block(path.name, above[-1] if above else "", match[1], match[2]))
    return found


def configurations() -> list[Block]:
    """Every whole configuration in the documentation."""
    return [block for path in PAGES for block in blocks(path) if block.is_configuration]


def prose(text: str, *, keep_length: bool = False) -> str:
    """A page's text without its fenced blocks."""
    return _BLOCK.sub(lambda match: " " * len(match[0]) if keep_length else "", text)


def variables(config: str) -> dict[str, str]:
    """A URL for every environment variable that a configuration names."""
    return {name: f"https://{name.lower()}.example/x" for name in re.findall(r"\$\{([A-Z_]+)\}", config)}
