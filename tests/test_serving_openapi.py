"""What schemathesis finds when it makes up requests after the OpenAPI document."""

import os

import pytest

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, Phase, settings

from mnist_cli import runtimes
from mnist_cli.config import PRETRAINED
from mnist_cli.serving import app

service = app.build(runtimes.load(PRETRAINED, "cpu"))
schema = schemathesis.openapi.from_asgi("/openapi.json", service)


@schema.parametrize()
@settings(max_examples=20, deadline=None)
def test_made_up(case):
    case.call_and_validate(headers={"Host": "localhost"})
