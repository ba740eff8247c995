"""Where answers come from: the training documents nearest to them, by the run's own lineage."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from groundup.corpus.documents import NearDocument
from groundup.serve.errors import REFUSALS, ApiError
from groundup.serve.models import Models
from groundup.serve.requests import MAX_DOCUMENTS, Body, Text, Whole
from groundup.serve.schemas import WhereBody

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.loading import LoadedModel

_one_at_a_time = threading.Lock()  # a search takes all of a core

NO_DOCUMENTS = "the documents that this model was trained on are not here"


class WhereRequest(Body):
    """The body of `POST /where`."""

    answer: Annotated[Text, Field(max_length=100_000)]
    question: Annotated[Text, Field(max_length=100_000)] = ""
    count: Whole = Field(default=3, ge=1, le=MAX_DOCUMENTS)


def routes(models: Models) -> APIRouter:
    """The route, over these models."""
    router = APIRouter()

    @router.post("/where", responses=REFUSALS)
    async def where(body: WhereRequest) -> WhereBody:
        """The training documents nearest to an answer, with source, licence and address."""
        loaded = await models.get(body.model)
        return WhereBody(documents=await near(loaded, body.question, body.answer, body.count))

    return router


async def near(loaded: "LoadedModel", question: str, answer: str, count: int) -> list[NearDocument]:
    """The documents; a 400 where the model's are not here."""
    documents = loaded.documents
    if documents is None:
        raise ApiError(400, NO_DOCUMENTS, code="no_documents")
    from groundup.corpus.near_documents import nearest

    def search() -> list[NearDocument]:
        with _one_at_a_time:
            return nearest(documents, answer, question, count)

    return await asyncio.to_thread(search)


async def near_each(loaded: "LoadedModel", question: str, answers: Sequence[str], count: int) -> list[list[Any]]:
    """Those of each answer, JSON-ready."""
    return [[asdict(one) for one in await near(loaded, question, answer, count)] for answer in answers]
