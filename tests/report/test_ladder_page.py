"""A ladder's page has what to do, a drawing of every budget, the law with intervals, and every model."""

import lxml.html
import numpy as np
import pytest

from groundup.evaluation.checker import Interval
from groundup.evaluation.comparing.corpora import CorpusDifference
from groundup.planning.data_forecast import as_json, data_verdict, forecast, middle_rungs
from groundup.planning.ladder import Rung
from groundup.planning.scaling import ScalingLaw
from groundup.planning.study import MeasuredRung, ScalingStudy, recommend, study
from groundup.report.ladder_page import data_page, ladder_page

LAW = ScalingLaw(e=1.5, a=60.0, b=90.0, alpha=0.3, beta=0.27)
SIZES = (1e5, 2e5, 4e5, 8e5)


def rungs() -> list[Rung]:
    made = [
        Rung(f"{n / 1e3:.0f}K", n, round(1e12 * 2**budget / 6 / n), budget, ()) for budget in range(3) for n in SIZES
    ]
    return [*made, Rung("1.2M", 1.2e6, round(8e12 / 6 / 1.2e6), 3, (), heldout=True)]


@pytest.fixture(scope="module")
def found() -> ScalingStudy:
    luck = np.random.default_rng(0).normal(0, 0.005, 13)
    losses = [float(LAW.loss(rung.n, rung.tokens)) + one for rung, one in zip(rungs(), luck, strict=True)]
    return study(
        [MeasuredRung(rung, 1, rung.tokens, 9, loss, 60.0, 0.3) for rung, loss in zip(rungs(), losses, strict=True)],
        draws=20,
    )


def test_the_page_of_a_ladder(found: ScalingStudy) -> None:
    values = {"size": "1.1M", "pretrain.tokens": "3_000_000"}
    html = ladder_page("mine <scaling>", found, ["take <this>"], recommend(found, 1e13), values)
    page = lxml.html.fromstring(html)
    assert [one.get("id") for one in page.xpath("//main/section")] == ["budget", "ladder", "law", "rungs", "glossary"]
    text = page.text_content()
    assert "mine <scaling>" in text and "take <this>" in text and "  tokens: 3_000_000" in text
    assert len(page.xpath("//figure//svg")) == 2
    assert len(page.xpath("//section[@id='rungs']//tbody/tr")) == 13
    assert len(page.xpath("//section[@id='law']//tbody/tr")) == 6 + 3


def test_the_page_of_two_corpora() -> None:
    chosen = middle_rungs(rungs())
    assert [rung.size for rung in chosen] == ["200K", "400K"] * 3
    each = [CorpusDifference((2.0, 1.9), Interval(-0.1 - rung.budget / 100, -0.12, -0.08), 300) for rung in chosen]
    far = forecast([rung.flops for rung in chosen], [one.difference.mean for one in each], 1e14)
    sentences = data_verdict(chosen, each, far, 1e14)
    assert "so take the second side" in sentences[1]
    page = lxml.html.fromstring(data_page("two", chosen, each, far, 1e14, sentences))
    assert len(page.xpath("//section[@id='models']//tbody/tr")) == 6
    assert as_json(chosen, each, far, 1e14, sentences)["rungs"][0]["documents"] == 300
