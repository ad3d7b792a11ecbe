"""The connection to the cluster: Temporal's own configuration, in which the settings override address and namespace."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import RetryConfig, RPCError

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import retry_delays
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.temporal.errors import ConnectionSettingsInvalid
from flowgram_core.temporal.settings import TemporalSettings

_log = logging.getLogger(__name__)

_DEFAULT_ADDRESS: Final = "127.0.0.1:7233"
_CONNECT_TIMEOUT: Final = timedelta(seconds=5)
_RETRY: Final = RetryConfig(
    initial_interval_millis=100,
    randomization_factor=0.2,
    multiplier=1.7,
    max_interval_millis=1_000,
    max_elapsed_time_millis=3_000,
    max_retries=8,
)
"""A cluster that is away is reported to the caller within seconds: clients come back by themselves."""


async def connect(settings: TemporalSettings, converter: DataConverter, *, lazy: bool = True) -> Client:
    """A client of the cluster. The connection is made again whenever it is lost.

    Args:
        settings: Where the cluster is.
        converter: How values go into histories.
        lazy: Connect when the client is first used; a worker cannot use such a client.

    Raises:
        ConnectionSettingsInvalid: The profile or its file cannot be read.
        JournalUnavailable: The cluster cannot be reached; never with `lazy`.
    """
    given = _configuration(settings)
    address = _address(settings, given)
    namespace = settings.namespace or given.get("namespace") or "default"
    try:
        return await Client.connect(
            address,
            namespace=namespace,
            api_key=given.get("api_key"),
            tls=given.get("tls"),
            rpc_metadata=given.get("rpc_metadata", {}),
            data_converter=converter,
            lazy=lazy,
            retry_config=_RETRY,
            connect_timeout=_CONNECT_TIMEOUT,
        )
    except (RuntimeError, RPCError) as error:
        raise JournalUnavailable(f"Temporal at {address} cannot be reached: {error}") from error


def cluster_address(settings: TemporalSettings) -> str:
    """HOST:PORT of the cluster. Raises `ConnectionSettingsInvalid`."""
    return _address(settings, _configuration(settings))


def _address(settings: TemporalSettings, given: ClientConnectConfig) -> str:
    return settings.address or given.get("target_host") or _DEFAULT_ADDRESS


def _configuration(settings: TemporalSettings) -> ClientConnectConfig:
    """What Temporal's own configuration says. Raises `ConnectionSettingsInvalid`."""
    try:
        if settings.config_file and not Path(settings.config_file).is_file():  # it would be passed over
            raise FileNotFoundError(f"{settings.config_file}: no such file")
        return ClientConfig.load_client_connect_config(
            settings.profile or None, config_file=settings.config_file or None
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        # What follows the first line is of the file, and may be a key.
        text = str(error).partition("\n")[0]
        raise ConnectionSettingsInvalid(f"Temporal's configuration cannot be read: {text}") from None


async def connect_in_time(settings: TemporalSettings, converter: DataConverter, clock: Clock) -> Client:
    """A client that is connected, as soon as the cluster answers; until then the log says so, less and less often.

    Raises:
        ConnectionSettingsInvalid: The profile or its file cannot be read.
    """
    delays = retry_delays()
    while True:
        try:
            return await connect(settings, converter, lazy=False)
        except JournalUnavailable as error:
            _log.warning("waiting for Temporal: %s", error)
            await clock.sleep(next(delays))
