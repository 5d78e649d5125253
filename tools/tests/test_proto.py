"""What `make proto` builds, and what it leaves alone."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

from tools import proto

GREETER = """
syntax = "proto3";
package greeter.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";

// Greets.
service GreeterService {
  // Greets once.
  rpc Greet(GreetRequest) returns (GreetResponse) {
    option (google.api.http) = {get: "/v1/greetings/{name}"};
  }
}
message GreetRequest {
  string name = 1 [(buf.validate.field).string.min_len = 1];
}
message GreetResponse {}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "greeter/v1/greeter.proto", GREETER)
    assert proto.build(tmp_path) == 0
    return tmp_path


def write(root: Path, name: str, text: str) -> Path:
    path = root / "protos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def described(root: Path) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    raw = (root / "build/api.binpb").read_bytes()
    return {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file}


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in (root / "build").rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_stubs_and_their_types_are_built_with_packages_as_folders(root: Path) -> None:
    stubs = {path.relative_to(root / "build/gen").as_posix() for path in (root / "build/gen").rglob("*.py*")}
    assert stubs == {
        "buf/validate/validate_pb2.py",
        "buf/validate/validate_pb2.pyi",
        "greeter/v1/greeter_pb2.py",
        "greeter/v1/greeter_pb2.pyi",
        "greeter/v1/greeter_pb2_grpc.py",
        "greeter/v1/greeter_pb2_grpc.pyi",
    }


def test_descriptors_hold_comments_imports_and_the_error_details(root: Path) -> None:
    files = described(root)
    comments = {
        it.leading_comments.strip() for it in files["greeter/v1/greeter.proto"].source_code_info.location
    }
    assert {"Greets.", "Greets once."} <= comments
    assert {
        "buf/validate/validate.proto",
        "google/api/annotations.proto",
        "google/rpc/error_details.proto",
        "google/rpc/status.proto",
    } <= set(files)


def test_the_rebuilt_source_of_validate_compiles_to_the_original(root: Path) -> None:
    rebuilt = described(root)["buf/validate/validate.proto"]
    rebuilt.ClearField("source_code_info")
    original = validate_pb.desc().proto.to_binary()
    assert rebuilt == descriptor_pb2.FileDescriptorProto.FromString(original)


def test_nothing_is_touched_when_nothing_changed(root: Path) -> None:
    before = snapshot(root)
    assert proto.build(root) == 0
    assert snapshot(root) == before


def test_a_change_touches_only_its_own_stubs(root: Path) -> None:
    before = snapshot(root)
    write(root, "greeter/v1/greeter.proto", GREETER.replace("string name = 1", "string name = 2"))
    assert proto.build(root) == 0
    after = snapshot(root)
    changed = {Path(name).name for name in after if after[name] != before[name]}
    assert changed == {"greeter_pb2.py", "api.binpb", ".proto-stamp"}


def test_stubs_of_a_removed_proto_are_removed(root: Path) -> None:
    (root / "protos/greeter/v1/greeter.proto").unlink()
    assert proto.build(root) == 0
    assert not list((root / "build/gen").rglob("greeter*.py*"))
    assert "greeter/v1/greeter.proto" not in described(root)


def test_a_broken_proto_is_reported_and_leaves_the_last_build(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(root)
    write(root, "greeter/v1/greeter.proto", GREETER.replace("GreetResponse {}", "GreetResponse {"))
    assert proto.build(root) != 0
    assert "greeter/v1/greeter.proto" in capfd.readouterr().err
    assert snapshot(root) == before
