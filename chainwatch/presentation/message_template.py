"""A message's templates as configured: ``[templates.NAME]``. What a channel escapes, it escapes in their results too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import msgspec

from chainwatch.config.templates import TemplateSettings

if TYPE_CHECKING:
    from chainwatch.grammar.templates import Template


class Custom(msgspec.Struct, frozen=True):
    """What templates made of an alert. None: the default stays. ``body``: lines; ``fields``: names and values."""

    title: str | None = None
    body: tuple[str, ...] | None = None
    fields: tuple[tuple[str, str], ...] | None = None


class MessageTemplate(msgspec.Struct, frozen=True):
    """The compiled templates of one ``[templates.NAME]`` table."""

    name: str
    title: Template | None = None
    body: Template | None = None
    fields: Mapping[str, Template] | None = None

    @classmethod
    def of(cls, settings: TemplateSettings) -> Self:
        """Compile ``settings``, which were validated."""
        from chainwatch.grammar.templates import Template  # late: Jinja2 is slow to import

        return cls(
            settings.name,
            None if settings.title is None else Template(settings.title),
            None if settings.body is None else Template(settings.body),
            None if settings.fields is None else {k: Template(v) for k, v in settings.fields.items()},
        )

    def render(self, values: Mapping[str, Any]) -> Custom:
        """Return what is shown of the alert that ``values`` describe. Raises ``ValueError``."""
        title = " ".join(_lines(self.title.render(values))) if self.title else None
        body = _lines(self.body.render(values)) if self.body else None
        if self.fields is None:
            return Custom(title, body)
        rendered = {name: " ".join(_lines(template.render(values))) for name, template in self.fields.items()}
        return Custom(title, body, tuple((name, text) for name, text in rendered.items() if text))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())
