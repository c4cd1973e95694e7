"""Kinds of values that both sides' settings hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _home(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


Bytes = Annotated[int, Field(ge=0, le=1 << 50)]
FilePath = Annotated[Path, BeforeValidator(_home)]


class Strict(BaseModel):
    """Settings in which an unknown key or a value of another type is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Certificates(Strict):
    """Files that ``vla-rl learner keys`` makes: who signs both sides, and who this one is."""

    authority: FilePath
    certificate: FilePath
    key: FilePath
