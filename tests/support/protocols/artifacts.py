"""Compiled contracts out of pinned npm packages: fetched on first use, checked by hash, cached in `.cache/npm`.

Nothing is installed and no script of a package runs: `npm pack` fetches the archive, and only the files that are
asked for are unpacked.
"""

import base64
import fcntl
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.anvil import CACHE

SOURCES = Path(__file__).parent

NPM_TIMEOUT = 300.0
NODE_TIMEOUT = 120.0

# How ethers' typechain writes a contract's interface and creation code into a factory.
TYPECHAIN_ABI = re.compile(r"const _abi = (\[.*?\n\])", re.DOTALL)
TYPECHAIN_BYTECODE = re.compile(r'const _bytecode\s*=\s*"(0x[0-9a-f]+)"')

# Compiles the standard JSON input on stdin with the compiler at the path given, without solc's own npm wrapper.
COMPILE = """
const compiler = require(process.argv[1]);
const compile = compiler.cwrap("solidity_compile", "string", ["string", "number", "number"]);
process.stdout.write(compile(require("fs").readFileSync(0, "utf8"), 0, 0));
"""


class ArtifactError(Exception):
    """A package could not be fetched, differs from what was pinned, or a contract of it could not be read."""


class Package(NamedTuple):
    """One version of an npm package: name, version, hash as npm's `dist.integrity` has it, and the files to keep."""

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def folder(self) -> Path:
        """Where its files are cached."""
        return CACHE / "npm" / f"{self.name.strip('@').replace('/', '-')}-{self.version}"


SOLC = Package(
    "solc",
    "0.8.30",
    "sha512-9Srk/gndtBmoUbg4CE6ypAzPQlElv8ntbnl6SigUBAzgXKn35v87sj04uZeoZWjtDkdzT0qKFcIo/wl63UMxdw==",
    ("soljson.js",),
)

VIEM = Package(
    "viem",
    "2.57.20",
    "sha512-LSvREzKT7xFXpmxW2YFJ/OtcZRkSGLp5zywSgadBf0qQCeqh2+FxHHWyrS2zEG7ZfBWQQvk8HI1i4HPzSMD14g==",
    ("_cjs/constants/contracts.js",),
)
MULTICALL3 = re.compile(r"exports\.multicall3Bytecode = '0x([0-9a-f]+)'")
CONSTRUCTOR = 32
"""Bytes of Multicall3's creation code that return the rest."""


def load(package: Package) -> list[Path]:
    """The paths of a package's files, fetched unless cached; raises ArtifactError saying why they cannot be had."""
    paths = [package.folder / "package" / file for file in package.files]
    if not all(path.exists() for path in paths):
        with _locked():
            if not all(path.exists() for path in paths):
                _unpack(package, _fetch(package))
    return paths


def bytecodes(package: Package) -> list[bytes]:
    """The creation code in each of a package's files: Hardhat's and Foundry's JSON, or ethers' typechain factories."""
    return [_bytecode(path) for path in load(package)]


def named_bytecodes(package: Package) -> dict[str, bytes]:
    """The same by the contracts' names, which are those of the files."""
    return {path.stem: _bytecode(path) for path in load(package)}


def own_bytecodes() -> dict[str, bytes]:
    """The creation code of each contract of the Solidity files here, which import nothing, by name; cached."""
    (compiler,) = load(SOLC)
    sources = {path.name: {"content": path.read_text()} for path in sorted(SOURCES.glob("*.sol"))}
    digest = hashlib.sha256(json.dumps(sources).encode()).hexdigest()
    cached = SOLC.folder / f"{digest}.json"
    if not cached.exists():
        with _locked():
            if not cached.exists():
                unfinished = cached.with_suffix(".part")
                unfinished.write_text(json.dumps(_compile(compiler, sources)))
                unfinished.replace(cached)
    return {name: bytes.fromhex(code) for name, code in json.loads(cached.read_text()).items()}


