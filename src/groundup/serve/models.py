"""The models that a server offers, loaded when the first request asks for them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from groundup.serve.errors import ApiError

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.loading import LoadedModel


class Models:
    """Public names and how to load what they mean.

    Args:
        offered: the first is the one that answers requests that name none.
    """

    def __init__(self, offered: "Mapping[str, Callable[[], LoadedModel]]") -> None:
        self.offered = dict(offered)
        self.default = next(iter(self.offered))
        self._loaded: dict[str, LoadedModel] = {}
        self._lock = asyncio.Lock()

    def check(self, name: str | None) -> str:
        """The public name that a request means; a 404 where there is no such model."""
        if name is None:
            return self.default
        if name not in self.offered:
            message = f"there is no model {name!r} here; this server has {', '.join(self.offered)}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return name

    async def get(self, name: str | None) -> "LoadedModel":
        """The model that a request names."""
        name = self.check(name)
        async with self._lock:
            if name not in self._loaded:
                self._loaded[name] = await asyncio.to_thread(self.offered[name])
        return self._loaded[name]
