"""What the command needs beyond the base install, and what is said where it is missing."""

PACKAGES = frozenset(
    {
        "click",
        "fastapi",
        "google.rpc",
        "grpc_health",
        "grpc_reflection",
        "httpcore2",
        "httpx2",
        "openai",
        "orjson",
        "pydantic",
        "pydantic_settings",
        "quickjs",
        "rich",
        "starlette",
        "structlog",
        "typing_extensions",
        "uvicorn",
    }
)
"""The packages of the extra `server`, as they are imported; without uvloop, which is optional."""

MISSING_STATUS = 70
"""The exit status where one of them is missing: `ExitStatus.UNEXPECTED`, which needs one of them itself."""


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """What to tell a user; None if what is missing is not of the extra."""
    name = error.name or ""
    if any(name == package or name.startswith(f"{package}.") for package in PACKAGES):
        return f"the command needs {name}, of the extra `server`: pip install 'flowgram-runtime[server]'"
    return None
