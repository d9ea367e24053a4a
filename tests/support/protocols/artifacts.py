"""Compiled contracts out of pinned npm packages: fetched on first use, checked by hash, cached in `.cache/npm`.

Nothing is installed and no script of a package runs: `npm pack` fetches the archive, and only the files that are
asked for are unpacked.
"""

import base64
import fcntl
import hashlib
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

NPM_TIMEOUT = 300.0
NODE_TIMEOUT = 120.0

# What a contract's file calls its creation code: Hardhat a string, Foundry an object, typechain a constant.
TYPECHAIN_ABI = re.compile(r"const _abi = (\[.*?\n\])", re.DOTALL)
TYPECHAIN_BYTECODE = re.compile(r'const _bytecode\s*=\s*"(0x[0-9a-f]+)"')

# Compiles the standard JSON input on stdin with the compiler in the folder given, without solc's own npm wrapper.
COMPILE = """
const compiler = require(process.argv[1] + "/package/soljson.js");
const compile = compiler.cwrap("solidity_compile", "string", ["string", "number", "number"]);
process.stdout.write(compile(require("fs").readFileSync(0, "utf8"), 0, 0));
"""


class ArtifactError(Exception):
    """A package could not be fetched, differs from what was pinned, or a contract of it could not be read."""


class Package(NamedTuple):
    """One version of an npm package: its name, version, and hash in the form of npm's `dist.integrity`."""

    name: str
    version: str
    integrity: str

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def folder(self) -> Path:
        """Where the files that were asked for are cached."""
        return CACHE / "npm" / f"{self.name.strip('@').replace('/', '-')}-{self.version}"


SOLC = Package(
    "solc",
    "0.8.30",
    "sha512-9Srk/gndtBmoUbg4CE6ypAzPQlElv8ntbnl6SigUBAzgXKn35v87sj04uZeoZWjtDkdzT0qKFcIo/wl63UMxdw==",
)


def load(package: Package, *files: str) -> list[Path]:
    """The paths of a package's files, fetched unless cached; raises ArtifactError saying why they cannot be had."""
    paths = [package.folder / "package" / file for file in files]
    if not all(path.exists() for path in paths):
        with _locked():
            _unpack(package, _fetch(package), files)
    return paths


def bytecodes(package: Package, *files: str) -> list[bytes]:
    """The creation code in each of a package's files: Hardhat's and Foundry's JSON, or ethers' typechain factories."""
    return [_bytecode(path) for path in load(package, *files)]


def compile_solidity(source: Path) -> dict[str, bytes]:
    """The creation code of each contract of a Solidity file that imports nothing, by name; cached by its content."""
    (compiler,) = load(SOLC, "soljson.js")
    content = source.read_text()
    cached = SOLC.folder / f"{hashlib.sha256(content.encode()).hexdigest()}.json"
    if not cached.exists():
        compiled = _compile(compiler.parent.parent, source.name, content)
        unfinished = cached.with_suffix(".part")
        unfinished.write_text(json.dumps(compiled))
        unfinished.replace(cached)
    return {name: bytes.fromhex(code) for name, code in json.loads(cached.read_text()).items()}


def typechain_abi(package: Package, file: str) -> list[dict[str, Any]]:
    """The ABI in an ethers' typechain factory, which is a JavaScript literal."""
    (path,) = load(package, file)
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


def _compile(solc: Path, name: str, content: str) -> dict[str, str]:
    settings = {
        "optimizer": {"enabled": True, "runs": 200},
        "evmVersion": "paris",
        "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
    }
    query = {"language": "Solidity", "sources": {name: {"content": content}}, "settings": settings}
    answer = json.loads(_node(COMPILE, solc, json.dumps(query)))
    wrong = [e["formattedMessage"] for e in answer.get("errors", []) if e["severity"] == "error"]
    if wrong:
        raise ArtifactError("\n".join(wrong))
    return {n: contract["evm"]["bytecode"]["object"] for n, contract in answer["contracts"][name].items()}


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


def _unpack(package: Package, archive: bytes, files: tuple[str, ...]) -> None:
    package.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as held:
        held.write(archive)
        held.seek(0)
        wanted = {f"package/{file}" for file in files}
        with tarfile.open(fileobj=held, mode="r|gz") as opened:
            for member in opened:
                if member.name in wanted:
                    opened.extract(member, package.folder, filter="data")
                    wanted.remove(member.name)
                    if not wanted:
                        return
    raise ArtifactError(f"{package.spec} lacks {', '.join(sorted(wanted))}")
