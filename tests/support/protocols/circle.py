"""Circle's own transmitter and messenger of CCTP 1, with stand-ins for its minter and token.

Owners, attesters and remote messengers of version 2 are changed by the same functions, but its contracts are behind proxies.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from eth_account import Account
from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import load, own_bytecodes
from tests.support.protocols.cctp import ATTESTER_KEY, MESSAGE_SENT, PUBLISHED_V1, RECEIVE, attester_address
from tests.support.protocols.chain import Chain, Receipt, word
from tests.support.protocols.openzeppelin import put_proxy

ADD_REMOTE = "addRemoteTokenMessenger(uint32,bytes32)"
MOST_BYTES = 8_192
LIBRARY = "__$8c977731748aa4504deed57239565df533$__"
"""Where the code of the library `Message` is linked."""


class Site(NamedTuple):
    """The contracts' addresses on one network; ``admins`` administer the proxies of transmitter and messenger."""

    chain: Chain
    domain: int
    transmitter: str
    messenger: str
    token: str
    minter: str
    admins: tuple[str, ...] = ()


class Circle:
    """CCTP on several networks, by Circle's number (domain) of each, at these addresses of transmitter and messenger."""

    def __init__(self, chains: Mapping[int, Chain], addresses: Mapping[int, tuple[str, str]]) -> None:
        self.sites = {domain: _deploy(chain, domain, *addresses[domain]) for domain, chain in chains.items()}
        for site in self.sites.values():
            for other in self.sites.values():
                if other is not site:
                    site.chain.send(site.messenger, ADD_REMOTE, other.domain, word(other.messenger))
                    site.chain.send(
                        site.minter, "link(uint32,address,address)", other.domain, other.token, site.token
                    )

    def with_proxies(self) -> None:
        """Put proxies over the contracts."""
        for domain, site in self.sites.items():
            codes = _codes(site.chain.deploy(own_bytecodes()["Message"]))
            admins = (
                put_proxy(site.chain, site.transmitter, site.chain.deploy(codes[0], *_transmitter(domain))),
                put_proxy(
                    site.chain, site.messenger, site.chain.deploy(codes[1], *_messenger(site.transmitter))
                ),
            )
            self.sites[domain] = site._replace(admins=admins)

    def deposit(self, origin: int, destination: int, amount: int) -> Receipt:
        """Burns tokens to be minted for the other network's account."""
        site, recipient = self.sites[origin], word(self.sites[destination].chain.account)
        function = "depositForBurn(uint256,uint32,bytes32,address)"
        return site.chain.send(site.messenger, function, amount, destination, recipient, site.token)

    def relay(self, sent: Receipt) -> Receipt:
        """Attests and receives the only message of a transaction."""
        (message,) = (log.decode_data("(bytes)")[0] for log in sent.events(MESSAGE_SENT))
        site = self.sites[int.from_bytes(message[8:12])]
        signed = bytes(Account.unsafe_sign_hash(keccak(message), ATTESTER_KEY).signature)
        return site.chain.send(site.transmitter, RECEIVE, message, signed)


@cache
def _texts() -> list[str]:
    return [path.read_text() for path in load(PUBLISHED_V1)]


def _codes(library: str) -> list[bytes]:
    """The creation code of transmitter and messenger."""
    found = (text.split("_bytecode = '0x")[1].split("'")[0] for text in _texts())
    return [bytes.fromhex(code.replace(LIBRARY, library[2:])) for code in found]


def _transmitter(domain: int) -> tuple[str, int, str, int, int]:
    return "(uint32,address,uint32,uint32)", domain, attester_address(), MOST_BYTES, 0


def _messenger(transmitter: str) -> tuple[str, str, int]:
    return "(address,uint32)", transmitter, 0


def _deploy(chain: Chain, domain: int, transmitter: str, messenger: str) -> Site:
    own = own_bytecodes()
    codes = _codes(chain.deploy(own["Message"]))
    chain.deploy_at(transmitter, codes[0], *_transmitter(domain))
    chain.deploy_at(messenger, codes[1], *_messenger(transmitter))
    token, minter = chain.deploy(own["Token"]), chain.deploy(own["Minter"])
    chain.send(token, "mint(address,uint256)", chain.account, 10**18)
    chain.send(messenger, "addLocalMinter(address)", minter)
    chain.send(transmitter, "updatePauser(address)", chain.account)
    return Site(chain, domain, transmitter, messenger, token, minter)
