"""docs/presets.md, from the presets themselves."""

from __future__ import annotations

import textwrap

from chainwatch.init.presets import PRESETS, Preset

INTRODUCTION = """\
# Presets

<!-- Written by scripts/docs.py from chainwatch/init/presets: change those, then run it. -->

`chainwatch init --preset NAME` writes a configuration for a protocol, with its ABI files, the addresses of its
contracts, the numbers by which its events name networks, and the networks' block explorers, for links in alerts. Some have
[invariants](invariant-kinds.md) of their contracts, too: what must hold besides transfers.
`--network NAME` (repeatable) chooses among the networks it knows. The deadlines below are sensible to begin with:
replace them by twice the 99th percentile that `chainwatch report latency` shows, and leave out what does not concern
you by a [`where`](conditions.md) on the opening step.

Every preset is tested with events that are encoded from the published signatures: transfers in time, late, repeated and
never funded. The addresses are written into your configuration; compare them with the protocol's own documentation before
you rely on them.
"""


def page() -> str:
    """The whole page in Markdown."""
    contents = "\n".join(
        f"- [{preset.title}](#{_anchor(preset)}): `{preset.name}`" for preset in PRESETS.values()
    )
    return "\n".join([INTRODUCTION, contents, "", *map(_section, PRESETS.values())])


def _section(preset: Preset) -> str:
    """What one preset is, and its flow on its first networks."""
    about = preset.about
    networks = (
        (preset.hub, *_spokes(preset)[:1]) if preset.hub else preset.networks[: preset.most_networks or None]
    )
    return "\n\n".join(
        [
            f"## {preset.title}",
            f"`chainwatch init --preset {preset.name}`{_needs(preset)}",
            _paragraph(f"**Sees** {about.sees}"),
            _paragraph(f"**Does not see** {about.blind}"),
            *([_paragraph(f"**Orphans:** {about.orphans}")] if about.orphans else []),
            _paragraph(f"**From:** {about.source}"),
            _paragraph(f"**Networks:** {', '.join(preset.networks)}."),
            *(
                f"```toml\n{text.strip()}\n```"
                for text in (preset.flows(networks), _invariants(preset))
                if text
            ),
            "",
        ]
    )


def _invariants(preset: Preset) -> str:
    """Return the invariants on one network, or on the hub and one other."""
    return preset.invariants((preset.hub, *_spokes(preset)[:1]) if preset.hub else preset.networks[:1])


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _needs(preset: Preset) -> str:
    return " with `--address NETWORK=0x…` for each network" if preset.own_contract else ""


def _spokes(preset: Preset) -> list[str]:
    return [network for network in preset.networks if network != preset.hub]


def _anchor(preset: Preset) -> str:
    """The heading's anchor as GitHub makes it."""
    kept = "".join(letter for letter in preset.title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")
