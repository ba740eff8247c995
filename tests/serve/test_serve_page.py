"""The page asks nothing of other servers, puts no text in as HTML, and works in a real browser."""

import asyncio
import json
import re
import shutil
import threading

import pytest
from fake_model import TOKENIZER, FakeModel
from fastapi.testclient import TestClient
from live import live

from groundup.serve.app import PAGE, create_app

HTML, SCRIPT, STYLE = ((PAGE / name).read_text() for name in ("index.html", "page.js", "page.css"))


def test_page_is_served_with_a_strict_policy():
    client = TestClient(app(FakeModel()))
    kinds = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}
    for path, kind in kinds.items():
        response = client.get(path)
        assert response.headers["content-type"].startswith(kind)
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


def test_page_keeps_to_its_policy():
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", HTML)  # nothing inline
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?:", SCRIPT)
    assert not re.search(r"@import|url\(", STYLE)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', HTML)
    assert [address for address in addresses if not address.startswith("data:")] == ["page.css", "page.js"]


def app(model, key=None):
    return create_app(model.offered(), key=key, backend=model)


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


def test_page_in_a_browser(browser):
    """A person asks, reads, regenerates, edits and stops; markup stays text; no other server is asked."""
    markup = "<img src=x onerror=alert(1)> é🌱"
    model = FakeModel([markup, " and", " on"])
    split = app(model)
    split.add_middleware(SplitCharacters)
    with live(split) as address, browser.new_page() as page:
        elsewhere, faults = [], []
        page.on("request", lambda request: request.url.startswith(address) or elsewhere.append(request.url))
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        answer = page.locator(".turn >> nth=-1 >> .answer[aria-busy=false]")
        note = page.locator(".turn >> nth=-1 >> .note")

        page.click("text=What does os.path.join do?")
        assert answer.text_content() == markup + " and on"
        assert note.text_content() == ""

        page.click("text=Regenerate")
        page.wait_for_function("document.querySelector('.note').textContent !== ''")
        page.wait_for_selector("#send", state="visible")
        assert note.text_content() == "Another answer, drawn at random."
        assert [job.sampling.temperature for job in model.jobs] == [0, 0.8]

        page.fill("#question", "What does json.dump")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("do?")
        assert len(model.jobs) == 2
        page.keyboard.press("Enter")
        page.wait_for_selector(".turn >> nth=1")
        assert answer.text_content() == markup + " and on"
        assert "expect a guess. Nearest: json.dumps." in note.text_content()
        assert "<|user|>What does json.dump\ndo?<|assistant|>" in TOKENIZER.decode(model.jobs[-1].prompt)
        assert "expect a guess" in page.text_content("[role=status]")  # read out once, whole

        page.click(".turn >> nth=0 >> text=Edit")
        page.keyboard.press("Control+A")
        page.keyboard.type("What does json.dumps do?")
        page.keyboard.press("Enter")
        page.wait_for_selector(".turn >> nth=0 >> .answer[aria-busy=false]")
        assert page.text_content(".turn >> nth=0 >> .question") == "What does json.dumps do?"
        assert page.locator(".turn").count() == 2

        model.gate = threading.Semaphore(1)
        page.click("text=Start over")
        page.click("text=What does os.path.join do?")
        page.wait_for_selector(".answer:has-text('🌱')")
        page.click("#stop")
        assert answer.text_content() == markup and note.text_content() == "Stopped."
        assert (elsewhere, faults) == ([], [])


def test_page_asks_for_the_key(browser):
    with live(app(FakeModel(), key="sesame")) as address, browser.new_page() as page:
        page.goto(address)
        for key in ("wrong", "sesame"):
            page.fill("#key", key)
            page.keyboard.press("Enter")
        page.wait_for_selector("#composer", state="visible")
        assert page.text_content("#introduction").startswith("I was taught")
        assert json.dumps("sesame") not in page.content()
