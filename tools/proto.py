"""Makes everything that is derived from `protos/`: third-party sources, stubs, descriptors, OpenAPI.

    build/third_party/   google/{api,rpc,type} and buf/validate, for protoc, buf and editors
    build/gen/           packages `scrip` and `buf.validate`, with type stubs
    build/api.binpb      descriptors of all of it, with comments: for Envoy, contract tests and OpenAPI
    build/openapi.json   the REST API, by tools/openapi
    build/docs/          the same and its viewer, as the edge serves them

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

from tools import docs, unproto

ROOT = Path(__file__).resolve().parent.parent
GOOGLE_FOLDERS = ("api", "rpc", "type")
VALIDATE = "buf/validate/validate.proto"
# No proto of ours imports these, but Envoy needs them to render an error with its details as JSON.
ALSO_DESCRIBED = ("google/rpc/error_details.proto", "google/rpc/status.proto")
PROTOC_SECONDS = 120
DESCRIBED_BY = ("tools/errors.py", "tools/openapi/*.*")


def build(root: Path) -> int:
    """Brings `root`/build up to date with `root`/protos.

    Returns protoc's exit status, its messages on stderr. What was built before stays when that is not 0.
    """
    protos, target = root / "protos", root / "build"
    sources = sorted(path.relative_to(protos).as_posix() for path in protos.rglob("*.proto"))
    stamp, written = target / ".proto-stamp", _stamp(protos, sources)
    if stamp.is_file() and stamp.read_text() == written:
        return 0
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".proto-") as scratch:
        fresh = Path(scratch)
        _write_third_party(fresh / "third_party")
        status = _generate(protos, sources, fresh)
        if status != 0:
            return status
        stamp.unlink(missing_ok=True)
        for folder in ("third_party", "gen"):
            _replace_tree(fresh / folder, target / folder)
        (fresh / "api.binpb").replace(target / "api.binpb")
    stamp.write_text(written)
    return 0


def describe() -> int:
    """Brings build/openapi.json up to date with the descriptors. Returns the generator's exit status."""
    target = ROOT / "build"
    sources = [target / "api.binpb", *(path for some in DESCRIBED_BY for path in sorted(ROOT.glob(some)))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources if path.is_file()))
    stamp, written = target / ".openapi-stamp", digest.hexdigest()
    if stamp.is_file() and stamp.read_text() == written and (target / "openapi.json").is_file():
        return 0
    # By another Python: the stubs may not have been there when this one started.
    path = os.pathsep.join([str(ROOT), str(target / "gen")])
    command = [sys.executable, "-m", "tools.openapi"]
    run = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False, timeout=PROTOC_SECONDS)
    if run.returncode == 0:
        stamp.write_text(written)
    return run.returncode


def _stamp(protos: Path, sources: list[str]) -> str:
    """Changes with any proto, with these tools, and with the locked versions of the generators."""
    tools = [Path(__file__), Path(unproto.__file__), ROOT / "requirements" / "proto.txt"]
    digest = hashlib.sha256()
    for name, path in [("", tool) for tool in tools] + [(source, protos / source) for source in sources]:
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
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


def _generate(protos: Path, sources: list[str], fresh: Path) -> int:
    well_known = Path(grpc_tools.__path__[0]) / "_proto"
    stubs = fresh / "gen"
    stubs.mkdir()
    protoc = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        *(f"--proto_path={folder}" for folder in (protos, fresh / "third_party", well_known)),
    ]
    messages = [f"--{plugin}_out={stubs}" for plugin in ("python", "mypy")]
    # All servers and clients here are grpc.aio: a stub's type is then that of its asynchronous calls.
    services = [f"--grpc_python_out={stubs}", f"--mypy_grpc_out=only_async:{stubs}"]
    described = [
        f"--descriptor_set_out={fresh / 'api.binpb'}",
        "--include_imports",
        "--include_source_info",
        *ALSO_DESCRIBED,
        VALIDATE,
    ]
    runs = [[*messages, VALIDATE, *sources], [*described, *sources]]
    if sources:
        runs.append([*services, *sources])
    # The mypy plugins are found on PATH, and are installed beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for arguments in runs:
        run = subprocess.run(
            [*protoc, *arguments],
            env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=PROTOC_SECONDS,
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
    status = build(ROOT) or describe()
    if status == 0:
        docs.collect()
    sys.exit(status)
