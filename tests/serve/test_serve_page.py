"""The page asks nothing of other servers, puts no text in as HTML, and works in a real browser."""

import asyncio
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fake_model import TOKENIZER, FakeModel, loaded
from fastapi.testclient import TestClient
from live import live

from groundup.corpus.documents import Document, document_id, write_documents
from groundup.serve.app import PAGE, create_app

HTML = (PAGE / "index.html").read_text()
SCRIPTS, STYLES = ("\n".join(path.read_text() for path in sorted(PAGE.glob(f"*.{kind}"))) for kind in ("js", "css"))


def test_page_is_served_with_a_strict_policy():
    client = TestClient(app(FakeModel()))
    kinds = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/chat.js": "text/javascript"}
    for path, kind in kinds.items():
        response = client.get(path)
        assert response.headers["content-type"].startswith(kind)
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


def test_page_keeps_to_its_policy():
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", HTML)  # nothing inline
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?://", SCRIPTS)
    assert not re.search(r"@import|url\(", STYLES)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', HTML)
    assert [address for address in addresses if not address.startswith("data:")] == [
        "colours.css",
        "page.css",
        "answers.css",
        "page.js",
    ]


def app(model, key=None):
    return create_app(model.offered(), key=key, backend=model)


def asked(model, index=-1):
    """The prompt of a job, as text."""
    return TOKENIZER.decode(model.jobs[index].prompt)


class SplitCharacters:
    """ASGI: breaks a stream after every byte of a character that has several, for long enough that a reader notices."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_split(message):
            if not message.get("more_body"):
                await send(message)
                return
            for part in re.findall(rb"[\x80-\xff]|[^\x80-\xff]+", message["body"]):
                await send({**message, "body": part})
                await asyncio.sleep(0.02)

        await self.app(scope, receive, send_split)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("chromium is not installed")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=quiet)
        yield browser
        browser.close()


class Visit:
    """A page in a browser of its own, and what a person does with it."""

    def __init__(self, page: Any) -> None:
        self.page, self.answers = page, page.locator(".answer")

    def ask(self, text: str) -> None:
        self.page.fill("#question", text)
        self.page.keyboard.press("Enter")
        self.finished()

    def finished(self) -> None:
        self.page.wait_for_selector(".turn:last-child .tools >> text=Copy", state="visible")

    def texts(self) -> list[str]:
        return self.answers.all_text_contents()


@contextmanager
def visit(browser, application, **options: Any) -> Iterator[Visit]:
    """The page of an application. It must ask nothing of other servers and report no fault."""
    with live(application) as address:
        context = browser.new_context(**options)
        page = context.new_page()
        page.set_default_timeout(30_000)
        elsewhere, faults = [], []
        page.on("request", lambda request: request.url.startswith(address) or elsewhere.append(request.url))
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        try:
            page.goto(address)
            page.wait_for_selector("#samples button, #unlock:not([hidden])")  # it knows the models, or asks for a key
            yield Visit(page)
            assert (elsewhere, [fault for fault in faults if "Failed to load resource" not in fault]) == ([], [])
        finally:
            context.close()


def test_conversation_is_sent_whole_and_kept(browser):
    """Each question carries the turns before it; a reload keeps them; markup stays text and characters whole."""
    markup = "<script>alert(1)</script> <img src=x onerror=alert(1)> é🌱"
    model = FakeModel([markup, " and", " on"])
    model.loaded = loaded(context=1024)
    split = app(model)
    split.add_middleware(SplitCharacters)
    with visit(browser, split) as person:
        page = person.page
        page.click("text=What does os.path.join do?")
        person.finished()
        assert person.texts() == [markup + " and on"]
        assert "3 tokens" in page.text_content(".speed")
        page.fill("#question", "What does json.dump")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("do?")
        assert len(model.jobs) == 1
        page.keyboard.press("Enter")
        page.wait_for_selector(".turn >> nth=1")
        person.finished()
        first = f"<|user|>What does os.path.join do?<|assistant|>{markup} and on"
        assert first in asked(model) and asked(model).endswith("<|user|>What does json.dump\ndo?<|assistant|>")
        assert "expect a guess. Nearest: json.dumps." in page.text_content(".turn:last-child .note")
        assert "expect a guess" in page.text_content("[role=status]")  # read out once, whole
        page.reload()
        assert person.texts() == [markup + " and on"] * 2
        assert page.locator(".answer script, .answer img").count() == 0


def test_stop_edit_and_regenerate(browser):
    model = FakeModel(["one", " two"])
    with visit(browser, app(model)) as person:
        page = person.page
        person.ask("first")
        person.ask("second")
        page.click(".turn:last-child >> text=Regenerate")
        page.wait_for_selector("text=Another answer, sampled at temperature 0.8.")
        person.finished()
        assert [job.sampling.temperature for job in model.jobs] == [0, 0, 0.8]
        assert asked(model, 1) == asked(model, 2)

        page.click(".turn >> nth=0 >> text=Edit")
        page.keyboard.press("Control+A")
        page.keyboard.type("changed")
        page.keyboard.press("Enter")
        page.wait_for_selector(".turn >> nth=1", state="detached")  # what followed the old question is gone
        person.finished()
        assert asked(model).count("<|user|>") == 1 and "<|user|>changed" in asked(model)

        model.gate = threading.Semaphore(1)
        page.fill("#question", "a third")
        page.click("#send")
        page.wait_for_selector(".turn:last-child .answer:has-text('one')")
        page.click("#stop")
        person.finished()
        assert person.texts()[-1] == "one"
        assert page.text_content(".turn:last-child .note").endswith("Stopped.")


def test_list_of_conversations(browser):
    """New, open, rename, export, delete; another tab's storage is the same list."""
    with visit(browser, app(FakeModel(["fine"]))) as person:
        page = person.page
        person.ask("first question")
        page.click("#new")
        assert page.locator(".turn").count() == 0
        person.ask("second question")
        assert page.locator("#conversations .title").all_text_contents() == ["second question", "first question"]

        page.click("#conversations >> text=first question")
        page.wait_for_selector(".turn >> text=first question")
        page.click('[aria-label="Rename \\"first question\\""]')
        page.keyboard.type("A title")
        page.keyboard.press("Enter")
        page.wait_for_selector("#conversations >> text=A title")
        with page.expect_download() as download:
            page.click('[aria-label="Export \\"A title\\""]')
        exported = download.value.path().read_text()
        assert download.value.suggested_filename == "A-title.md"
        assert exported == "# A title\n\n## first question\n\n*tiny:*\n\nfine\n"

        page.once("dialog", lambda dialog: dialog.accept())
        page.click('[aria-label="Delete \\"A title\\""]')
        page.wait_for_selector("#conversations >> text=A title", state="detached")
        page.reload()
        assert page.locator("#conversations .title").all_text_contents() == ["second question"]


