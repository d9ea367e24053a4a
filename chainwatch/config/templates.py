"""The ``[templates.NAME]`` tables: what messages say, in the operator's words."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from chainwatch.config.types import Expected, Table, Text


def _compiled(source: str) -> str:
    from chainwatch.grammar.templates import Template, TemplateError  # late: Jinja2 is slow to import

    try:
        Template(source)
    except TemplateError as error:
        raise Expected("a template in Jinja2's language", str(error)) from None
    return source


TemplateText = Annotated[str, Field(min_length=1), AfterValidator(_compiled)]


class TemplateSettings(Table):
    """What messages say of each alert, in place of the default; a receiver or route names it by `template`."""

    name: str = Field(description="The table's key.")
    title: TemplateText | None = Field(
        default=None, description="In place of the alert's name.", examples=["{{ labels.flow }} is late"]
    )
    body: TemplateText | None = Field(
        default=None,
        description="In place of summary and description; each line of it is one of the message.",
    )
    fields: dict[Text, TemplateText] | None = Field(
        default=None, description="In place of the facts: name → value. An empty value is left out."
    )
