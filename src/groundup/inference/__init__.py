"""Using a model: chat with a run, continue texts, and the engine below both.

    >>> from groundup.inference import Sampling, generate
    >>> from groundup.model import CustomLanguageModel, LLMConfig
    >>> from groundup.tokenizer import Tokenizer
    >>> tokenizer = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=280)
    >>> config = LLMConfig(vocab_size=tokenizer.vocabulary_size, hidden_size=128, num_hidden_layers=2)
    >>> model = CustomLanguageModel(config, seed=0)
    >>> len(generate(model, tokenizer, "the cat", max_tokens=8, n=3, sampling=Sampling(0.8, top_p=0.95, seed=1)))
    3

`load("runs/python-docs").chat("...")` asks a run's newest model. `InferenceEngine` continues many prompts at once, with
what they have in common read once; with an `NgramDraft` or `ModelDraft` it confirms several guessed tokens in a step.
`Grammar` makes answers JSON of a schema, or what a regular expression or grammar matches.
`TextAnswer` is one of its requests as text, with stop strings, while it comes.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.inference.chat_model import load
    from groundup.inference.continuation import generate
    from groundup.inference.engine import InferenceEngine
    from groundup.inference.grammar import Grammar
    from groundup.inference.sampling import Sampling
    from groundup.inference.speculation import ModelDraft, NgramDraft
    from groundup.inference.text import TextAnswer

__all__ = ["Grammar", "InferenceEngine", "ModelDraft", "NgramDraft", "Sampling", "TextAnswer", "generate", "load"]
__getattr__, __dir__ = exports(
    __name__,
    {
        "TextAnswer": "groundup.inference.text:TextAnswer",
        "Grammar": "groundup.inference.grammar:Grammar",
        "InferenceEngine": "groundup.inference.engine:InferenceEngine",
        "ModelDraft": "groundup.inference.speculation:ModelDraft",
        "NgramDraft": "groundup.inference.speculation:NgramDraft",
        "Sampling": "groundup.inference.sampling:Sampling",
        "generate": "groundup.inference.continuation:generate",
        "load": "groundup.inference.chat_model:load",
    },
)
