"""groundup's models in lm-evaluation-harness (the extra `harness`), without a server and without transformers.

    from groundup.evaluation.harness import harness_model
    from lm_eval import simple_evaluate
    simple_evaluate(model=harness_model("runs/mine"), tasks=["hellaswag"])

Log-likelihoods are those of the harness's own model of transformers: the text is encoded as a whole and cut after the
context, white space at a context's end belongs to the continuation, and an empty context is the token at which
documents begin.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import GroundupError
from groundup.evaluation.tasks.likelihood import continuation_ids, likelihoods, rolling_nats
from groundup.inference.engine import InferenceEngine
from groundup.inference.loading import LoadedModel
from groundup.inference.sampling import Sampling
from groundup.inference.text import TextAnswer

if TYPE_CHECKING:
    from lm_eval.api.model import LM

SLOTS = 32  # answers that are written together
MAX_TOKENS = 256  # of an answer where the task doesn't say


def harness_model(model: "str | Path | LoadedModel") -> "LM":
    """A model of lm-evaluation-harness.

    Args:
        model: a loaded model; or an exported or Hugging Face folder, or a run, whose newest model is meant.

    Raises:
        GroundupError: the harness isn't installed, or there is no such model.
    """
    try:
        from lm_eval.api.model import LM
    except ModuleNotFoundError as error:
        what = f"{error.name} is not installed"
        raise GroundupError(what, do='run: pip install "groundup[harness]"') from error
    if not isinstance(model, LoadedModel):
        from groundup.inference.chat_model import load

        model = load(model).loaded
    loaded = model

    class GroundupHarnessModel(LM):  # type: ignore[misc]  # the harness may be absent, and has no types
        """Answers the harness's three kinds of requests; batches are made by length, whatever the order."""

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            pairs = [continuation_ids(loaded, *request.args) for request in requests]
            return [(one.logprob, one.greedy) for one in likelihoods(loaded, pairs)]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return [-rolling_nats(loaded, request.args[0]) for request in requests]

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            engine = InferenceEngine(loaded.model, slots=min(SLOTS, max(1, len(requests))), words=loaded.words)
            answers = [_answer(engine, loaded, *request.args) for request in requests]
            engine.run()
            return [answer.take() for answer in answers]

    return GroundupHarnessModel()


def _answer(engine: InferenceEngine, loaded: LoadedModel, context: str, options: dict[str, Any]) -> TextAnswer:
    """The harness's options are those of transformers' generate; without any it is greedy."""
    until = options.get("until") or []
    limit = int(options.get("max_gen_toks", MAX_TOKENS))
    temperature = float(options.get("temperature", 0.0)) if options.get("do_sample") else 0.0
    room = max(1, loaded.context - limit)
    return TextAnswer(
        engine,
        loaded.tokenizer,
        (loaded.tokenizer.encode(context) or [loaded.tokenizer.end_of_text])[-room:],
        max_tokens=limit,
        stop=[until] if isinstance(until, str) else until,
        stop_ids=loaded.stop,
        sampling=Sampling(temperature, top_p=float(options.get("top_p", 1.0)), seed=None),
    )
