"""The `sandbox` section of the configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.sandbox.base import Limits
from harness.sandbox.egress.proxy import EgressConfig

DEFAULT_IMAGE = "harness-base"


class SandboxConfig(BaseModel):
    """Which provider runs commands, and within which bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str = "auto"
    """`auto`, `docker`, `bubblewrap`, `process`, the name of an entry point of the group
    `harness.sandboxes`, or `package.module:Class`."""
    image: str = DEFAULT_IMAGE
    """Docker image of sandboxes whose spec names none."""
    docker_host: str | None = None
    """Address of the Docker daemon; None: DOCKER_HOST or the client's default."""
    transport: Literal["auto", "bind", "tar"] = "auto"
    """How files get into containers: mounted folders, or tar streams where the daemon cannot mount
    this machine's (rootless, remote). `auto` asks the daemon."""
    runtime: str | None = None
    """Docker's runtime for containers, such as `runsc` (gVisor); None: the daemon's default."""
    prestart: int = Field(default=0, ge=0, le=64)
    """Sandboxes for candidates that are started ahead, for the next evaluations; each is used once.
    Saves the start of a container at the price of its memory."""
    seccomp: Literal["harness", "engine"] = "harness"
    """Which system calls are refused: `harness`, its own list (io_uring, user namespaces, BPF,
    keyrings and more); `engine`, Docker's default profile, and none for other sandboxes."""
    egress: EgressConfig = Field(default_factory=EgressConfig)
    """The way out for agents' commands; candidates and judges have none."""
    limits: Limits = Field(default_factory=Limits)
    unsafe: bool = False
    """Run code that a model wrote even where the provider does not isolate it."""
