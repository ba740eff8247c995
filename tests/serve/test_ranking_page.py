"""A person ranks answers in a real browser: by keyboard, blind, with a reload; a reward model learns from them."""

import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from live import live

import tiny
from groundup.alignment import fit_reward
from groundup.alignment.data.data_reading import read_comparisons
from groundup.alignment.ranking.journal import RankingItem, RankingJournal, RankingSession, SampledAnswer
from groundup.serve.ranking import RANKING_PAGE, Rating, create_ranking_app
from groundup.tokenizer.tokenizer import Tokenizer

HTML = (RANKING_PAGE / "index.html").read_text()
MODELS = ("mine:sft", "mine:ppo")


def rating(folder: Path, count: int, answers: int = 2, rater: str = "ada") -> Rating:
    """Items whose right answers say `good`; the first of a list is the best, and so on."""
    path = folder / "out.jsonl.journal"
    if not path.exists():
        texts = ["good", "fair", "poor", "bad"][:: 3 if answers == 2 else 1]
        items = [
            RankingItem(
                id=number,
                prompt=({"role": "user", "content": f"question {number}?"},),
                answers=tuple(
                    SampledAnswer(text=f"{text} answer {number}", model=MODELS[(at + number) % 2])
                    for at, text in enumerate(texts)
                ),
            )
            for number in range(count)
        ]
        session = RankingSession(
            models=MODELS, prompts="0" * 64, answers=answers, max_tokens=8, temperature=0.7, seed=0
        )
        RankingJournal.create(path, session, items)
    return Rating(RankingJournal(path), rater, folder / "out.jsonl")


def judge_all(rating: Rating, better: str = "good") -> None:
    """What a person does, without a page."""
    client = TestClient(create_ranking_app(rating), base_url="http://localhost")
    while (state := client.get("/api/state").json())["item"]:
        order = sorted(range(2), key=lambda at: better not in state["item"]["answers"][at])
        client.post("/api/judge", json={"item": state["item"]["id"], "tiers": [[at] for at in order], "seconds": 2})


def test_page_keeps_to_its_policy():
    """Nothing inline, no text as HTML, no other server."""
    script, style = ((RANKING_PAGE / f"ranking.{kind}").read_text() for kind in ("js", "css"))
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", HTML)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b", script)
    assert re.findall(r"https?://[^\"]*", script) == ["http://www.w3.org/2000/svg"] * script.count("http://")
    assert not re.search(r"@import|url\(", style)


def test_names_and_positions_are_hidden_until_the_end(tmp_path):
    """No answer of the API holds a model's name before everything is judged; positions depend on rater and item."""
    first = rating(tmp_path, 12)
    client = TestClient(create_ranking_app(first), base_url="http://localhost")
    for number in range(12):
        response = client.get("/api/state")
        assert not any(name in response.text for name in MODELS)
        assert client.post("/api/judge", json={"item": number, "tiers": [[0], [1]]}).status_code == 200
    results = client.get("/api/state").json()["results"]
    assert [one["name"] for one in results["models"]] == list(MODELS)
    other = rating(tmp_path, 12, rater="bob")
    orders = [[one.shown(item) for item in one.journal.items] for one in (first, other)]
    assert orders[0] != orders[1] and {tuple(order) for order in orders[0]} == {(0, 1), (1, 0)}
    assert results["models"][0]["rate"]["mean"] == pytest.approx(1 - results["models"][1]["rate"]["mean"])


def test_refuses_what_it_did_not_ask(tmp_path):
    client = TestClient(create_ranking_app(rating(tmp_path, 3)), base_url="http://localhost")
    assert client.post("/api/judge", json={"item": 2, "tiers": []}).status_code == 409
    for tiers in ([[0]], [[0], [0]], [[0, 1], [2]], [[-1], [0]]):
        assert client.post("/api/judge", json={"item": 0, "tiers": tiers}).status_code == 400
    assert (
        TestClient(create_ranking_app(rating(tmp_path, 3)), base_url="http://evil.example").get("/").status_code == 403
    )
    assert client.get("/api/state").json()["done"] == 0


