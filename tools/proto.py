"""Makes everything that is derived from `protos/`: third-party sources, Python stubs, descriptor set.

    build/third_party/   google/{api,rpc,type} and buf/validate, for protoc, buf and editors
    build/gen/           packages `scrip` and `buf.validate`, with type stubs
    build/api.binpb      descriptors of all of it, with comments: for Envoy, contract tests and OpenAPI

Run as `python -m tools.proto`; does nothing when nothing has changed since the last run.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api
import grpc_tools
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

from tools import unproto

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
BUILD = ROOT / "build"
THIRD_PARTY = BUILD / "third_party"
STUBS = BUILD / "gen"
DESCRIPTORS = BUILD / "api.binpb"
STAMP = BUILD / ".proto-stamp"

GOOGLE_FOLDERS = ("api", "rpc", "type")
VALIDATE = "buf/validate/validate.proto"
# No proto of ours imports these, but Envoy needs them to render an error with its details as JSON.
ALSO_DESCRIBED = ("google/rpc/error_details.proto", "google/rpc/status.proto")


def main() -> int:
    """Brings build/ up to date. Returns protoc's exit status; its messages go to stderr."""
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    stamp = _stamp(sources)
    if STAMP.is_file() and STAMP.read_text() == stamp and DESCRIPTORS.is_file():
        return 0
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix=".proto-") as scratch:
        fresh = Path(scratch)
        third_party, stubs = fresh / "third_party", fresh / "gen"
        third_party.mkdir()
        stubs.mkdir()
        _write_third_party(third_party)
        status = _generate(sources, third_party, stubs, fresh / DESCRIPTORS.name)
        if status != 0:
            return status
        _replace_tree(third_party, THIRD_PARTY)
        _replace_tree(stubs, STUBS)
        (fresh / DESCRIPTORS.name).replace(DESCRIPTORS)
    STAMP.write_text(stamp)
    return 0


def _stamp(sources: list[str]) -> str:
    """Changes with any proto, with these tools, and with the locked versions of the generators."""
    digest = hashlib.sha256()
    tools = [Path(__file__), Path(__file__).with_name("unproto.py"), ROOT / "requirements/dev.txt"]
    for path in [*tools, *(PROTOS / source for source in sources)]:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _write_third_party(target: Path) -> None:
    google_root = Path(google.api.__path__[0]).parent
    for folder in GOOGLE_FOLDERS:
        for path in (google_root / folder).rglob("*.proto"):
            copy = target / "google" / path.relative_to(google_root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

    compiled = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    validate = target / VALIDATE
    validate.parent.mkdir(parents=True)
    validate.write_text(unproto.source(compiled))


def _generate(sources: list[str], third_party: Path, stubs: Path, descriptors: Path) -> int:
    well_known = Path(grpc_tools.__path__[0]) / "_proto"
    # The mypy plugins are found on PATH, and are installed beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    protoc = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        *(f"--proto_path={folder}" for folder in (PROTOS, third_party, well_known)),
    ]
    outputs = [f"--{plugin}_out={stubs}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")]
    described = [
        f"--descriptor_set_out={descriptors}",
        "--include_imports",
        "--include_source_info",
        *ALSO_DESCRIBED,
    ]
    for arguments in ([*outputs, VALIDATE], [*described, VALIDATE]):
        run = subprocess.run(
            [*protoc, *arguments, *sources],
            env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=120,
        )
        if run.returncode != 0:
            sys.stderr.write(run.stderr)
            return run.returncode
    return 0


def _replace_tree(fresh: Path, target: Path) -> None:
    """Makes `target` equal to `fresh`, touching only what differs: running processes import from it."""
    wanted = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
    for name in sorted(wanted):
        new, old = fresh / name, target / name
        if not old.is_file() or old.read_bytes() != new.read_bytes():
            old.parent.mkdir(parents=True, exist_ok=True)
            new.replace(old)
    present = [path for path in target.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    for path in present:
        if path.relative_to(target) not in wanted:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
