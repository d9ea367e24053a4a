"""Real anvil nodes: installed from npm on first use, started, stopped, frozen, wound forward, reorganised."""

import fcntl
import json
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

VERSION = "1.7.1"
CACHE = Path(__file__).parents[2] / ".cache"


# Runtime code that logs what its call data says: a word with the number of topics, the topics, the data.
#   four topics on the stack, the deepest last; the rest of the call data into memory;
#   then a jump into a row of JUMPDEST LOGn STOP, three bytes each.
EMITTER = "0x" + (
    "608035606035604035602035"  # calldataload of 128, 96, 64, 32
    "60003560010160051b"  # start = (count + 1) << 5
    "80360380916000376000"  # size = calldatasize - start; calldatacopy(0, start, size)
    "600035600302602901565ba0005ba1005ba2005ba3005ba400"  # jump to 41 + 3 * count
)
EMIT_GAS = 1_000_000


class AnvilError(Exception):
    """A node could not be started, or answered a request with an error."""


class Anvil:
    """One anvil node on loopback; a context manager that starts it and cleans up after it.

    Blocks are mined on each transaction unless `block_time` (seconds) is set. The state survives `stop`
    and `start`, on the same port; `kill` loses it, as nothing was saved.
    """

    def __init__(
        self,
        binary: Path,
        chain_id: int = 31_337,
        block_time: int | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.chain_id = chain_id
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="anvil-"))
        self._command = [str(binary), "--chain-id", str(chain_id), "--port", str(self.port)]
        self._command += ["--state", str(self._folder / "state.json"), *arguments]
        if block_time is not None:
            self._command += ["--block-time", str(block_time)]
        self._process: subprocess.Popen[bytes] | None = None
        self._automine = True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    # --- the process ---

    def start(self) -> None:
        """Starts the node, with its state if it ran before, and waits until it answers."""
        log = self._folder / "anvil.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AnvilError(f"anvil ended at once: {log.read_text(errors='replace')[-2000:]}")
            try:
                self.rpc("eth_chainId")
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise AnvilError(f"anvil did not answer within {PATIENCE:g} s")

    def stop(self) -> None:
        """Ends the node in good order; its state is saved for the next `start`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the node at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops the process without ending it (SIGSTOP): connections stay open and nothing answers.

        Returns once every thread has stopped: on a busy machine one may still answer for a moment.
        """
        self._running.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self._running.pid}/task")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not all(_has_stopped(thread) for thread in threads.glob("*")):
            time.sleep(0.01)

    def thaw(self) -> None:
        """Lets a frozen node go on (SIGCONT)."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise AnvilError("anvil is not running")
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process = self._running
        process.send_signal(signal.SIGCONT)  # a frozen process would never see SIGTERM
        process.send_signal(how)
        process.wait(PATIENCE)
        self._process = None

    # --- the chain ---

    def rpc(self, method: str, *params: Any, timeout: float = PATIENCE) -> Any:
        """The result of a JSON-RPC call; raises AnvilError on an error answer, OSError without an answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.http_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.load(response)
        if "error" in answer:
            raise AnvilError(f"{method}: {answer['error']}")
        return answer["result"]

    def block(self, named: int | str = "latest") -> dict[str, Any]:
        """A block by number or tag, its transactions by hash."""
        number = hex(named) if isinstance(named, int) else named
        found: dict[str, Any] = self.rpc("eth_getBlockByNumber", number, False)
        return found

    @property
    def height(self) -> int:
        """The head's block number."""
        return int(self.rpc("eth_blockNumber"), 16)

    def mine(self, count: int = 1, interval: int | None = None) -> None:
        """Mines empty blocks, `interval` seconds of chain time apart (the first one follows the clock)."""
        self.rpc("anvil_mine", hex(count), *([] if interval is None else [hex(interval)]))

    def set_next_timestamp(self, timestamp: int) -> None:
        """The next block gets this time, in Unix seconds; it must be later than the head's."""
        self.rpc("evm_setNextBlockTimestamp", timestamp)

    def increase_time(self, seconds: int) -> None:
        """Puts the node's clock forward."""
        self.rpc("evm_increaseTime", seconds)

    def set_clock(self) -> None:
        """Puts the node's clock right, which a reorg or a revert has put back to the time of the last block kept."""
        self.rpc("anvil_setTime", int(time.time()))

    def reorg(self, depth: int) -> None:
        """Replaces the last `depth` blocks by as many empty ones; see `set_clock`."""
        self.rpc("anvil_reorg", depth, [])

    # --- logs ---

    def set_emitter(self, address: str) -> None:
        """Puts the emitter's code at any address, for `emit`."""
        self.rpc("anvil_setCode", address, EMITTER)

    def emit(self, address: str, topics: Sequence[bytes], data: bytes) -> str:
        """Lets the emitter at `address` log this; returns the transaction's hash once it is mined.

        Inside `one_block` it returns at once.
        """
        call = len(topics).to_bytes(32, "big") + b"".join(topics) + data
        transaction = {
            "from": self._sender,
            "to": address,
            "input": "0x" + call.hex(),
            "gas": hex(EMIT_GAS),
        }
        sent: str = self.rpc("eth_sendTransaction", transaction)
        while self._automine and self.rpc("eth_getTransactionReceipt", sent) is None:
            time.sleep(0.002)
        return sent

    @contextmanager
    def one_block(self) -> Iterator[None]:
        """Puts all transactions sent inside into one block, mined at the end."""
        self._automine = False
        self.rpc("evm_setAutomine", False)
        try:
            yield
            self.mine()
        finally:
            self.rpc("evm_setAutomine", True)
            self._automine = True

    @property
    def _sender(self) -> str:
        first: str = self.rpc("eth_accounts")[0]
        return first


def find_or_install() -> Path:
    """The anvil binary of VERSION: from the PATH, the cache or npm; raises AnvilError saying why not."""
    on_path = shutil.which("anvil")
    if on_path and VERSION in subprocess.run([on_path, "--version"], capture_output=True, text=True).stdout:
        return Path(on_path)
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "anvil.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test workers come here at once
        folder = CACHE / f"anvil-{VERSION}"
        if not folder.exists():
            _install(folder)
        # npm picks the package that fits the machine out of the optional dependencies
        found = sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    if not found:
        raise AnvilError(f"@foundry-rs/anvil {VERSION} has no binary for this machine")
    return found[0]


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise AnvilError("neither anvil nor npm is installed")
    with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", unfinished]
        done = subprocess.run([*command, f"@foundry-rs/anvil@{VERSION}"], capture_output=True, text=True)
        if done.returncode != 0:
            raise AnvilError(f"npm could not install anvil: {done.stderr.strip()[-500:]}")
        Path(unfinished).rename(folder)
        Path(unfinished).mkdir()  # for TemporaryDirectory to remove


def _has_stopped(thread: Path) -> bool:
    """Whether a thread's state in /proc is "stopped"; true where there is no /proc."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return True
