import subprocess
import sys

import pytest

MODULES = ("error_reason_pb2", "event_pb2", "report_pb2", "runtime_service_pb2", "runtime_service_pb2_grpc")


@pytest.mark.parametrize("module", MODULES)
def test_generated_code_loads_without_warnings(module: str) -> None:
    """The generated code gets along with the installed versions of gRPC and Protocol Buffers."""
    program = f"import flowgram.runtime.v1.{module}"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_the_client_needs_nothing_of_the_server() -> None:
    """The messages and stubs load with gRPC and Protocol Buffers alone."""
    program = (
        "import sys; import flowgram.runtime.v1.runtime_service_pb2_grpc; "
        "print([name for name in sys.modules if name.startswith(('flowgram_core', 'flowgram_server', 'pydantic'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
