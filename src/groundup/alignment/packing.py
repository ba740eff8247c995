"""Several examples in a row, each to itself: no token sees another example, and positions start at 0 in each.

A padded batch is as wide as its longest example; a packed one is as wide as the model's context, with the examples put
into its rows by best fit. The examples of a step, their losses and so its gradient are the same.
"""

from collections.abc import Sequence

import torch

from groundup.alignment.answers import SAME_WIDTH, Answer, AnswerBatch, checked
from groundup.shards.packing import best_fit


def pack(answers: Sequence[Answer], context: int, pad: int) -> AnswerBatch:
    """The answers with their prompts in as few rows of at most `context` tokens as best fit finds.

    Rows of `mask_BR` are answers, in their order within the rows.

    Raises:
        GroundupError: an answer or a prompt has no token.
        ValueError: an example is longer than the context.
    """
    checked(answers)
    rows = best_fit([len(answer) for answer in answers], context)
    width = max(sum(len(answers[index]) for index in row) for row in rows)
    width += -width % SAME_WIDTH
    ids_BT = torch.full((len(rows), width), pad, dtype=torch.long)
    documents_BT = torch.full((len(rows), width), -1, dtype=torch.long)  # padding is a document of its own
    answer_BT = torch.zeros(len(rows), width, dtype=torch.bool)
    lengths = []
    for row, indices in enumerate(rows):
        start = 0
        for index in indices:
            one = answers[index]
            end = start + len(one)
            ids_BT[row, start:end] = torch.tensor(one.prompt + one.answer)
            documents_BT[row, start:end] = index
            answer_BT[row, end - len(one.answer) : end] = torch.tensor(one.trained)
            lengths.append(sum(one.trained))
            start = end
    mask_BR = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return AnswerBatch(ids_BT, answer_BT, mask_BR, documents_BT)
