"""A run folder as the stages leave it, with plausible figures and no training: what the report is tried on."""

import json
import math
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.alignment.data.pairs import KINDS
from groundup.alignment.data.questions import Item, write_items
from groundup.artifacts import Artifact, Manifest, Measured, MetricsLog, StageKey
from groundup.blueprint import gallery
from groundup.blueprint.dump import dump
from groundup.blueprint.load import load
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import Given
from groundup.corpus.documents import Document, Dropped, Fact, document_id, read_documents
from groundup.evaluation.checker import exact, token_f1
from groundup.pipeline.folder import Remembered, RunFolder

NAMES = (
    "join",
    "split",
    "walk",
    "read",
    "write",
    "parse",
    "dump",
    "load",
    "match",
    "fold",
    "sort",
    "bind",
    "copy",
    "list",
)
MODULES = ("os.path", "json", "re", "shutil", "textwrap", "asyncio", "pathlib", "statistics", "zipfile", "heapq")
VERBS = ("Return", "Compute", "Open", "Convert", "Remove", "Yield", "Create", "Compare", "Encode", "Format")
THINGS = ("the path", "a sorted copy", "the first match", "every entry", "a mapping", "the given file", "a new list")
ENDS = ("as a string", "of the sequence", "below a folder", "in one pass", "without blocking", "from an iterable")