def test_settings_reach_the_model(browser):
    model = FakeModel(["fine"])
    with visit(browser, app(model)) as person:
        page = person.page
        page.click("#configure")
        page.fill("#temperature", "0.5")
        page.fill("#length", "7")
        page.fill("#system", "Be brief.")
        page.click("#close")
        page.reload()
        person.ask("a question")
        assert (model.jobs[0].sampling.temperature, model.jobs[0].max_tokens) == (0.5, 7)
        assert "<|system|>Be brief.<|user|>a question" in asked(model)


def test_a_full_context_drops_the_oldest_turns(browser):
    model = FakeModel(["x" * 60])
    with visit(browser, app(model)) as person:  # a context of 256 bytes
        for number in range(4):
            person.ask(f"question {number} " + "y" * 20)
        assert "question 0" not in asked(model) and "question 3" in asked(model)
        assert "no longer sees the first" in person.page.text_content(".turn:last-child .note")


def test_markdown_becomes_elements(browser):
    text = (
        "# Title\n\nCall `f(*args)` **now**, not __init__ or 2*3*4.\n\n```python\nprint('<b>')\n```\n"
        "1. one\n   - inner\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "[good](https://example.org) [bad](javascript:alert(1)) > no"
    )
    model = FakeModel([text])
    with visit(browser, app(model)) as person:
        person.ask("a question")
        answer = person.answers
        assert answer.locator("h3").text_content() == "Title"
        assert answer.locator("p code").text_content() == "f(*args)"
        assert answer.locator("strong").all_text_contents() == ["now"]
        assert answer.locator("em").count() == 0
        assert "__init__ or 2*3*4" in answer.text_content()
        assert answer.locator("pre").text_content() == "print('<b>')"
        assert answer.locator("ol > li").count() == 2 and answer.locator("ol ul > li").text_content() == "inner"
        assert answer.locator("td").all_text_contents() == ["1", "2"]
        assert answer.locator("a").all_text_contents() == ["good"]


def test_two_models_side_by_side_with_probabilities(browser):
    model = FakeModel(["A", "A"])
    with visit(browser, app(model)) as person:
        page = person.page
        page.select_option("#second", "tiny:sft")
        page.click("#configure")
        page.check("#logprobs")
        page.click("#close")
        page.fill("#question", "a question")
        page.keyboard.press("Enter")
        page.wait_for_selector(".column:nth-child(2) >> text=Copy")
        assert page.locator(".model").all_text_contents() == ["tiny", "tiny:sft"]
        left, right = (page.locator(".column").nth(index).bounding_box() for index in (0, 1))
        assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
        page.click(".column:nth-child(1) >> text=Probabilities")
        page.hover(".token >> nth=1")
        assert page.locator("#alternatives tr").all_text_contents() == ["A60.7 %", "B22.3 %"]
        page.focus(".tokens")
        page.keyboard.press("ArrowRight")
        assert page.text_content("[role=status]") == "A: 60.7 %"


def test_where_an_answer_comes_from(browser, tmp_path):
    """The nearest documents with licence and link; a link to anything but the web stays text, and so does markup."""
    texts = ["Join one or more path components <b>intelligently</b>.", "Move components."]
    addresses = ["https://example.org/join", "javascript:alert(1)"]
    documents = [
        Document(document_id(text), text, f"Title {n}", "docs", f"{n}.md", "MIT", "train", url=address)
        for n, (text, address) in enumerate(zip(texts, addresses, strict=True))
    ]
    write_documents(tmp_path, documents)
    model = FakeModel(["Join one or more path components."])
    model.loaded = replace(model.loaded, documents=tmp_path)
    with visit(browser, app(model)) as person:
        page = person.page
        person.ask("What joins?")
        page.click("text=Where from?")
        page.wait_for_selector(".where li")
        first, second = page.locator(".where li").all_text_contents()
        assert "6 words in a row: Join one or more path components" in first and "docs · 0.md · MIT" in first
        assert "<b>intelligently</b>" in first and "Title 1" in second
        assert page.locator(".where a").evaluate_all("all => all.map((one) => one.href)") == addresses[:1]
        page.click("text=Where from?")
        page.wait_for_selector(".where", state="hidden")
        page.reload()
        page.wait_for_selector("text=Where from?")  # of a conversation that the browser kept


@pytest.mark.parametrize("width", [390, 1440])
def test_widths_and_colors(browser, width):
    """Nothing scrolls sideways; on a phone the list opens by its button; dark where the person prefers dark."""
    wide = "x" * 300 + "\n\n```\n" + "y" * 300 + "\n```\n\n" + "|a" * 60 + "|\n" + "|-" * 60 + "|\n"
    options = {"viewport": {"width": width, "height": 844}, "color_scheme": "dark"}
    with visit(browser, app(FakeModel([wide])), **options) as person:
        page = person.page
        person.ask("z" * 300)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 21)"
        page.emulate_media(color_scheme="light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 249, 246)"
        assert page.is_visible("#menu") == page.is_hidden("#new") == (width == 390)
        if width == 390:
            page.click("#menu")
            page.wait_for_function("document.activeElement.id === 'new'")
            page.keyboard.press("Escape")
            page.wait_for_selector("#new", state="hidden")


def test_server_gone_and_back(browser):
    """A failed answer can be tried again, once the page has seen that the server is back."""
    with visit(browser, app(FakeModel(["fine"]))) as person:
        page = person.page
        page.wait_for_selector("#samples button")
        page.context.set_offline(True)
        page.fill("#question", "a question")
        page.keyboard.press("Enter")
        page.wait_for_selector("#gone", state="visible")
        assert page.text_content(".note") == "The server can't be reached."
        page.context.set_offline(False)
        page.wait_for_selector("#gone", state="hidden")
        page.click("text=Try again")
        page.wait_for_selector(".answer:has-text('fine')")


def test_page_asks_for_the_key(browser):
    with visit(browser, app(FakeModel(), key="sesame")) as person:
        page = person.page
        for key in ("wrong", "sesame"):
            page.fill("#key", key)
            page.keyboard.press("Enter")
        page.wait_for_selector("#composer", state="visible")
        assert page.text_content("#introduction").startswith("I was taught")
        assert "sesame" not in page.content()
