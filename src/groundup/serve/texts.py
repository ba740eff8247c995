"""Routes for texts without a chat format: completions, embeddings, tokenize and detokenize."""

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from groundup.serve.chat import check_bias, check_length, collect, streamed, unless_gone
from groundup.serve.errors import REFUSALS, ApiError
from groundup.serve.models import Models
from groundup.serve.replies import CompletionReply, embeddings
from groundup.serve.requests import CompletionRequest, DetokenizeRequest, EmbeddingRequest, TokenizeRequest
from groundup.serve.schemas import CompletionBody, DetokenizedText, EmbeddingBody, TokenList, streaming
from groundup.serve.worker import Generation, Worker

if TYPE_CHECKING:  # they bring torch
    from groundup.inference.loading import LoadedModel
    from groundup.serve.choices import Delta


def routes(models: Models, worker: Worker) -> APIRouter:
    """The routes, over these models."""
    router = APIRouter()

    @router.post("/v1/completions", responses=REFUSALS | streaming(CompletionBody))
    async def completions(body: CompletionRequest, request: Request) -> Response:
        from groundup.serve.choices import ChoiceRequest

        loaded = await models.get(body.model)
        prompts = [_ids(loaded, one, "prompt") for one in body.prompts]
        check_bias(loaded, body.bias)
        for ids in prompts:
            check_length(len(ids), loaded, "prompt", room=0 if body.echo else 1)
        scored = body.echo and body.logprobs is not None
        jobs = [
            ChoiceRequest(ids, body.max_tokens, body.sampling(index), body.stop, body.logprobs, prompt_logprobs=scored)
            for ids in prompts
            for index in range(body.n)
        ]
        generation = worker.submit(loaded, jobs)
        reply = CompletionReply(models.check(body.model), loaded.tokenizer)
        try:
            if body.stream:
                return await _streamed(generation, body, request, reply)
            texts, tokens = await unless_gone(request, collect(generation))
        except BaseException:  # also when the server cancels this request
            generation.leave()
            raise
        choices = []
        for index, (answer, job) in enumerate(zip(generation.answers, jobs, strict=True)):
            before = loaded.tokenizer.decode(job.prompt) if body.echo else ""
            logprobs = [*answer.prompt_logprobs, *tokens[index]] if body.logprobs is not None else None
            offset = 0 if scored or not body.echo else len(before)
            choices.append(reply.choice(index, before + texts[index], answer.finish_reason, logprobs, offset))
        return JSONResponse(reply.whole(choices, generation.usage))

    @router.post("/v1/embeddings", responses=REFUSALS | {200: {"model": EmbeddingBody}})
    async def embed(body: EmbeddingRequest) -> Response:
        from groundup.inference.scoring import embedding

        loaded = await models.get(body.model)
        inputs = [_ids(loaded, one, "input") for one in body.inputs]
        for ids in inputs:
            check_length(len(ids), loaded, "input", room=0)
        vectors = await asyncio.to_thread(lambda: [embedding(loaded.model, ids) for ids in inputs])
        name, tokens = models.check(body.model), sum(map(len, inputs))
        return JSONResponse(embeddings(name, vectors, body.encoding_format == "base64", tokens))

    @router.post("/tokenize", responses=REFUSALS)
    async def tokenize(body: TokenizeRequest) -> TokenList:
        """The ids of a text, or of messages ready for an answer."""
        loaded = await models.get(body.model)
        if body.messages is not None:
            tokens = loaded.chat_prompt([message.turn() for message in body.messages])
        else:
            tokens = loaded.tokenizer.encode(body.content if body.content is not None else body.prompt or "")
        return TokenList(tokens=tokens, count=len(tokens), max_model_len=loaded.context)

    @router.post("/detokenize", responses=REFUSALS)
    async def detokenize(body: DetokenizeRequest) -> DetokenizedText:
        """The text of ids."""
        loaded = await models.get(body.model)
        text = loaded.tokenizer.decode(_checked(loaded, body.tokens, "tokens"))
        return DetokenizedText(content=text, prompt=text)

    return router


async def _streamed(
    generation: Generation, body: CompletionRequest, request: Request, reply: CompletionReply
) -> Response:
    def chunk(index: int, piece: "Delta") -> dict[str, Any]:
        tokens = piece.tokens if body.logprobs is not None else None
        return reply.whole([reply.choice(index, piece.text, None, tokens)], {})

    async def closing() -> list[dict[str, Any]]:
        answers = enumerate(generation.answers)
        return [reply.whole([reply.choice(index, "", answer.finish_reason, None)], {}) for index, answer in answers]

    usage = (lambda: reply.usage(generation.usage)) if body.wants_usage else None
    return await streamed(generation, request, list, chunk, closing, usage)


def _ids(loaded: "LoadedModel", text: str | list[int], param: str) -> list[int]:
    """A text's ids, or the given ones; a text without any begins where a document does."""
    if isinstance(text, str):
        text = loaded.tokenizer.encode(text, special=True)
        end_of_text = loaded.tokenizer.special_ids.get("<|endoftext|>")
        if not text and end_of_text is not None:
            return [end_of_text]
    if not text:
        raise ApiError(400, f"the {param} is empty", param=param, code="no_tokens")
    return _checked(loaded, text, param)


def _checked(loaded: "LoadedModel", ids: list[int], param: str) -> list[int]:
    size = loaded.tokenizer.vocabulary_size
    if wrong := next((token for token in ids if not 0 <= token < size), None):
        message = f"{param}: there is no token {wrong}; the vocabulary has {size}"
        raise ApiError(400, message, param=param, code="unknown_token")
    return ids