class FakeRun:
    """Builds `<folder>/runs/<name>` stage by stage.

    Args:
        align: `ppo` or `dpo`.
        heldout: fraction of documents in the held-out set; 0 for none.
        own_data: SFT, preferences and (if True) no questions come from files that the blueprint names.
        documents: documents added to the made-up ones, e.g. hostile ones.
    """

    def __init__(
        self,
        folder: Path,
        align: str = "ppo",
        heldout: float = 0.02,
        own_data: bool = False,
        documents: tuple[Document, ...] = (),
        until: str = "export",
    ) -> None:
        self.random = random.Random(7)
        self.align, self.own_data, self.until = align, own_data, until
        self.base = folder
        self.folder = folder / "runs" / "python-docs"
        self.folder.mkdir(parents=True)
        self.artifacts: dict[str, Artifact] = {}
        self.seconds, self.begun = 0.0, True
        self._blueprint(heldout)
        self._documents(documents, heldout)
        for make in (
            self._tokenizer,
            self._pretrain,
            self._sft,
            self._reward,
            self._aligned,
            self._evaluate,
            self._export,
        ):
            make()

    def _blueprint(self, heldout: float) -> None:
        text = gallery.text("python-docs").replace("align: ppo ", f"align: {self.align} ")
        if self.own_data:
            text = text.replace("  # data: questions.jsonl", "  data: questions.jsonl ")
            text = text.replace("  # data: pairs.jsonl", "  data: pairs.jsonl ")
        (self.folder / "blueprint.source.yaml").write_text(text)
        overrides = ["pretrain.tokens=800_000", f"curate.heldout={heldout}"]
        (self.folder / "blueprint.yaml").write_text(dump(load(self.folder / "blueprint.source.yaml", overrides)))
        folder = RunFolder(self.folder)
        folder.remember(Remembered("blueprint.yaml", overrides))
        self.events = folder

    def _publish(
        self, stage: str, figures: dict[str, Any], seconds: float, megabytes: int, inputs: tuple[str, ...] = ()
    ) -> None:
        """Manifest what lies in the stage's folder; nothing once `until` has been made."""
        if not self.begun:
            return
        self.begun = stage != self.until
        key = StageKey(stage, 1, {}, 1337, {name: self.artifacts[name].manifest.content for name in inputs})
        path = self.folder / "artifacts" / key.folder
        self._at(stage).rename(path)
        self.seconds += seconds
        made = {
            "groundup": "0.1.0",
            "python": "3.11.9",
            "torch": "2.13.0+cpu",
            "numpy": "2.3.1",
            "platform": "Linux-6.1-x86_64",
            "cpu": "AMD EPYC 9R14 96-Core Processor",
            "threads": 2,
            "device": "cpu",
            "started": "2026-01-31T12:00:00Z",
            "ended": f"2026-01-31T12:{int(self.seconds) // 60:02}:{int(self.seconds) % 60:02}Z",
            "resumed": stage == "pretrain",
        }
        manifest = Manifest.of_folder(path, key, figures, Measured(seconds, megabytes << 20), made)
        manifest.write(path)
        self.artifacts[stage] = Artifact(path, manifest)
        self.events.event(
            "started",
            stage,
            key=key.digest,
            expected={"seconds": seconds * 0.9, "memory_bytes": megabytes * 1e6, "disk_bytes": 1e6},
        )

    def _at(self, stage: str) -> Path:
        path = self.folder / "artifacts" / stage
        (path / "records").mkdir(parents=True, exist_ok=True)
        (path / "model").mkdir(exist_ok=True)
        return path

    def _documents(self, more: tuple[Document, ...], heldout: float) -> None:
        seen: dict[str, Document] = {}
        while len(seen) < 400:
            pick = self.random.choice
            name = f"{pick(MODULES)}.{pick(NAMES)}_{self.random.randrange(100)}"
            words = [f"{pick(VERBS)} {pick(THINGS)} {pick(ENDS)}." for _ in range(self.random.randrange(1, 8))]
            text = f"{name}(a, *p)\n\n{' '.join(words)}"
            facts = (Fact(name, "summary", words[0]),)
            licence = self.random.choice(("PSF-2.0", "PSF-2.0", "BSD-3-Clause"))
            seen[name] = Document(document_id(text), text, name, "python-docs", name, licence, facts=facts)
        short = [
            Document(document_id(f"TODO {n}"), f"TODO {n}", f"m.todo_{n}", "python-docs", f"m.todo_{n}")
            for n in range(30)
        ]
        why = "No module named '_tkinter'"
        broken = Dropped("python-docs", "tkinter", "not-importable", "tkinter", excerpt=why)
        config = CurateConfig(sources=[{"kind": "python-docs"}], heldout=heldout)
        at, found = self._at("curate"), Given((*seen.values(), *short, *more, broken), "python-docs")
        self.curated = curate([found], config, at, self.base / "kept-aside", self.base)
        self.kept = list(read_documents(at / "documents"))
        self._publish("curate", self.curated, 27.4, 334)

    def _tokenizer(self) -> None:
        train = [one for one in self.kept if one.split == "train"]
        sample = train[0].text
        cut = [sample[at : at + 4] for at in range(0, min(200, len(sample)), 4)]
        figures = {
            "vocabulary": 4096,
            "vocabulary_asked": 4096,
            "merges": 3834,
            "pattern": "qwen2",
            "distinct_words": 40035,
            "bytes_per_token": {"train": 3.39, "heldout": 3.31 if self.curated["heldout_documents"] else None},
            "never_used": 0.0213,
            "rare": 0.0871,
            "uses": {"0": 87, "1 to 9": 270, "10 to 99": 1650, "100 to 999": 1800, "1,000 to 9,999": 283},
            "least_used": [[" NotImplementedErro", 0], ["\u30c6", 1]],
            "compared": {
                "name": "gpt2",
                "vocabulary": 50256,
                "sources": {"python-docs": {"bytes": 1_048_576, "ours": 309_000, "theirs": 299_000}},
                "languages": {"en": {"bytes": 1_048_576, "ours": 309_000, "theirs": 299_000}},
            },
            "longest_tokens": [
                " NotImplementedError",
                "+---------------+",
                " " * 12,
                ".BaseHTTPRequestHandler",
                "\n\n\t",
            ],
            "sample": {"title": train[0].title, "tokens": cut},
        }
        self._at("tokenizer")
        self._publish("tokenizer", figures, 6.6, 249, ("curate",))
        self._at("tokens")
        split = {"documents": len(train), "tokens": 1478992, "bytes": 5017114}
        tongues = {
            "en": {**split, "tokens": 1178992, "bytes": 4617114},
            "de": {**split, "tokens": 300000, "bytes": 400000},
        }
        figures = {
            "train": {**split, "sources": {"python-docs": split}, "languages": tongues},
            "heldout": {"documents": 8, "tokens": 23186, "bytes": 71000},
            "epoch_tokens": 1478992,
        }
        self._publish("tokens", figures, 4.2, 250, ("curate", "tokenizer"))

    def _rows(self, stage: str, rows: list[dict[str, float]]) -> None:
        log = MetricsLog(self._at(stage) / "records" / "metrics.jsonl")
        for step, row in enumerate(rows, 1):
            log.write(step, **row)
        log.close()

    def _loop(self, steps: int, start: float, end: float, held: float, name: str = "loss") -> list[dict[str, float]]:
        """Rows of a training loop whose loss falls from `start` to `end`."""
        rows = []
        for step in range(1, steps + 1):
            done = step / steps
            loss = end + (start - end) * math.exp(-7 * done) + self.random.gauss(0, 0.03 * end)
            rate = 2e-3 * min(1, done / 0.05) * (0.5 + 0.5 * math.cos(math.pi * done))
            row = {"loss": loss, "learning_rate": rate, "gradient_norm": 0.5 + 2 * math.exp(-9 * done)}
            if step % max(1, steps // 20) == 0 and held:
                row[f"heldout_{name}"] = held * (1 + math.exp(-6 * done))
            rows.append(row)
        return rows

    def _pretrain(self) -> None:
        held = self.curated["heldout_documents"]
        measured = [{"tokens_per_second": speed, "mfu": speed * 2.56e7 / 1e12} for speed in (9_000, 12_345, 12_400)]
        rows = self._loop(782, 8.3, 3.9, 4.2 if held else 0)
        self._rows("pretrain", [row | measured[step if step < 3 else 1] for step, row in enumerate(rows)])
        shape = {
            "vocab_size": 4096,
            "hidden_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 704,
            "max_position_embeddings": 256,
        }
        (self._at("pretrain") / "model" / "config.json").write_text(json.dumps(shape))
        figures = {"parameters": 4_000_000, "steps": 782, "tokens": 800_768, "epochs": 0.54, "precision": "bf16"}
        figures |= {"heldout_loss": 4.21} if held else {}
        self._publish("pretrain", figures, 196.5, 812, ("tokens", "tokenizer"))

    def _sft(self) -> None:
        facts = [(fact, one.id) for one in self.kept if one.split == "train" for fact in one.facts]
        items = [Item(*row) for row in sorted((fact.subject, fact.aspect, fact.answer, id_) for fact, id_ in facts)]
        self.items = [] if self.own_data else items[:300]
        write_items(self._at("sft") / "items.jsonl", self.items)
        self._rows("sft", self._loop(900, 4.5, 0.12, 0.0 if self.own_data else 0.4))
        figures = {
            "examples": 1200 if self.own_data else 5 * len(self.items),
            "questions": 1200 if self.own_data else len(self.items),
            "subjects": len(self.items),
            "turns": 1,
            "made_from_documents": not self.own_data,
            "steps": 900,
            "precision": "bf16",
            "padding": {"padded": 0.213, "packed": 0.041},
        }
        self._publish("sft", figures, 241.0, 903, ("curate", "tokenizer", "pretrain"))

    def _reward(self) -> None:
        rows = self._loop(280, 0.69, 0.08, 0)
        for row in rows:
            row["accuracy"] = min(1.0, 1.02 - row["loss"] * 0.7)
        rows[-1]["heldout_accuracy"] = 0.962
        self._rows("reward", rows)
        at, draw = self._at("reward"), self.random.gauss
        kinds = ["given"] * 200 if self.own_data else [KINDS[index % 4] for index in range(200)]
        scores = {"chosen": [draw(2, 0.7) for _ in kinds], "rejected": [draw(-1.5, 1.2) for _ in kinds], "kind": kinds}
        (at / "records" / "heldout_scores.json").write_text(json.dumps(scores))
        (at / "model" / "scale.json").write_text(json.dumps({"mean": 2.0, "deviation": 2.1}))
        by_kind = {kind: {"pairs": n, "accuracy": 0.92 + 0.02 * n / 200} for kind, n in Counter(kinds).items()}
        figures = {
            "pairs": 4320,
            "heldout_pairs": len(kinds),
            "made_from_documents": not self.own_data,
            "by_kind": by_kind,
            "steps": 280,
            "precision": "bf16",
            "heldout_accuracy": 0.962,
        }
        self._publish("reward", figures, 38.0, 870, ("tokenizer", "sft"))

    def _aligned(self) -> None:
        if self.align == "dpo":
            rows = self._loop(280, 0.69, 0.3, 0)
            for index, row in enumerate(rows):
                row |= {"accuracy": 0.5 + 0.45 * index / 280, "chosen_gain": -index / 200, "rejected_gain": -index / 40}
            rows[-1]["heldout_accuracy"] = 0.93
            figures: dict[str, Any] = {"pairs": 4320, "steps": 280, "precision": "bf16", "heldout_accuracy": 0.93}
        else:
            rows = []
            for index in range(30):
                done = index / 29
                rows.append(
                    {
                        "score": -0.9 + 0.7 * done + self.random.gauss(0, 0.06),
                        "reward": -0.95 + 0.6 * done + self.random.gauss(0, 0.06),
                        "kl": 1.8 * done + self.random.gauss(0, 0.05),
                        "kl_beta": 0.05,
                        "entropy": 0.6 - 0.3 * done + self.random.gauss(0, 0.01),
                        "ended": 0.95 + 0.04 * done,
                        "answer_tokens": 17 - 2 * done,
                        "explained_variance": 0.1 + 0.6 * done,
                        "clip_fraction": 0.05,
                        "approximate_kl": 0.004,
                        "loss": -0.01,
                        "value_loss": 0.4 - 0.2 * done,
                        "ratio": 1.0,
                    }
                )
            figures = {"iterations": 30, "prompts": 4 * len(self.items), "precision": "bf16", **rows[-1]}
        self._rows(self.align, rows)
        self._publish(self.align, figures, 74.0, 1012, ("tokenizer", "sft", "reward"))

    def _evaluate(self) -> None:
        held = self.curated["heldout_documents"]
        bits: dict[str, Any] = {"documents": held, "bytes": self.curated["heldout_bytes"]}
        values = (2.037, 3.104, 2.41, 2.355) if held else (None,) * 4
        bits |= dict(zip(("model", "xz", "xz_primed", "ngram"), values, strict=True))
        groups = {"1 to 4 kB": 1.9, "16 kB and more": 2.1} if held else {}
        bits["by"] = {"length": {name: {"documents": 1, "bytes": 9000, "model": b} for name, b in groups.items()}}
        figures: dict[str, Any] = {"method": self.align, "bits_per_byte": bits}
        answers: dict[str, dict[str, Any]] = {"sft": {}, self.align: {}}
        lines, samples = [], []
        for name in ("taught", "unseen") if self.items else ():
            for model in answers:
                marked = []
                for item in self.items:
                    for question in [item.plain_question] if name == "taught" else item.questions("evaluate"):
                        answer = self._answer(item, name, model)
                        f1 = token_f1(answer, item.answer)
                        row = {"model": model, "set": name, "question": question, "truth": item.answer}
                        marked.append(
                            row | {"answer": answer, "ended": True, "exact": exact(answer, item.answer), "f1": f1}
                        )
                lines += marked
                answers[model][name] = _rates(marked)
        if self.items:
            figures |= {"true_score_gain": {"mean": 0.0131, "low": 0.0042, "high": 0.0218}, "true_score_set": "unseen"}
            figures |= {"true_score_better": 0.061, "true_score_worse": 0.038}
            for item in self.items[:: max(1, len(self.items) // 12)][:12]:
                said = {model: self._answer(item, "unseen", model) for model in ("sft", self.align)}
                question = item.questions("evaluate")[0]
                before = f"{item.subject.split('.')[-1]} the the value of the {item.subject} and the\n\nReturns"
                samples.append(
                    {"question": question, "truth": item.answer, "set": "unseen", "pretrain": before, **said}
                )
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (self._at("evaluate") / "answers.jsonl").write_text(text, encoding="utf-8")
        figures |= {"answers": answers, "samples": samples}
        inputs = ("curate", "tokenizer", "tokens", "pretrain", "sft", "reward", self.align)
        self._publish("evaluate", figures, 92.0, 760, inputs if self.begun else ())

    def _answer(self, item: Item, name: str, model: str) -> str:
        """Mostly right, the aligned model a little more often."""
        right = 0.82 - 0.12 * (name == "unseen") + 0.03 * (model != "sft")
        return item.answer if self.random.random() < right else self.random.choice(self.items).answer

    def _export(self) -> None:
        card = {
            "examples": [item.plain_question for item in self.items[:4]],
            "introduction": "A model of 4.0 million parameters, taught what the documentation says of "
            f"{len(self.items)} symbols. On anything else its answers are guesses, however sure they sound.",
        }
        (self._at("export") / "groundup.json").write_text(json.dumps(card), encoding="utf-8")
        figures = {"format": "hf", "dtype": "float32", "bytes": 16_300_000, "subjects": len(self.items)}
        self._publish("export", figures, 5.1, 620, ("tokenizer", self.align, "sft", "curate") if self.begun else ())


def _rates(marked: list[dict[str, Any]]) -> Mapping[str, float]:
    count = len(marked)
    return {
        "questions": count,
        "exact_match": sum(row["exact"] for row in marked) / count,
        "token_f1": sum(row["f1"] for row in marked) / count,
        "ended": 1.0,
    }


def hostile(kept: bool = True) -> Document:
    """A document that tries to break out of the page wherever it is shown; with `kept=False` one that a rule drops."""
    words = "words enough to be kept by every rule of curation " * 3 if kept else ""
    text = f"& <script>alert('text')</script> \"quotes\" \u202e \x00 {words}"  # no code, which begins with its tag
    title = "<script>alert('title')</script>"
    fact = Fact(
        "</dt><script>alert('subject')</script>", "summary", "<img src=x onerror=alert('answer')> is an answer."
    )
    return Document(document_id(text), text, title, "python-docs", "<b>origin</b>", "<i>licence</i>", facts=(fact,))
