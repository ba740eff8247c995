"""Byte-level BPE: training, encoding, `tokenizer.json`, and the chat format.

    >>> from groundup.tokenizer import Tokenizer
    >>> tokenizer = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=270)
    >>> tokenizer
    Tokenizer(vocabulary=270, pattern='qwen2')
    >>> ids = tokenizer.encode("the cat")
    >>> tokenizer.decode(ids)
    'the cat'

`Tokenizer` trains, loads, saves, encodes and decodes. `StreamDecoder` decodes while tokens arrive. `render` turns a
conversation into ids with a mask of what a model is trained to answer. Readers and writers of other projects' files
(GPT-2's, tiktoken's) are in `groundup.tokenizer.interchange`.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.tokenizer.chat import render
    from groundup.tokenizer.streaming import StreamDecoder
    from groundup.tokenizer.tokenizer import Tokenizer

__all__ = ["StreamDecoder", "Tokenizer", "render"]
__getattr__, __dir__ = exports(
    __name__,
    {
        "StreamDecoder": "groundup.tokenizer.streaming:StreamDecoder",
        "Tokenizer": "groundup.tokenizer.tokenizer:Tokenizer",
        "render": "groundup.tokenizer.chat:render",
    },
)
