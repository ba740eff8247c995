"""The glossary: every term of the field and of the project that a message, a page or the report uses, in a line each.

The one source: `docs/glossary.md` is written from it (`python -m groundup.report.glossary > docs/glossary.md`, which
a test checks), and the report links the terms it uses to a section made of these lines.
"""

import re

TERMS = {
    # data
    "blueprint": "The YAML file that describes a whole run: a section per stage, with notes.",
    "artifact": "The folder that a stage writes once and never changes: results, manifest, digests, provenance.",
    "stage": "One step of the pipeline, from configuration and input artifacts to one output artifact.",
    "run": "A folder with everything that executing one blueprint has produced.",
    "manifest": "The file of an artifact that lists its files with digests, its configuration, inputs and cost.",
    "digest": "A SHA-256 hash of content; equal digests mean equal bytes.",
    "lineage": "What was made from what: the chain of artifacts back to the sources.",
    "document": "One text with its title, source, origin, licence and scores.",
    "curation": "Reading, cleaning, filtering, deduplicating and splitting documents.",
    "ledger": "The record of every finding of curation: what was dropped or changed, by which rule, with samples.",
    "funnel": "How many documents are left after each step of curation.",
    "rule": "A named test that can drop a document or part of one, with a threshold.",
    "exact duplicate": "A document whose normalised text is the same as another's.",
    "near-duplicate": "A document whose shingles overlap with another's at a Jaccard similarity over the threshold.",
    "shingle": "A sequence of consecutive words; documents are compared by the sets of their shingles.",
    "Jaccard similarity": "The size of two sets' intersection divided by that of their union.",
    "MinHash": "A sketch of a set from which the Jaccard similarity of two sets can be estimated.",
    "contamination": "Items of an evaluation set that occur in the training documents.",
    "redaction": "Replacing personal data and keys in a text.",
    "quality classifier": "A model that scores how likely a document is of the kind that was labelled good.",
    "calibration": "Making a score equal the probability that it claims to be.",
    "calibration error": "Mean distance between a score and the observed frequency, over bins of the score.",
    "accuracy": "Fraction of cases that are decided correctly.",
    "precision": "Of the cases that are called positive, the fraction that is. As a setting: the type of numbers.",
    "kappa": "Agreement of raters beyond what chance alone would give: 0 is chance, 1 is full agreement.",
    "best of n": "Sampling n answers and keeping the one that the reward model scores highest.",
    "over-optimisation": "When a reward model's score still rises while the answers get worse in truth.",
    "win rate": "How often a model's answers are preferred to another's; ties count half.",
    "recall": "Of the cases that are positive, the fraction that is called so.",
    "F1": "The harmonic mean of precision and recall.",
    "ROC curve": "Recall against the rate of false positives, for every threshold.",
    "AUC": "Area under the ROC curve: how often a positive case scores above a negative one.",
    "licence": "The terms under which a document may be used, as its source states them.",
    "held-out set": "Documents or questions that no training reads, so that they can measure what was learned.",
    "validation loss": "The loss on the held-out set.",
    # tokenizer
    "token": "A piece of text that the model reads or writes as one unit: a byte, a word or a part of one.",
    "tokenizer": "What turns text into tokens and back.",
    "BPE": "Byte-pair encoding: a vocabulary made by merging the most frequent adjacent pair, again and again.",
    "merges": "The pairs that BPE has joined, in order.",
    "vocabulary": "All tokens that a tokenizer knows.",
    "bytes per token": "How many bytes of UTF-8 text a token covers on average; more is cheaper.",
    "chat template": "How the turns of a conversation are written as one sequence of tokens.",
    "special token": "A token that no text can produce, such as the end of a turn.",
    # model
    "parameters": "The numbers that training adjusts; their count is a model's size.",
    "layers": "The blocks of attention and feed-forward that a token passes through one after the other.",
    "width": "The length of the vector that represents a token inside the model (hidden size).",
    "heads": "The parts into which attention splits the width; keys and values may have fewer (grouped queries).",
    "feed-forward": "The part of a layer that transforms each token on its own, and its inner width.",
    "attention": "The part of a layer in which a token reads from earlier tokens.",
    "context": "How many tokens the model can see at once.",
    "embedding": "The vector that represents a token, or a text.",
    "logits": "The model's scores for each possible next token, before they become probabilities.",
    "RoPE": "Rotary position embedding: positions as rotations of queries and keys.",
    "KV cache": "Keys and values of past tokens, kept so that generation doesn't compute them again.",
    "LoRA": "Low-rank adaptation: training two thin matrices next to each frozen weight.",
    "MoE": "Mixture of experts: layers with several feed-forward parts, of which each token uses a few.",
    # training
    "pretraining": "Learning to predict the next token of documents.",
    "loss": "What training minimises; here the mean surprise per token in nats, lower is better.",
    "nat": "A unit of information: 1 nat is 1.44 bits.",
    "bits per byte": "Bits needed to encode a byte of text; unlike the loss, independent of the tokenizer.",
    "perplexity": "The exponential of the loss: between how many tokens the model hesitates.",
    "n-grams": "A simple language model from counts of short sequences, as a baseline.",
    "primed": "A compressor that has read the training documents first, as the model has.",
    "epochs": "How often the training documents are read.",
    "steps": "Updates of the parameters.",
    "batch": "The samples of one step.",
    "micro-batch": "The part of a batch that is computed at once; gradients are added up over micro-batches.",
    "learning rate": "The size of a step.",
    "gradient norm": "The length of the gradient; spikes that stay are a sign of a learning rate that is too high.",
    "optimizer": "The rule that turns gradients into updates: AdamW, Muon, Adafactor.",
    "optimizer state": "What an optimizer keeps per parameter, such as running means of gradients.",
    "warmup": "The first steps, in which the learning rate rises.",
    "packing": "Filling a sequence with several samples instead of padding.",
    "padding": "Tokens that only fill a sequence up to the length of the longest.",
    "checkpoint": "A saved state from which training resumes exactly.",
    "activation checkpointing": "Recomputing activations in the backward pass instead of keeping them.",
    "FLOPs": "Floating-point operations; training takes about six per parameter and token.",
    "MFU": "Model FLOPs utilisation: the model's useful arithmetic as a fraction of the machine's ceiling.",
    "matmul ceiling": "The arithmetic per second that large matrix products reach on this machine, as measured.",
    "bf16": "bfloat16: a 16-bit number with the range of a 32-bit one.",
    "data parallel": "Every process has the whole model and a part of each batch (DDP).",
    "FSDP": "Fully sharded data parallel: parameters, gradients and optimizer state are split over processes.",
    "tensor parallel": "Each matrix is split over processes.",
    "pipeline bubble": "The fraction of a step in which a pipeline's processes wait for each other.",
    "compute-optimal": "Of the size and number of tokens that give the lowest loss for a budget of FLOPs.",
    "pipeline parallel": "The layers are split over processes.",
    "context parallel": "Each sequence is split over processes.",
    "smear": "Adding a part of the previous token's embedding to each token's.",
    "unit start": "Weights drawn so that layers read numbers of size 1 and at first write 0 (`model.unit_start`).",
    "value embedding": "A table that adds to the values of attention what belongs to a token itself.",
    # alignment
    "SFT": "Supervised fine-tuning: learning from questions with their answers.",
    "subject": "What a question is about: a symbol, a title or a heading of the documents.",
    "phrasing": "One of several wordings of the same question.",
    "preference pair": "Two answers to a prompt, one chosen and one rejected.",
    "Plackett-Luce": "A model of rankings: the best is chosen among all, the next among the rest, and so on.",
    "reward model": "A model that scores an answer; it learns from preference pairs.",
    "PPO": "Proximal policy optimisation: the model answers, the reward model scores, small steps follow.",
    "DPO": "Direct preference optimisation: learning from preference pairs without sampling.",
    "GRPO": "Group-relative policy optimisation: answers to a prompt are compared with each other, without a critic.",
    "policy": "The model that is being aligned.",
    "critic": "The model that predicts the reward that PPO can expect.",
    "KL": "Kullback-Leibler divergence: how far the policy's distribution has moved from the SFT model's.",
    "entropy": "How undecided the policy is, in nats per token.",
    "explained variance": "How much of the rewards' variation the critic predicts: 1 is all, 0 none.",
    "clip fraction": "The fraction of tokens whose change PPO cuts off.",
    "rollout": "Answers that the policy samples to learn from.",
    # evaluation
    "exact match": "The answer is the same as the reference, to the letter.",
    "token F1": "Overlap of an answer's words with the reference's; also counts nearly right answers.",
    "true score": "Token F1 against the documents: a judge that the reward model has not learned from.",
    "95 % interval": "A range that contains the true mean in 95 of 100 repetitions.",
    "bootstrap": "Estimating an interval by drawing again from the measured values.",
    "standard error": "The expected deviation of a measured mean from the true one.",
    "few-shot": "With worked examples before the question.",
    "multiple choice": "A task in which the likeliest of several given answers counts.",
    "log-likelihood": "The logarithm of the probability that the model gives to a text.",
    "pass@k": "The probability that at least one of k samples is right.",
    "minimal pair": "Two sentences that differ in one point, of which one is grammatical (BLiMP).",
    "baseline": "What a trivial method scores: guessing, or always giving the commonest answer.",
    # use
    "temperature": "How much sampling spreads: 0 takes the likeliest token, 1 samples as the model predicts.",
    "top-p": "Sampling from the likeliest tokens that together have probability p.",
    "top-k": "Sampling from the k likeliest tokens.",
    "min-p": "Sampling from tokens at least p times as likely as the likeliest.",
    "prefill": "Computing the keys and values of the prompt.",
    "tool call": "A function that an answer asks to be called, with its arguments as JSON.",
    "grammar": "What an answer must be: at each token those that can't follow are excluded.",
    "BM25": "A score of how well a document fits some words: rare words count more, repeated ones less and less.",
    "CORE": "The mean of 22 tasks' accuracies, each centred so that guessing is 0 and all right is 1 (DCLM).",
    "time to first token": "From the request to the first token of the answer.",
    "GGUF": "The file format of llama.cpp and Ollama.",
    "quantisation": "Storing weights with fewer bits, such as 8 (Q8_0) or 4 (Q4_0).",
    "safetensors": "A file format for tensors that can't execute code.",
}


def slug(name: str) -> str:
    """The id of a term's entry: `term-bits-per-byte`.

    >>> slug("95 % interval")
    'term-95-interval'
    """
    return "term-" + re.sub(r"[^a-z0-9@]+", "-", name.lower()).strip("-").replace("@", "-at-")


def markdown() -> str:
    """`docs/glossary.md`."""
    lines = [
        "# Glossary",
        "",
        "Written by `python -m groundup.report.glossary`; the report links its terms to the same.",
        "",
    ]
    lines += [f"- **{name}**: {meaning}" for name, meaning in sorted(TERMS.items(), key=lambda one: one[0].lower())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
