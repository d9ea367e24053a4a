"""What both versions of Circle's CCTP have in common."""

from __future__ import annotations

from collections.abc import Iterator

from chainwatch.init.presets.preset import Networks, Table, invariant_table, pairs

THRESHOLD = "function signatureThreshold() view returns (uint256)"
ATTESTERS = "function getNumEnabledAttesters() view returns (uint256)"
MANAGER = "function attesterManager() view returns (address)"
MINTER = "function localMinter() view returns (address)"
REMOTE = "function remoteTokenMessengers(uint32 domain) view returns (bytes32)"
Row = tuple[str, str, dict[str, object]]
"""Of an invariant: the last part of its name, its kind, and parameters."""
OWNED: Row = ("owner", "owner", {"events": ["OwnershipTransferred"]})
PROXIED = (("code", "implementation", ["Upgraded"]), ("admin", "proxy_admin", ["AdminChanged"]))


def circle_invariants(version: str, table: Table, networks: Networks, *, proxied: bool) -> str:
    """Return what must hold of the transmitter and the messenger of a ``version`` on each of ``networks``.

    That they run, who controls them, whose signatures the transmitter takes, and whose messages the messenger believes;
    where they are ``proxied``, also their code.
    """
    transmitter, messenger = f"{version}-transmitter", f"{version}-messenger"
    tables = []
    for network in networks:
        for contract, rows in ((transmitter, _transmitter(network)), (messenger, _messenger(network))):
            tables += [
                invariant_table(
                    f"{contract}-{network}-{name}",
                    kind,
                    network=network,
                    contract=contract,
                    every="1m",
                    **keys,
                )
                for name, kind, keys in rows
            ]
            tables += [
                invariant_table(
                    f"{contract}-{network}-{name}",
                    kind,
                    network=network,
                    proxy=contract,
                    every="1m",
                    events=events,
                )
                for name, kind, events in (PROXIED if proxied else ())
            ]
    for network, other in pairs(networks):
        domain = table.networks[other]["domain"]
        keys = {
            "call": REMOTE,
            "args": [domain],
            "severity": "P0",
            "message": f"CCTP on {network} believes another messenger on {other}: whoever controls that can mint USDC on "
            f"{network}.",
            "events": ["RemoteTokenMessengerAdded", "RemoteTokenMessengerRemoved"],
            "where": f"domain == {domain}",
        }
        name = f"{messenger}-{network}-remote-{other}"
        tables.append(
            invariant_table(name, "constant", network=network, contract=messenger, every="1m", **keys)
        )
    return "".join(tables)


def _transmitter(network: str) -> Iterator[Row]:
    """Yield what must hold of the transmitter."""
    yield "paused", "paused", {"events": ["Pause"]}
    yield OWNED
    forge = f"Unless Circle announced this, mints on {network} may be forged."
    for name, call, message, events in (
        (
            "threshold",
            THRESHOLD,
            "takes another number of attesters' signatures",
            ["SignatureThresholdUpdated"],
        ),
        ("attesters", ATTESTERS, "has other attesters", ["AttesterEnabled", "AttesterDisabled"]),
        ("manager", MANAGER, "has another manager of its attesters", ["AttesterManagerUpdated"]),
    ):
        text = f"CCTP on {network} {message}. {forge}"
        yield name, "constant", {"call": call, "severity": "P0", "message": text, "events": events}


def _messenger(network: str) -> Iterator[Row]:
    """Yield what must hold of the messenger."""
    yield OWNED
    text = f"CCTP on {network} mints and burns by another contract (the messenger's local minter)."
    minter = {"call": MINTER, "severity": "P0", "message": text}
    yield "minter", "constant", {**minter, "events": ["LocalMinterAdded", "LocalMinterRemoved"]}
