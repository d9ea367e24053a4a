"""Nomad: a Home sends, a Replica for each remote network receives.

Source: the contracts Home and Replica, and Nomad's production configuration.
"""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Networks, Preset

HUB = "ethereum"
HOMES = {
    "ethereum": "0x92d3404a7E6c91455BbD81475Cd9fAd96ACFF4c8",
    "moonbeam": "0x8F184D6Aa1977fd2F9d9024317D0ea5cF5815b6f",
    "avalanche": "0x063e871f8DB991CEAd34B557A00B157B360084cc",
}
REPLICAS = {
    ("moonbeam", "ethereum"): "0x049b51e531Fd8f90da6d92EA83dC4125002F20EF",
    ("avalanche", "ethereum"): "0x5D94309E5a0090b165FA4181519701637B6DAEBA",
    ("ethereum", "moonbeam"): "0x7F58bb8311DB968AB110889F2Dfa04ab7E8E831B",
    ("ethereum", "avalanche"): "0x6792e656d84476B875D370B25492F9EfC7246376",
}
"""(from, to) → the contract on the second network that receives what the first one sends."""
DOMAINS = {"ethereum": 6648936, "moonbeam": 1650811245, "avalanche": 1635148152}

HOME = """\
[contracts.home]
abi = "abi/nomad.json"
address = {{ {addresses} }}
"""
REPLICA = """
[contracts.replica-{origin}-on-{destination}]
abi = "abi/nomad.json"
address = {{ {destination} = "{address}" }}
"""
FLOW = """
[flows.nomad-{origin}-to-{destination}]
contract = "home"
key = "messageHash"

[flows.nomad-{origin}-to-{destination}.opens]
step = "dispatch"
event = "Dispatch"
on = "{origin}"
destination = "{destination}"
# The upper half of this number is the destination's domain.
where = "destinationAndNonce // 2**32 == {domain}"

[[flows.nomad-{origin}-to-{destination}.expects]]
step = "process"
event = "Process"
contract = "replica-{origin}-on-{destination}"
on = "{destination}"
origin = "{origin}"
# Half an hour in which fraud can be proven, then a processor's turn.
within = "2h"
severity = "P1"
assert = "success"
"""


def _contracts(networks: Networks) -> str:
    home = HOME.format(addresses=", ".join(f'{network} = "{HOMES[network]}"' for network in networks))
    return home + "".join(
        REPLICA.format(origin=a, destination=b, address=REPLICAS[a, b]) for a, b in _routes(networks)
    )


def _flows(networks: Networks) -> str:
    return "".join(FLOW.format(origin=a, destination=b, domain=DOMAINS[b]) for a, b in _routes(networks))


def _routes(networks: Networks) -> list[tuple[str, str]]:
    return [(a, b) for a in networks for b in networks if (a, b) in REPLICAS]


PRESET = Preset(
    name="nomad",
    title="Nomad",
    about=About(
        sees="every message that a Home dispatches, and its processing by the Replica on the destination.",
        blind="what a message says: the amounts stand in its body; and the updater's roots and fraud proofs.",
        orphans="a message that is processed though no Home dispatched it, as in August 2022: P0 as soon as the "
        "origin has been read ten minutes past it.",
        source="the contracts Home and Replica, and Nomad's production configuration.",
    ),
    abis=("nomad",),
    networks=tuple(HOMES),
    contracts=_contracts,
    flows=_flows,
    hub=HUB,
)
