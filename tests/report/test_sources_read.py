"""How often each source was read in pretraining, and how much of SFT was padding."""

import lxml.html
from fake_run import FakeRun

from groundup.report.configuration import ReportConfig
from groundup.report.run import read_run
from groundup.report.sections.alignment import alignment
from groundup.report.sections.pretraining import pretraining


def section(run, of):
    html = of(read_run(run.folder, run.artifacts), ReportConfig())
    return lxml.html.fromstring(f"<div>{html}</div>")


def test_sources_of_a_mixture(tmp_path):
    run = FakeRun(tmp_path)
    assert "times read" not in section(run, pretraining).text_content()  # there is one source only
    sources = {"wiki": {"tokens": 8000}, "handbook": {"tokens": 1000}, "faq": {"tokens": 100}}
    run.artifacts["tokens"].manifest.figures["train"]["sources"] = sources
    run.artifacts["pretrain"].manifest.figures["source_epochs"] = {"wiki": 0.5, "handbook": 4.0, "faq": 0.0}
    table = next(one for one in section(run, pretraining).xpath("//table") if "times read" in one.text_content())
    rows = [[cell.text_content().replace("\u202f", " ") for cell in row] for row in table.xpath(".//tr")]
    assert rows[1:] == [
        ["wiki", "8,000", "", "50.0 %", "0.50"],
        ["handbook", "1,000", "", "50.0 %", "4.00"],
        ["faq", "100", "", "0.0 %", "0.00"],
    ]


def test_padding(tmp_path):
    text = section(FakeRun(tmp_path), alignment).text_content().replace("\u202f", " ")
    assert "21.3 % (4.1 % if examples were packed)" in text