def test_raters_agree(tmp_path):
    """Two raters of one journal: who judge alike agree fully; of three with one against them, as far as that goes."""
    for rater in ("ada", "bob"):
        judge_all(rating(tmp_path, 4, rater=rater))
    found = rating(tmp_path, 4).results()
    assert found["agreement"] == {"raters": 2, "compared": 4, "percent": 100.0, "kappa": pytest.approx(1.0)} or (
        found["agreement"]["kappa"] is None  # all ratings were of one category
    )
    judge_all(rating(tmp_path, 4, rater="eve"), better="bad")
    assert rating(tmp_path, 4).results()["agreement"]["percent"] == pytest.approx(100 / 3)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 12


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def seen(page, done: int) -> None:
    """Wait until the page shows so many as judged."""
    page.wait_for_selector(f"#count >> text=/^{done} of/")


def press_right(page, done: int) -> None:
    """Judge the item in view by keyboard, once it is there."""
    seen(page, done)
    texts = page.locator(".answer span:first-of-type").all_text_contents()
    page.keyboard.press(str(1 + next(at for at, text in enumerate(texts) if text.startswith("good"))))


def test_twenty_ranked_with_a_reload_train_a_reward_model(browser, tmp_path):
    """And the program is stopped and started again after seven; an undone mistake leaves no trace."""
    faults = []
    done = 0
    for until in (7, 20):
        with live(create_ranking_app(rating(tmp_path, 20))) as address:
            page = browser.new_page()
            page.on("console", lambda message: faults.append(message.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("request", lambda request, own=address: request.url.startswith(own) or faults.append(request.url))
            page.goto(address)
            while done < until:
                press_right(page, done)
                done += 1
                if done == 4:  # a mistake: skipped, seen, undone
                    seen(page, 4)
                    page.keyboard.press("s")
                    seen(page, 5)
                    page.keyboard.press("u")
                    seen(page, 4)
                if done == 12:
                    seen(page, 12)
                    page.reload()
            if until == 20:
                page.wait_for_selector("#results h2")
                assert "mine:sft" in page.text_content("#results")
            page.wait_for_timeout(200)
            page.close()
    assert faults == []
    comparisons = [pair for _, pair in read_comparisons(tmp_path / "out.jsonl").records]
    assert len(comparisons) == 20
    assert all(pair.chosen.startswith("good") and pair.rejected.startswith("bad") for pair in comparisons)
    tokenizer = Tokenizer.train(["good bad answer question"], vocabulary=270)
    model = tiny.model(1, vocab_size=tokenizer.vocabulary_size)
    pairs = [(pair.prompt[0]["content"], pair.chosen, pair.rejected) for pair in comparisons]
    _, rows = fit_reward(model, tokenizer, pairs, epochs=20, learning_rate=3e-3)
    assert rows[-1]["accuracy"] == 1.0


def test_list_is_ordered_with_equals(browser, tmp_path):
    """2 = 1, then the rest equal; and an order of all four, of which the last needs no key."""
    own = rating(tmp_path, 2, answers=4)
    with live(create_ranking_app(own)) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(".answer")
        for key in ("2", "=", "1", "t"):
            page.keyboard.press(key)
        seen(page, 1)
        for key in ("4", "1", "u", "3", "1"):
            page.keyboard.press(key)
        page.wait_for_selector("#results h2")
        page.close()
    shown = [own.shown(item) for item in own.journal.items]
    judged = own.journal.of("ada")
    assert judged[0].tiers == (tuple(sorted(shown[0][:2])), tuple(sorted(shown[0][2:])))
    assert judged[1].tiers == tuple((shown[1][at],) for at in (3, 2, 0, 1))
