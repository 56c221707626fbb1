"""Settings: from options, then ``MRIQC_SNAPSHOT_*`` variables, then ``mriqc-snapshot.toml`` in the working folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from curation.engine import Engine
from curation.errors import UsageError
from curation.partitions import checked_folder
from curation.pull import Politeness, PullLimits
from curation.pull.client import is_loopback
from schemas import RESOURCES

SETTINGS_FILE = "mriqc-snapshot.toml"
POLITE_RATE = 10.0
"""Requests a second towards a service that others use; a server on this machine is not held back."""

FIGSHARE_RATE = 1.0
"""Requests a second that FigShare asks its clients to keep to (https://docs.figshare.com, "Rate limiting")."""


class Settings(BaseSettings):
    """What a run works on and how."""

    model_config = SettingsConfigDict(
        env_prefix="MRIQC_SNAPSHOT_", toml_file=SETTINGS_FILE, extra="forbid", frozen=True
    )

    api_url: str = Field("https://mriqc.nimh.nih.gov/api/v1", description="Base address of the Web-API.")
    store: Path = Field(Path("snapshots/store"), description="Folder of the record store (private).")
    dataset: Path = Field(Path("snapshots/mriqc-snapshot"), description="Folder of the DataLad dataset.")
    index: Path | None = Field(
        None, description="Folder of the index of public images; none is asked without."
    )
    withdrawals: Path | None = Field(
        None, description="File of requests to withdraw records; those that the store knows stay without."
    )
    resources: tuple[str, ...] = Field(RESOURCES, description="Resources to pull.")
    connections: PositiveInt = Field(4, description="Requests under way at once.")
    rate: float | None = Field(None, ge=0, description="Requests begun a second; 0 is no limit.")
    attempts: PositiveInt = Field(6, description="Tries of one request.")
    timeout: PositiveFloat = Field(60.0, description="Seconds one request may take.")
    first_wait: float = Field(
        1.0, ge=0, description="Seconds waited at most before the second try; then doubled."
    )
    longest_wait: PositiveFloat = Field(60.0, description="Seconds waited at most between two tries.")
    overlap_minutes: PositiveFloat = Field(60.0, description="How far back changes are counted again.")
    most_deleted: float = Field(
        0.01, ge=0, le=1, description="Share of records a run believes to be deleted."
    )
    accept_coverage: bool = Field(
        False, description="Publish tables that cover much less than those published last."
    )
    scheduler: str | None = Field(
        None, description="Address of a Dask scheduler, whose workers share the work; this machine without."
    )
    workers: PositiveInt | None = Field(
        None, description="Processes and threads on this machine; as many as it has processors without."
    )
    partitions: str | None = Field(
        None, description="Folder or URL (s3://...) of typed columns; beside the store's parts without."
    )
    push: tuple[str, ...] = Field((), description="Siblings that a night pushes to.")
    keep_nights: PositiveInt | None = Field(
        None, description="Nights whose content stays in the annex, beside releases; all without."
    )
    figshare_url: str = Field("https://api.figshare.com/v2", description="Base address of FigShare's API.")
    figshare_article: PositiveInt | None = Field(
        None,
        description="FigShare's article to deposit into; that of the last deposit, or a new one, without.",
    )
    figshare_categories: tuple[str, ...] = Field((), description="FigShare's categories, by id or title.")
    figshare_rate: float | None = Field(None, ge=0, description="Requests to FigShare begun a second.")
    figshare_check_seconds: PositiveFloat = Field(
        600.0, description="How long FigShare's checks of files are waited for."
    )
    task_retries: int = Field(
        2, ge=0, description="Times Prefect runs a task again when the service is away."
    )
    task_retry_delay: float = Field(60.0, ge=0, description="Seconds before it does.")

    @field_validator("figshare_categories", mode="before")
    @classmethod
    def _are_texts(cls, value: object) -> object:
        # Ids are written as numbers.
        return [str(one) for one in value] if isinstance(value, list | tuple) else value

    @field_validator("api_url", "figshare_url")
    @classmethod
    def _is_http(cls, value: str, info: ValidationInfo) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            usual = cls.model_fields[info.field_name or ""].default
            raise ValueError(f"an http(s) address such as {usual} is expected")
        if parts.username is not None or parts.password is not None:
            # Settings are kept with Prefect's runs.
            raise ValueError("an address without user name and password is expected")
        _ = parts.port  # raises ValueError for what is no port
        return value

    @field_validator("resources")
    @classmethod
    def _are_resources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in value if name not in RESOURCES]:
            raise ValueError(f"{unknown[0]!r} is no resource; expected some of {', '.join(RESOURCES)}")
        return tuple(name for name in RESOURCES if name in value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options before the environment before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("scheduler")
    @classmethod
    def _is_scheduler(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("tcp", "tls", "ucx", "ws", "wss"):
            raise ValueError("the address of a Dask scheduler such as tcp://127.0.0.1:8786 is expected")
        return value

    @field_validator("partitions")
    @classmethod
    def _is_folder(cls, value: str | None) -> str | None:
        # Looked at here, too: settings are kept with Prefect's runs.
        try:
            return value and checked_folder(value)
        except UsageError as error:
            raise ValueError(str(error)) from None

    def engine(self) -> Engine:
        """Where curation does its work.

        Raises:
            UsageError: no scheduler answers at the address.
        """
        return Engine(self.scheduler, self.workers, partitions=self.partitions)

    @property
    def politeness(self) -> Politeness:
        """How the service is asked."""
        rate = self.rate
        if rate is None:
            rate = 0.0 if is_loopback(self.api_url) else POLITE_RATE
        return Politeness(
            connections=self.connections,
            per_second=rate,
            attempts=self.attempts,
            first_wait=self.first_wait,
            longest_wait=self.longest_wait,
            timeout=self.timeout,
        )

    @property
    def figshare_politeness(self) -> Politeness:
        """How FigShare is asked."""
        rate = self.figshare_rate
        if rate is None:
            rate = 0.0 if is_loopback(self.figshare_url) else FIGSHARE_RATE
        return replace(self.politeness, per_second=rate)

    @property
    def limits(self) -> PullLimits:
        """What a pull may conclude from the service's answers."""
        return PullLimits(overlap=timedelta(minutes=self.overlap_minutes), most_deleted=self.most_deleted)


def load_settings(**options: Any) -> Settings:
    """Settings with ``options`` that are not ``None`` before everything else.

    Raises:
        UsageError: a setting is unknown or not what it has to be.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise UsageError(f"settings: {problems}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{SETTINGS_FILE}: {error}") from None
