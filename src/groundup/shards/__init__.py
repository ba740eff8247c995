"""Token files, the order of samples, and the windows that training reads.

    >>> import tempfile
    >>> from groundup.shards import SampleStream, TokenShard, write_tokens
    >>> from groundup.tokenizer import Tokenizer
    >>> tokenizer = Tokenizer.train([])  # bytes only
    >>> folder = tempfile.mkdtemp()
    >>> shard = write_tokens(folder, "train", tokenizer, ["one document", "and another"])
    >>> shard.documents, len(shard)  # each document is followed by <|endoftext|>
    (2, 25)
    >>> stream = SampleStream(shard, length=4, seed=0)
    >>> stream.batch(0, 2).shape  # draws 0 and 1: inputs and, one on, targets
    (2, 5)

`TokenShard.open` maps a split that the stage `tokens` wrote. `SampleStream` draws samples from it in an order that is
computed and never stored, with a mixture of sources if asked. `DrawnSamples` and `RankDraws` make a PyTorch data set
and sampler of it. `best_fit` packs examples of different lengths into windows.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.shards.dataset import DrawnSamples, RankDraws
    from groundup.shards.packing import best_fit
    from groundup.shards.stream import SampleStream
    from groundup.shards.token_file import TokenShard, write_tokens

__all__ = ["DrawnSamples", "RankDraws", "SampleStream", "TokenShard", "best_fit", "write_tokens"]
__getattr__, __dir__ = exports(
    __name__,
    {
        "DrawnSamples": "groundup.shards.dataset:DrawnSamples",
        "RankDraws": "groundup.shards.dataset:RankDraws",
        "SampleStream": "groundup.shards.stream:SampleStream",
        "TokenShard": "groundup.shards.token_file:TokenShard",
        "best_fit": "groundup.shards.packing:best_fit",
        "write_tokens": "groundup.shards.token_file:write_tokens",
    },
)
