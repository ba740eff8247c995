"""The page on which a person ranks answers, on this machine alone.

    GET  /            the page        POST /api/judge   {item, tiers, seconds}; no tiers: skipped
    GET  /api/state   what to show    POST /api/undo    take the last judgement back

Which model gave an answer does not leave the server before everything is judged, and where an answer is shown is drawn
for every rater and item alone.
"""

import random
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from groundup.alignment.ranking.decided import agreement_of, decided_pairs, write_comparisons
from groundup.alignment.ranking.journal import Judgement, RankingItem, RankingJournal, Undo
from groundup.evaluation.win_rate import win_rate
from groundup.serve.access import Access
from groundup.serve.app import PAGE, answer_errors, serve_files
from groundup.serve.errors import ApiError
from groundup.serve.metrics import Metrics
from groundup.serve.server import LOOPBACK_NAMES, listen, run_until_stopped

RANKING_PAGE = Path(__file__).parent / "ranking_page"
MAX_SECONDS = 600.0  # longer pauses are no thinking
RECENT = 20  # judgements from which the time left is estimated


class JudgeRequest(BaseModel):
    """`tiers` holds positions on the page, the best first."""

    model_config = ConfigDict(extra="forbid")

    item: int
    tiers: Annotated[list[list[int]], Field(max_length=64)]
    seconds: float = Field(default=0.0, ge=0)


class Rating:
    """One rater's way through a journal. Every judgement is on disk, and in the file of comparisons, at once."""

    def __init__(self, journal: RankingJournal, rater: str, out: Path) -> None:
        self.journal, self.rater, self.out = journal, rater, out
        write_comparisons(out, journal)

    def next_item(self) -> RankingItem | None:
        judged = {one.item for one in self.journal.of(self.rater)}
        return next((item for item in self.journal.items if item.id not in judged), None)

    def shown(self, item: RankingItem) -> list[int]:
        """Which answer is at each position."""
        order = list(range(len(item.answers)))
        random.Random(f"{self.journal.session.seed} {self.rater} {item.id}").shuffle(order)
        return order

    def judge(self, asked: JudgeRequest) -> None:
        item = self.next_item()
        if item is None or item.id != asked.item:
            raise ApiError(409, "another answer came first; reload the page", code="conflict")
        order = self.shown(item)
        if asked.tiers and sorted(at for tier in asked.tiers for at in tier) != list(range(len(order))):
            raise ApiError(400, f"tiers must hold each position from 0 to {len(order) - 1} once", param="tiers")
        tiers = tuple(tuple(sorted(order[at] for at in tier)) for tier in asked.tiers if tier)
        seconds = round(min(asked.seconds, MAX_SECONDS), 1)
        self._write(Judgement(item=item.id, rater=self.rater, tiers=tiers, seconds=seconds))

    def undo(self) -> None:
        if given := self.journal.of(self.rater):
            self._write(Undo(item=given[-1].item, rater=self.rater))

    def _write(self, line: Judgement | Undo) -> None:
        self.journal.write(line)
        write_comparisons(self.out, self.journal)

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        self.journal.refresh()
        given, item = self.journal.of(self.rater), self.next_item()
        total = len(self.journal.items)
        pace = [one.seconds for one in given[-RECENT:] if one.seconds]
        shown = None
        if item is not None:
            answers = [item.answers[index].text for index in self.shown(item)]
            shown = {"id": item.id, "prompt": item.prompt, "answers": answers}
        return {
            "rater": self.rater,
            "file": str(self.out),
            "total": total,
            "done": len(given),
            "seconds_left": median(pace) * (total - len(given)) if len(pace) > 2 else None,
            "item": shown,
            "results": self.results() if item is None else None,
        }

    def results(self) -> dict[str, Any]:
        """Win rates of the models by name, over all raters, and the raters' agreement."""
        journal = self.journal
        found = agreement_of(journal)
        return {
            "models": [self._model(name) for name in journal.session.models],
            "agreement": None if found is None else asdict(found),
            "judged": sum(bool(one.tiers) for one in journal.judgements.values()),
            "skipped": sum(not one.tiers for one in journal.judgements.values()),
            "raters": sorted({rater for rater, _ in journal.judgements}),
        }

    def _model(self, name: str) -> dict[str, Any]:
        """Against all other models; of pairs of one model's own answers nothing is learnt about it."""
        scores, lengths, groups = [], [], []
        for pair in decided_pairs(self.journal):
            if (pair.first.model == name) == (pair.second.model == name):
                continue
            ours, theirs = (pair.first, pair.second) if pair.first.model == name else (pair.second, pair.first)
            scores.append(pair.score if ours is pair.first else 1 - pair.score)
            lengths.append((len(ours.text), len(theirs.text)))
            groups.append(str(pair.item))
        return {"name": name} | (asdict(win_rate(scores, lengths, groups)) if scores else {"comparisons": 0})


def create_ranking_app(rating: Rating) -> FastAPI:
    """The application of one rater."""
    metrics = Metrics()
    app = FastAPI(title="groundup rank", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Access, key=None, hosts=LOOPBACK_NAMES, origins=frozenset(), metrics=metrics)
    answer_errors(app, metrics)
    serve_files(app, RANKING_PAGE)
    serve_files(app, PAGE, ("colours.css", "dom.js"))

    @app.get("/api/state")
    async def state() -> dict[str, Any]:
        return rating.state()

    @app.post("/api/judge")
    async def judge(body: JudgeRequest) -> dict[str, Any]:
        rating.judge(body)
        return rating.state()

    @app.post("/api/undo")
    async def undo() -> dict[str, Any]:
        rating.undo()
        return rating.state()

    return app


def rank_on_page(rating: Rating, port: int) -> None:
    """Show the page until interrupted; raises GroundupError where the port is taken."""
    with listen("127.0.0.1", port) as listener:
        number = listener.getsockname()[1]
        left = len(rating.journal.items) - len(rating.journal.of(rating.rater))
        print(f"{left:,} to rank as {rating.rater}: http://127.0.0.1:{number}/", flush=True)
        print("Ctrl-C ends it; the same command resumes", flush=True)
        run_until_stopped(create_ranking_app(rating), listener)
