import pytest

pytest.importorskip("fastapi")
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from mnist_cli.serving.guard import Guard


def ask(headers, origins=(), only_local=True, path="/"):
    async def answer(request):
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", answer)], middleware=[Middleware(Guard, origins=origins, only_local=only_local)])
    return TestClient(app, base_url="http://localhost:8000").get(path, headers=headers)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "127.0.0.1"])
def test_a_local_service_answers_to_the_names_of_this_machine(host):
    assert ask({"Host": host}).status_code == 200


def test_a_local_service_answers_to_no_other_name():
    answer = ask({"Host": "evil.example"})
    assert answer.status_code == 403
    assert answer.json()["reason"].startswith("the host name evil.example is not allowed")


def test_a_service_for_all_answers_to_any_name():
    assert ask({"Host": "digits.example"}, only_local=False).status_code == 200


def test_a_page_of_the_service_is_allowed():
    assert ask({"Host": "localhost:8000", "Origin": "http://localhost:8000"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:9000", "null", "http://localhost"])
def test_a_page_of_another_origin_is_refused(origin):
    answer = ask({"Host": "localhost:8000", "Origin": origin})
    assert answer.status_code == 403
    assert "--allow-origin" in answer.json()["reason"]
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_allowed_origin_gets_cors_headers():
    allowed = ["https://digits.example"]
    assert ask({"Origin": "https://digits.example"}, allowed).status_code == 200
    assert ask({"Host": "digits.example"}, allowed).status_code == 200
    assert ask({"Origin": "https://other.example"}, allowed).status_code == 403


def test_all_origins_may_be_allowed():
    assert ask({"Host": "digits.example", "Origin": "https://other.example"}, ["*"]).status_code == 200


@pytest.mark.parametrize("headers", [{"Host": "["}, {"Host": "a:b:c"}, {"Origin": "http://["}])
def test_invalid_headers_are_refused(headers):
    assert ask(headers).status_code == 403


def test_a_long_path_is_cut_in_the_log(caplog):
    with caplog.at_level("INFO", "mnist_cli.serving.guard"):
        ask({}, path="/" + "x" * 10_000)
    assert len(caplog.messages[0]) < 300
