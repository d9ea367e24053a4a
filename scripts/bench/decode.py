"""How many Connext ``XCalled`` logs are decoded per CPU-second, by chainwatch and by eth_abi.

Prints one line per way, in the same run, so that the ratio holds on any machine. eth_abi gets the better side:
its decoder is looked up once, and neither names tuple members nor checksums addresses.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.registry import registry

from chainwatch.chain.decode.abi import load_abi
from chainwatch.chain.decode.decoder import EventDecoder

ROOT = Path(__file__).parents[2]
LOGS = 20_000
DATA_TYPES = (
    "(uint32,uint32,uint32,address,address,bool,bytes,uint256,address,uint256,uint256,uint256,bytes32)",
    "address",
    "uint256",
    "address",
    "bytes",
)
ADDRESS_WORDS = (1, 3, 8, 9, 13)
"""Where the five addresses stand in the data of the logs, counted in words."""


def main() -> None:
    decoder = EventDecoder.from_abi(load_abi(ROOT / "abi/connext.json").event("XCalled"))
    logs = xcalled_logs()
    repeated = [logs[i % len(logs)] for i in range(LOGS)]
    distinct = [with_random_addresses(logs[i % len(logs)], random.Random(i)) for i in range(LOGS)]
    raw = [in_bytes(log) for log in repeated]

    ours = rate(decoder.decode, repeated)
    theirs = rate(eth_abi_decode(), repeated)
    print(f"chainwatch, hex JSON logs               {ours:>10,.0f} logs per CPU-second")
    print(f"chainwatch, every address a new one     {rate(decoder.decode, distinct):>10,.0f}")
    print(
        f"chainwatch, logs in bytes               {rate(lambda log: decoder.decode_raw(*log), raw):>10,.0f}"
    )
    print(f"eth_abi, cached codec, hex JSON logs    {theirs:>10,.0f}")
    print(f"chainwatch / eth_abi                    {ours / theirs:>10.1f}")


def xcalled_logs() -> list[dict[str, Any]]:
    lines = (ROOT / "tests/data/connext/rebuilt-logs.jsonl").read_text().splitlines()
    return [row["log"] for row in map(json.loads, lines) if row["event"] == "XCalled"]


def with_random_addresses(log: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    data = bytearray.fromhex(log["data"][2:])
    for word in ADDRESS_WORDS:
        assert not any(data[32 * word : 32 * word + 12]), "not an address"
        data[32 * word + 12 : 32 * word + 32] = chance.randbytes(20)
    return {**log, "data": f"0x{data.hex()}"}


def in_bytes(log: Mapping[str, Any]) -> tuple[list[bytes], bytes]:
    return [bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:])


def eth_abi_decode() -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    # eth_abi's streams have no types
    stream: Callable[[bytes], Any] = ContextFramesBytesIO
    read_data = registry.get_tuple_decoder(*DATA_TYPES)
    read_topics = registry.get_tuple_decoder("bytes32", "uint256", "bytes32")

    def decode(log: Mapping[str, Any]) -> tuple[Any, ...]:
        topics, data = in_bytes(log)
        indexed: tuple[Any, ...] = read_topics(stream(b"".join(topics[1:])))
        return indexed + tuple(read_data(stream(data)))

    return decode


def rate(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Items per second of CPU time, the best of three passes."""
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        for item in items:
            work(item)
        best = min(best, time.process_time() - started)
    return len(items) / best


if __name__ == "__main__":
    main()
