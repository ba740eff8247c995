"""A check for schemathesis, in place of its own `positive_data_acceptance`."""

import schemathesis


@schemathesis.check
def refused_with_a_code(ctx, response, case) -> None:
    """What the schema allows is accepted, or refused for what no schema says, which has a code of its own: the prompt
    doesn't fit the context, two fields contradict, there is no such token."""
    if case.meta and case.meta.generation.mode.is_positive and response.status_code == 400:
        error = response.json()["error"]
        assert error["code"], error["message"]
