"""Web pages whose main text is known: articles in HTML, put into frames with all that surrounds an article.

A frame has menus, cookie notes, related posts, comments and footers, as five kinds of sites have them. What belongs to
the article and what to the frame is known exactly, so extraction can be scored without pages labelled by hand.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from made import prose

LINKS = "Home News Archive Events Contact About Imprint Privacy Login Register Help Jobs Press Shop Support".split()
COOKIES = (
    "We use cookies to give you the best experience on this site. By continuing to browse you agree to our use of "
    "cookies. Read more in our privacy policy."
)


@dataclass(frozen=True)
class MadePage:
    """A page and the text of its article."""

    page: str
    text: str
    title: str
    frame: str


def pages(count: int, seed: int = 0) -> Iterator[MadePage]:
    """`count` articles in each of the frames."""
    random = Random(seed)
    for _ in range(count):
        title, body, text = article(random)
        for frame, build in FRAMES.items():
            yield MadePage(build(random, title, body), text, title, frame)


def article(random: Random) -> tuple[str, str, str]:
    """`(title, HTML of the body, its text)`: paragraphs, with subheadings, lists, links and a table between them."""
    title, blocks, text = prose.title(random), [], []
    for number in range(random.randint(4, 8)):
        if number and random.random() < 0.25:
            heading = prose.title(random)
            blocks.append(f"<h2>{heading}</h2>")
            text.append(heading)
        words = prose.paragraph(random)
        text.append(words)
        blocks.append(f"<p>{_with_links(html.escape(words, quote=False), random)}</p>")
        if random.random() < 0.2:
            items = [prose.sentence(random) for _ in range(3)]
            text += items
            blocks.append("<ul>" + "".join(f"<li>{html.escape(item, quote=False)}</li>" for item in items) + "</ul>")
    return title, "\n".join(blocks), "\n".join(text)


def _with_links(words: str, random: Random) -> str:
    every = words.split(" ")
    at = random.randrange(len(every))
    every[at] = f'<a href="/{random.randint(1, 999)}">{every[at]}</a>'
    return " ".join(every)


def _menu(random: Random, count: int) -> str:
    names = random.sample(LINKS, count)
    return "<ul>" + "".join(f'<li><a href="/{name.lower()}">{name}</a></li>' for name in names) + "</ul>"


def _teasers(random: Random, count: int) -> str:
    return "".join(
        f'<div class="teaser"><a href="/{random.randint(1000, 9999)}">{prose.title(random)}</a>'
        f"<p>{prose.sentence(random)}</p><span>{random.randint(1, 28)} March</span></div>"
        for _ in range(count)
    )


def _blog(random: Random, title: str, body: str) -> str:
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} | A blog</title>
<style>body {{ margin: 0 }}</style></head><body><header class="site-header"><nav>{_menu(random, 6)}</nav></header>
<main><article class="post"><h1>{title}</h1><div class="entry-content">{body}</div></article></main>
<aside class="sidebar"><h3>Recent posts</h3>{_teasers(random, 24)}<h3>Tags</h3>{_menu(random, 9)}</aside>
<footer class="site-footer"><p>Copyright 2024. All rights reserved.</p>{_menu(random, 5)}</footer></body></html>"""


def _news(random: Random, title: str, body: str) -> str:
    comments = "".join(
        f'<li class="comment"><cite>reader{at}</cite><p>{prose.sentence(random)}</p></li>' for at in range(12)
    )
    return f"""<!doctype html><html><head><title>{title}</title><script>var tracker = {{}};</script></head><body>
<div id="cookie-banner" class="cookie-consent"><p>{COOKIES}</p><button>Accept all</button></div>
<div class="topbar"><nav class="navigation">{_menu(random, 10)}</nav></div>
<div class="content"><article><h1>{title}</h1><div class="byline">By our correspondent</div>{body}
</article></div><section id="comments" class="comments"><h3>Comments</h3><ul>{comments}</ul></section>
<section class="related"><h3>More on this</h3>{_teasers(random, 30)}</section>
<footer>{_menu(random, 8)}<p>Subscribe to our newsletter.</p></footer></body></html>"""


def _manual(random: Random, title: str, body: str) -> str:
    tree = "".join(f'<li><a href="/docs/{at}">{prose.title(random)}</a></li>' for at in range(90))
    return f"""<!doctype html><html lang="en"><head><title>{title} - Manual</title></head><body>
<nav class="toc" role="navigation"><h4>Contents</h4><ul>{tree}</ul></nav>
<div class="breadcrumbs"><a href="/">Manual</a> &gt; <a href="/part">Part two</a></div>
<main role="main"><h1>{title}</h1>{body}</main>
<div class="pager"><a href="/previous">Previous</a> <a href="/next">Next</a></div>
<footer role="contentinfo">Built with a generator. {_menu(random, 4)}</footer></body></html>"""


def _encyclopedia(random: Random, title: str, body: str) -> str:
    return f"""<!doctype html><html><head><title>{title} - Encyclopedia</title></head><body>
<div id="content" class="mw-body"><h1 id="firstHeading">{title}</h1><div id="mw-content-text">{body}</div></div>
<div id="mw-navigation"><h2>Navigation menu</h2><div id="p-personal" class="portlet">{_menu(random, 5)}</div>
<div id="p-tools" class="portlet"><h3>Tools</h3>{_menu(random, 9)}</div>
<div id="p-new" class="portlet"><h3>New articles</h3>{_teasers(random, 24)}</div></div>
<div id="footer">{_menu(random, 4)}<p>This page was last edited in March.</p></div></body></html>"""


def _shop(random: Random, title: str, body: str) -> str:
    goods = "".join(
        f'<div class="item"><a href="/p/{at}">{prose.title(random)}</a><span class="price">{at},99</span></div>'
        for at in range(80)
    )
    return f"""<!doctype html><html lang="en"><head><title>{title} | The shop</title></head><body>
<div class="header"><form action="/search"><input name="q"><button>Search</button></form>{_menu(random, 8)}</div>
<div class="main"><div class="article-text"><h1>{title}</h1>{body}</div></div>
<div class="sidebar items"><h3>You may also like</h3>{goods}</div>
<div class="footer"><div class="newsletter">Sign up and save 10 percent.</div>{_menu(random, 10)}</div></body></html>"""


FRAMES = {"blog": _blog, "news": _news, "manual": _manual, "encyclopedia": _encyclopedia, "shop": _shop}