def multicall3() -> bytes:
    """The code of the contract Multicall3 as it is deployed."""
    (path,) = load(VIEM)
    found = MULTICALL3.search(path.read_text())
    if found is None:
        raise ArtifactError(f"{path.name} has no Multicall3")
    return bytes.fromhex(found[1])[CONSTRUCTOR:]


def typechain_abi(path: Path) -> list[dict[str, Any]]:
    """The ABI in one of ethers' typechain factories, which is a JavaScript literal."""
    found = TYPECHAIN_ABI.search(path.read_text())
    if found is None:
        raise ArtifactError(f"{path.name} has no ABI")
    abi: list[dict[str, Any]] = json.loads(
        _node("console.log(JSON.stringify(eval(process.argv[1])))", found[1])
    )
    return abi


def _bytecode(path: Path) -> bytes:
    text = path.read_text()
    if path.suffix == ".json":
        code = json.loads(text)["bytecode"]
        return _from_hex(path, code["object"] if isinstance(code, dict) else code)
    found = TYPECHAIN_BYTECODE.search(text)
    if found is None:
        raise ArtifactError(f"{path.name} has no bytecode")
    return _from_hex(path, found[1])


def _from_hex(path: Path, code: str) -> bytes:
    try:
        decoded = bytes.fromhex(code.removeprefix("0x"))
    except ValueError as error:
        raise ArtifactError(
            f"the bytecode in {path.name} is not hexadecimal: libraries not linked?"
        ) from error
    if not decoded:
        raise ArtifactError(f"{path.name} has no bytecode: the contract is abstract")
    return decoded


def _compile(compiler: Path, sources: dict[str, dict[str, str]]) -> dict[str, str]:
    settings = {
        "optimizer": {"enabled": True, "runs": 200},
        "evmVersion": "paris",
        "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
    }
    query = {"language": "Solidity", "sources": sources, "settings": settings}
    answer = json.loads(_node(COMPILE, compiler, json.dumps(query)))
    wrong = [e["formattedMessage"] for e in answer.get("errors", []) if e["severity"] == "error"]
    if wrong:
        raise ArtifactError("\n".join(wrong))
    contracts = {name: contract for file in answer["contracts"].values() for name, contract in file.items()}
    return {name: contract["evm"]["bytecode"]["object"] for name, contract in contracts.items()}


def _node(script: str, argument: str | Path, stdin: str = "") -> str:
    node = shutil.which("node")
    if node is None:
        raise ArtifactError("node is not installed")
    done = subprocess.run(
        [node, "-e", script, str(argument)], input=stdin, capture_output=True, text=True, timeout=NODE_TIMEOUT
    )
    if done.returncode != 0:
        raise ArtifactError(f"node failed: {done.stderr.strip()[-500:]}")
    return done.stdout


@contextmanager
def _locked() -> Iterator[None]:
    """Keeps out the other test workers."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(package: Package) -> bytes:
    """The package's archive, checked against its pinned hash."""
    npm = shutil.which("npm")
    if npm is None:
        raise ArtifactError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, package.spec]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_TIMEOUT, cwd=folder)
        except subprocess.TimeoutExpired as error:
            raise ArtifactError(f"npm did not fetch {package.spec} within {NPM_TIMEOUT:.0f} s") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or len(archives) != 1:
            raise ArtifactError(f"npm could not fetch {package.spec}: {done.stderr.strip()[-500:]}")
        archive = archives[0].read_bytes()
    if "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode() != package.integrity:
        raise ArtifactError(f"{package.spec} is not the archive that was pinned")
    return archive


def _unpack(package: Package, archive: bytes) -> None:
    wanted = {f"package/{file}" for file in package.files}
    with (
        tempfile.TemporaryDirectory(dir=CACHE) as unfinished,
        tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as opened,
    ):
        for member in opened:
            if member.name in wanted:
                opened.extract(member, unfinished, filter="data")
        for name in sorted(wanted):
            path = package.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                Path(unfinished, name).replace(path)
            except FileNotFoundError as error:
                raise ArtifactError(f"{package.spec} lacks {name}") from error
