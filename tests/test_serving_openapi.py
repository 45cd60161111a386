"""Requests that schemathesis makes up after the OpenAPI document."""

import io

import pytest
from conftest import draw_seven
from hypothesis import settings
from hypothesis import strategies as st

from mnist_cli.config import PRETRAINED
from mnist_cli.models import backends

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")

from mnist_cli.serving import app

LOCAL = {"Host": "localhost"}  # other names are turned away


def picture(kind):
    file = io.BytesIO()
    draw_seven().save(file, kind)
    return file.getvalue()


for media_type in app.PICTURES:
    schemathesis.openapi.media_type(media_type, st.just(picture(media_type.removeprefix("image/"))))
service = app.build(backends.load(PRETRAINED, "cpu"))
schema = schemathesis.openapi.from_asgi("/openapi.json", service, headers=LOCAL)


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=20, deadline=None)
def test_generated_requests_are_handled_as_the_document_states(case):
    # What is made up for a form is no picture, and 415 is then the right answer to data that fit the document.
    excluded = (
        [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")] if "form" in str(case.media_type) else []
    )
    case.call_and_validate(headers=LOCAL, excluded_checks=excluded)
