"""The choice of host: opens the embedded or the Temporal host, as the settings say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_core.embedded.application import Application
from flowgram_core.hosting.service import TaskService
from flowgram_core.journal.connection import Synchronous
from flowgram_core.journal.encryption import Keys
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Journal
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.read_only import open_journal
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.journal.work_register import WorkRegister
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.temporal.errors import TemporalNotInstalled
from flowgram_server.address import is_loopback
from flowgram_server.host_parts import HostParts
from flowgram_server.node_types import sources_of
from flowgram_server.settings.server import Settings
from flowgram_server.task_ids import TaskIDs
from flowgram_server.telemetry.telemetry import Telemetry

JOURNAL_FILE: Final = "journal.sqlite3"

WORK_FILE: Final = f"{JOURNAL_FILE}.work"


@asynccontextmanager
async def open_host(
    settings: Settings,
    clock: Clock,
    own_ports: OwnPorts | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[TaskService]:
    """The host that the settings name, for as long as the block lasts.

    Args:
        settings: How.
        clock: Measures all times.
        own_ports: The ports that the server listens on, as far as it does yet.
        telemetry: What is notified of it.

    Raises:
        InvalidSettings: A setting is about a node type that there is not.
        JournalUnavailable: The journal cannot be opened.
        NodeTypeUnusable: A node type of another package is none, or cannot be opened.
        TemporalError: Something keeps the server from using Temporal at all; that the cluster is away is no error.
    """
    egress = settings.egress_settings(is_exposed=_has_far_cluster(settings))
    parts = HostParts.of(settings, clock, egress, own_ports, telemetry)
    opening = _open_temporal if settings.runtime == "temporal" else _open_embedded
    async with opening(parts) as application:
        yield application


def _has_far_cluster(settings: Settings) -> bool:
    """Whether the worker of this server, if it has one, gets tasks from a cluster beyond this machine."""
    if settings.runtime != "temporal" or not settings.with_worker:
        return False
    try:
        from flowgram_core.temporal.connection import cluster_address  # noqa: PLC0415 - it needs an extra
    except ModuleNotFoundError as error:
        raise TemporalNotInstalled from error
    return not is_loopback(cluster_address(settings.temporal_settings()))


@asynccontextmanager
async def _open_embedded(parts: HostParts) -> AsyncIterator[TaskService]:
    settings, registry, telemetry = parts.settings, parts.registry, parts.telemetry
    async with _opened_journal(settings) as journal, registry.opened():
        if telemetry.on_commit is not None and isinstance(journal, SQLiteJournal):
            journal.listen(telemetry.on_commit)
        application = Application(
            journal=journal,
            codec=parts.codec(),
            registry=registry,
            settings=settings.runtime_settings(),
            clock=parts.clock,
            new_task_id=TaskIDs(parts.clock),
            fairness=parts.fairness,
            register=_work_register(settings, journal),
            workflow_secrets=parts.secrets,
            observer=telemetry.observer(registry.names),
        )
        telemetry.attach(sources_of(registry, application))
        async with application.opened():
            yield application


@asynccontextmanager
async def _open_temporal(parts: HostParts) -> AsyncIterator[TaskService]:
    try:
        from flowgram_server.temporal_host import open_temporal  # noqa: PLC0415 - it needs an extra
    except ModuleNotFoundError as error:
        raise TemporalNotInstalled from error
    async with open_temporal(parts) as application:
        yield application


def _work_register(settings: Settings, journal: Journal) -> WorkRegister:
    """Beside the journal, whose lock is held; none where nothing can be written, or nothing outlives the process."""
    if not isinstance(journal, SQLiteJournal):
        return WorkRegister()
    return WorkRegister.open(Path(settings.data) / WORK_FILE)


@asynccontextmanager
async def _opened_journal(settings: Settings) -> AsyncIterator[Journal]:
    journal: Journal = MemoryJournal()
    if settings.storage == "sqlite":
        journal = await _opened_file(
            Path(settings.data) / JOURNAL_FILE, settings.durability, settings.encryption.keys()
        )
    try:
        yield journal
    finally:
        await journal.close()


async def _opened_file(path: Path, durability: Synchronous, keys: Keys | None) -> Journal:
    """The journal in a file. Where the opening is cancelled, it is closed again, and then none has it."""
    opening = asyncio.create_task(open_journal(path, synchronous=durability, keys=keys))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(JournalUnavailable):
            await (await opening).close()
        raise
