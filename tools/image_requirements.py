# ruff: noqa: INP001 - a script
"""Prints requirements with hashes, from the reports of pip that name the files for several machines: see renew_image_requirements.sh."""

import json
import sys
from pathlib import Path

_TITLE = (
    "# Everything in the image, with the hashes of its files. Written by tools/renew_image_requirements.sh."
)


def main(reports: list[str]) -> None:
    """Merges the reports, and prints each package with the hashes of its files."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for report in reports:
        for item in json.loads(Path(report).read_text(encoding="utf-8"))["install"]:
            package = item["metadata"]["name"], item["metadata"]["version"]
            hashes.setdefault(package, set()).add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    sys.stdout.write(f"{_TITLE}\n")
    for (name, version), found in sorted(hashes.items(), key=lambda item: item[0][0].lower()):
        lines = [f"{name}=={version}", *(f"    --hash=sha256:{digest}" for digest in sorted(found))]
        sys.stdout.write(" \\\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
