"""Requests that schemathesis draws from the server's own schema, right and wrong ones: every answer is what it says."""

import pytest
from fake_model import TOKENIZER
from hypothesis import HealthCheck, settings

import tiny
from groundup.inference.loading import LoadedModel
from groundup.serve.app import create_app

schemathesis = pytest.importorskip("schemathesis")
pytestmark = pytest.mark.slow


@pytest.fixture
def api():
    """Of a tiny real model: what is drawn reaches the engine."""
    made = tiny.model(5, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=512).eval()
    model = LoadedModel("tiny", made, TOKENIZER, frozenset({TOKENIZER.end}))
    return schemathesis.openapi.from_asgi("/openapi.json", create_app({"tiny": lambda: model}, key=None))


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_what_the_schema_says(case) -> None:
    """No fault of the server, no undocumented status, content type or body; what the schema forbids is refused.

    What it allows may still be refused: no schema says that a prompt fits the context, or that two fields contradict.
    """
    case.call_and_validate(excluded_checks=[schemathesis.checks.CHECKS.get_one("positive_data_acceptance")])
