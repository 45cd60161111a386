import asyncio
import csv
import io
import json
import multiprocessing
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from conftest import draw_seven
from PIL import Image

from mnist_cli.config import PRETRAINED, TrainConfig
from mnist_cli.datasets import named_sets
from mnist_cli.errors import ConfigError
from mnist_cli.models import architectures, backends
from mnist_cli.recognition import classification, predictions
from mnist_cli.training import session
from mnist_cli.training.loop import Trainer

pytest.importorskip("fastapi")
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from mnist_cli.processes import WorkerEnded
from mnist_cli.serving import app, engine, reading, uploads
from mnist_cli.serving.limits import Limits


@pytest.fixture(scope="session")
def loaded():
    return backends.load(PRETRAINED, "cpu")


@pytest.fixture(scope="session")
def client(loaded):
    """Return a client of one service for all tests that change nothing."""
    with connect(loaded) as client:
        yield client


@pytest.fixture
def fresh(loaded, monkeypatch):
    """Return a function that makes clients of services of their own, whose workers are threads of this process."""
    monkeypatch.setattr(engine, "Workers", Threads)
    monkeypatch.setattr(reading, "_models", [loaded.model])
    with ExitStack() as clients:
        yield lambda **options: clients.enter_context(connect(loaded, **options))


def connect(loaded, **options):
    return TestClient(app.build(loaded, **options), base_url="http://localhost", raise_server_exceptions=False)


class Threads:
    """Workers that a test can reach into."""

    def __init__(self, count, modules, prepare, *given):
        self.pool = ThreadPoolExecutor(count)

    async def run(self, seconds, work, *given):
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *given)

    def start(self):
        pass

    def stop(self):
        pass


def png(picture=None, kind="PNG", **options):
    file = io.BytesIO()
    (picture or draw_seven()).save(file, kind, **options)
    return file.getvalue()


def page():
    """Draw two sevens beside each other."""
    picture = Image.new("RGB", (400, 200), "white")
    for left in (0, 200):
        picture.paste(draw_seven(), (left, 0))
    return picture


SEVEN = png()


@pytest.mark.slow
def test_a_service_that_was_stopped_can_be_started_again(loaded):
    client = connect(loaded)
    for _ in range(2):
        with client:
            assert client.post("/api/predict", content=SEVEN).json()["digit"] == 7


def test_the_response_is_the_json_of_the_command_line(client, mnist, tmp_path):
    (tmp_path / "seven.png").write_bytes(SEVEN)
    printed = json.loads(mnist("predict", "seven.png", "--json", "--checkpoint", "pretrained").stdout)
    body, form = (
        client.post("/api/predict", content=SEVEN),
        client.post("/api/predict", files={"a": ("seven.png", SEVEN)}),
    )
    assert printed["digit"] == 7
    assert form.json() == {
        **printed,
        "confidence": pytest.approx(printed["confidence"]),
        "probabilities": pytest.approx(printed["probabilities"]),
    }
    assert body.json() == {
        **form.json(),
        "path": "-",
        "confidence": pytest.approx(printed["confidence"]),
        "probabilities": pytest.approx(printed["probabilities"]),
    }


def test_what_is_inside_the_network_ends_in_the_probabilities_of_predict(client):
    expected = client.post("/api/predict?frame=true", content=SEVEN).json()
    found = client.post("/api/inspect?unit=0.3", content=SEVEN).json()
    assert (found["label"], found["reason"], found["frame"]) == ("7", None, expected["frame"])
    assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-3)
    assert [len(layer["maps"]) for layer in found["layers"]] == [32, 64, 144, 256]
    assert found["evidence"][0]["label"] == "7"
    assert found["score"] > found["threshold"]
    assert max(map(max, found["ink"])) == 255
    assert max(len(found["ink"]), len(found["ink"][0])) <= reading.MAX_INK_SIDE
    assert (found["unit"]["layer"], found["unit"]["index"], len(found["unit"]["weights"])) == (0, 3, 5)


def test_units_are_switched_off_and_the_frame_is_changed_on_request(client):
    whole = client.post("/api/inspect", content=SEVEN).json()
    without = client.post("/api/inspect?off=1.3&off=1.4&class=1", content=SEVEN).json()
    for unit in (3, 4):
        assert not any(map(any, without["layers"][1]["maps"][unit]))
    assert without["evidence"][0]["label"] == "1"
    assert without["probabilities"] != whole["probabilities"]
    nothing = client.post("/api/inspect?off=3", content=SEVEN).json()  # only the biases of the last layer are left
    assert max(nothing["probabilities"]) < 0.5 < max(whole["probabilities"])
    thick = client.post("/api/inspect?thickness=1.5", content=SEVEN).json()
    assert sum(map(sum, thick["frame"])) > 1.5 * sum(map(sum, whole["frame"]))
    noisy = client.post("/api/inspect?noise=0.5&blur=1&rotation=-45", content=SEVEN).json()
    assert noisy["frame"] != whole["frame"]
    blind = client.post("/api/inspect?off=2", content=SEVEN).json()
    assert (blind["reason"], blind["label"]) == ("not a digit", None)
    assert blind["score"] < blind["threshold"]


@pytest.mark.parametrize(
    ("query", "body", "status", "reason"),
    [
        ("off=9", SEVEN, 404, "there is no layer 9"),
        ("off=0.99", SEVEN, 404, "there is no unit 99 in layer 0"),
        ("class=10", SEVEN, 404, "there is no class 10"),
        ("off=first", SEVEN, 422, "the parameter off is wrong"),
        ("unit=3", SEVEN, 422, "the parameter unit is wrong"),
        ("noise=2", SEVEN, 422, "the parameter noise is wrong: '2' is more than 1"),
        ("", b"milk, eggs", 415, "not a picture"),
        ("", b"", 422, "the body is empty"),
    ],
)
def test_an_inspection_that_is_not_possible_has_a_reason(client, query, body, status, reason):
    answer = client.post(f"/api/inspect?{query}", content=body)
    assert (answer.status_code, reason in answer.json()["reason"]) == (status, True)


@pytest.mark.slow
def test_an_inspection_has_the_probabilities_of_further_models(loaded, trained):
    other = backends.load(trained, "cpu")
    with connect(loaded, compared=[other]) as client:
        assert client.get("/api/model").json()["compared"] == [str(trained)]
        found = client.post("/api/inspect?off=0", content=SEVEN).json()
    with connect(other) as client:
        expected = client.post("/api/predict", content=SEVEN).json()["probabilities"]
    assert found["compared"] == [pytest.approx(expected, abs=1e-3)]


def test_without_ink_there_is_nothing_to_inspect(client):
    answer = client.post("/api/inspect", content=png(Image.new("L", (50, 50), "white")))
    assert (answer.status_code, answer.json()["reason"]) == (200, "no ink")
    assert "layers" not in answer.json()


def test_a_model_whose_layers_cannot_be_shown_says_why(fresh, monkeypatch):
    def refuse(model):
        raise ConfigError("its weights are 8-bit integers")

    monkeypatch.setattr(reading, "_networks", [])
    monkeypatch.setattr(backends, "network_of", refuse)
    answer = fresh().post("/api/inspect", content=SEVEN)
    assert (answer.status_code, answer.json()["reason"]) == (501, "its weights are 8-bit integers")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_other_formats_are_read_whatever_they_are_called(client, kind):
    answer = client.post("/api/predict", content=png(kind=kind), headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["digit"]) == (200, 7)


def test_all_digits_of_a_page_are_boxed(client):
    answer = client.post("/api/predict?many=true", content=png(page())).json()
    assert (answer["digit"], answer["reason"], answer["text"]) == (None, "several digits", "77")
    assert [found["digit"] for found in answer["digits"]] == [7, 7]
    assert answer["digits"][0]["box"][0] < 200 < answer["digits"][1]["box"][0]


def test_the_digits_of_a_page_form_numbers(client):
    answer = client.post("/api/predict?many=true", content=png(page())).json()
    (line,) = answer["lines"]
    assert answer["numbers"] == [number["text"] for number in line["numbers"]]
    assert [digit for number in line["numbers"] for digit in number["digits"]] == answer["digits"]


def test_the_frame_is_returned_on_request(client):
    frame = client.post("/api/predict?frame=true", content=SEVEN).json()["frame"]
    assert [len(row) for row in frame] == [28] * 28
    assert (frame[0][0], max(map(max, frame))) == (0, 255)


def test_the_response_for_several_files_is_a_list_with_reasons_for_bad_ones(client):
    files = [("a", ("seven.png", SEVEN)), ("b", ("notes.txt", b"milk, eggs")), ("c", ("again.png", SEVEN))]
    answer = client.post("/api/predict", files=files)
    assert answer.status_code == 200
    assert [(one["path"], one["digit"]) for one in answer.json()] == [
        ("seven.png", 7),
        ("notes.txt", None),
        ("again.png", 7),
    ]
    assert "not a picture in a format" in answer.json()[1]["reason"]


def test_no_digit_is_a_result_and_not_an_error(client):
    answer = client.post("/api/predict", content=png(Image.new("L", (50, 50), "white")))
    assert (answer.status_code, answer.json()["reason"]) == (200, "no ink")


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"content": b"milk, eggs"}, 415, "not a picture in a format read here (PNG"),
        ({"content": SEVEN[:300]}, 422, "cannot be decoded"),
        ({"content": b""}, 422, "the body is empty"),
        ({"content": bytes(uploads.MAX_FILE_BYTES + 1)}, 413, "at most 16 MB"),
        ({"content": iter([bytes(uploads.MAX_FILE_BYTES), b"."])}, 413, "at most 16 MB"),
        ({"files": {"a": ("a.png", bytes(uploads.MAX_FILE_BYTES + 1))}}, 413, "at most 16 MB"),
        ({"content": png(Image.new("1", (8_000, 5_001)))}, 413, "too many pixels, at most 40,000,000"),
        ({"data": {"a": "seven"}, "files": {}}, 415, "not a picture"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "the form cannot be read"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 422, "the form cannot be read"),
        ({"content": b"--b--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 422, "no file in the form"),
        ({"content": SEVEN, "params": {"many": "perhaps"}}, 422, "the parameter many is wrong: 'perhaps' is neither true nor false"),
    ],
)  # fmt: skip
def test_errors_have_the_shape_of_a_result(client, request_, status, reason):
    answer = client.post("/api/predict", **request_)
    assert answer.status_code == status
    assert {*answer.json()} == {"path", "digit", "label", "confidence", "probabilities", "reason"}
    assert answer.json()["digit"] is None
    assert reason in answer.json()["reason"]


def test_a_form_is_read_whatever_charset_it_claims(client):
    disposition = b'--b\r\nContent-Disposition: form-data; name="a"; filename="%s"\r\n\r\n'
    for charset, name in (("utf-7", b"+2AA-"), ("undefined", b"seven.png")):
        kind = {"Content-Type": f"Multipart/Form-Data; boundary=b; charset={charset}"}
        answer = client.post("/api/predict", content=disposition % name + SEVEN + b"\r\n--b--\r\n", headers=kind)
        assert (answer.status_code, answer.json()["path"], answer.json()["digit"]) == (200, name.decode(), 7)


def test_more_files_than_allowed_are_refused(client):
    files = [("a", ("seven.png", SEVEN))] * (uploads.MAX_FILES + 1)
    answer = client.post("/api/predict", files=files)
    assert (answer.status_code, "Too many files" in answer.json()["reason"]) == (422, True)


def test_an_unknown_path_and_a_wrong_method_have_the_shape_of_a_result(client):
    for answer, status in ((client.get("/api/nothing"), 404), (client.put("/api/predict"), 405)):
        assert answer.status_code == status
        assert "/docs" in answer.json()["reason"]


def test_pictures_that_arrive_together_are_classified_together(fresh, monkeypatch):
    sizes, classify = [], classification.classify

    def counted(model, pictures, min_confidence):
        sizes.append(len(pictures))
        return classify(model, pictures, min_confidence)

    monkeypatch.setattr(classification, "classify", counted)
    monkeypatch.setattr(engine, "BATCH_WAIT", 1.0)
    client = fresh()
    with ThreadPoolExecutor(4) as together:
        answers = list(together.map(lambda body: client.post("/api/predict", content=body).json(), [SEVEN] * 4))
    assert [answer["digit"] for answer in answers] == [7] * 4
    assert sizes == [4]


def test_without_a_free_slot_a_request_gets_a_503_with_retry_after(fresh, monkeypatch):
    is_asked, may_go = threading.Event(), threading.Event()

    def classify(model, pictures, min_confidence):
        is_asked.set()
        assert may_go.wait(10)
        return [predictions.NO_INK for _ in pictures]

    monkeypatch.setattr(classification, "classify", classify)
    client, answers = fresh(limits=Limits(requests=1)), []
    first = threading.Thread(target=lambda: answers.append(client.post("/api/predict", content=SEVEN)))
    first.start()
    assert is_asked.wait(10)
    refused = client.post("/api/predict", content=SEVEN)
    may_go.set()
    first.join()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "try again" in refused.json()["reason"]
    assert answers[0].status_code == 200
    assert client.post("/api/predict", content=SEVEN).status_code == 200


def test_bodies_that_need_more_memory_than_there_is_are_refused(fresh):
    client = fresh(limits=Limits(memory_bytes=1_000))
    assert client.post("/api/predict", content=SEVEN).status_code == 503
    assert client.post("/api/predict", content=b"small").status_code == 415


@pytest.mark.parametrize("query", ["", "?many=true"])
def test_a_picture_that_waits_too_long_for_a_worker_is_given_up(fresh, monkeypatch, query):
    is_asked, may_go = threading.Event(), threading.Event()

    def recognize(*_):
        is_asked.set()
        assert may_go.wait(10)

    monkeypatch.setattr(reading, "recognize", recognize)
    client = fresh(limits=Limits(wait_seconds=0.05))
    first = threading.Thread(target=client.post, args=[f"/api/predict{query}"], kwargs={"content": SEVEN})
    first.start()
    assert is_asked.wait(10)
    refused = client.post(f"/api/predict{query}", content=SEVEN)
    may_go.set()
    first.join()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "not read in time" in refused.json()["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?many=true"])
def test_a_picture_that_is_not_read_in_time_is_an_error(loaded, query):
    with connect(loaded, limits=Limits(batch_seconds=0, work_seconds=0)) as client:
        answer = client.post(f"/api/predict{query}", content=png(page()))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "not read in time" in answer.json()["reason"]


def test_the_pages_of_one_client_do_not_keep_those_of_another_from_being_read(fresh, monkeypatch):
    recognize, is_asked, may_go, blocking = reading.recognize, threading.Event(), threading.Event(), png(page(), "BMP")

    def wait(bodies, many):
        if bodies == [blocking]:
            is_asked.set()
            assert may_go.wait(30)
        return recognize(bodies, many)

    monkeypatch.setattr(reading, "recognize", wait)
    client = fresh()
    other = TestClient(client.app, base_url="http://localhost", client=("192.0.2.1", 80))
    other.portal = client.portal  # the same event loop
    with ThreadPoolExecutor(4) as together:
        asked = [together.submit(client.post, "/api/predict?many=true", content=blocking) for _ in range(4)]
        assert is_asked.wait(30)
        assert other.post("/api/predict?many=true", content=png(page())).json()["text"] == "77"
        assert client.post("/api/predict", content=SEVEN).json()["digit"] == 7
        may_go.set()
        assert [done.result().json()["text"] for done in asked] == ["77"] * 4


def test_pictures_that_may_take_long_are_kept_out_of_batches(fresh, monkeypatch):
    def refuse(*_):
        raise AssertionError("it was put into a batch")

    client = fresh()
    monkeypatch.setattr(engine.Engine, "_read_batch", refuse)
    for body in (png(draw_seven().resize((2_000, 2_000))), png(kind="WEBP")):
        assert client.post("/api/predict", content=body).json()["digit"] == 7


def test_a_picture_whose_batch_ends_the_worker_is_read_alone(fresh, monkeypatch):
    async def end(*_):
        raise WorkerEnded

    monkeypatch.setattr(engine.Engine, "_read_batch", end)
    assert fresh().post("/api/predict", content=SEVEN).json()["digit"] == 7


@pytest.mark.slow
def test_several_workers_give_the_results_of_one_and_are_replaced_when_they_end(client, loaded, tmp_path):
    app_ = app.build(loaded, tmp_path, workers=2)
    others = multiprocessing.active_children()
    with TestClient(app_, base_url="http://localhost", raise_server_exceptions=False) as several:
        for query in ("", "?many=true"):
            answer, expected = (one.post(f"/api/predict{query}", content=SEVEN).json() for one in (several, client))
            assert answer == {**expected, "confidence": pytest.approx(expected["confidence"]),
                "probabilities": pytest.approx(expected["probabilities"])}  # fmt: skip
        assert several.post("/api/predict", content=b"x").status_code == 415
        assert several.post("/api/corrections?digit=7", content=SEVEN).status_code == 201
        assert len(list(tmp_path.glob("*.png"))) == 1
        for worker in set(multiprocessing.active_children()) - set(others):
            worker.kill()
            worker.join()
        assert several.post("/api/predict", content=SEVEN).json()["digit"] == 7


def test_an_upload_that_does_not_arrive_is_aborted(fresh, monkeypatch):
    async def never(request, take):
        await asyncio.sleep(10)
        yield b""

    monkeypatch.setattr(uploads, "_bounded", never)
    answer = fresh(limits=Limits(body_seconds=0.05)).post("/api/predict", content=SEVEN)
    assert (answer.status_code, "did not arrive" in answer.json()["reason"]) == (408, True)


def test_a_client_that_disconnects_does_not_disturb_the_service(client, monkeypatch, caplog):
    async def broken(request, take):
        yield b""
        raise ClientDisconnect

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "_bounded", broken)
        assert client.post("/api/predict", content=SEVEN).status_code == 400
    assert [record.levelname for record in caplog.records if record.levelname == "ERROR"] == []
    assert client.post("/api/predict", content=SEVEN).status_code == 200


def test_the_model_is_described(client, loaded):
    told = client.get("/api/model").json()
    assert (told["checkpoint"], told["val_accuracy"], told["collect"]) == ("pretrained", loaded.val_accuracy, False)
    assert told["parameters"] > 10_000
    assert re.match(r"torch|onnxruntime", told["runtime"])


@pytest.fixture(params=["fashion-mnist", "emnist-letters", "emnist-balanced"])
def other(request, tmp_path, val, monkeypatch):
    """A client of a service whose model has the classes of another data set, their names, and the checkpoint."""
    classes = named_sets.SETS[request.param].classes
    config = TrainConfig(model="linear", data=(request.param,))
    trainer = Trainer(architectures.build_from(config, classes), val[:10], val[:10], config)
    session.save(tmp_path / "other.pt", trainer)
    loaded = backends.load(tmp_path / "other.pt", "cpu")
    monkeypatch.setattr(engine, "Workers", Threads)
    monkeypatch.setattr(reading, "_models", [loaded.model])
    with connect(loaded) as client:
        yield client, classes, tmp_path / "other.pt"


def test_a_model_of_another_data_set_answers_with_its_names_as_the_command_line_does(other, mnist, tmp_path):
    client, classes, checkpoint = other
    assert client.get("/api/model").json()["classes"] == list(classes)
    answer = client.post("/api/predict", files={"a": ("seven.png", SEVEN)}).json()
    assert len(answer["probabilities"]) == len(classes)
    assert answer["label"] == classes[answer["probabilities"].index(max(answer["probabilities"]))]
    assert answer["digit"] == (int(answer["label"]) if answer["label"].isdecimal() else None)
    (tmp_path / "seven.png").write_bytes(SEVEN)
    printed = json.loads(mnist("predict", "seven.png", "--json", "--checkpoint", checkpoint).stdout)
    assert {name: answer[name] for name in ("digit", "label", "reason")} == {
        name: printed[name] for name in ("digit", "label", "reason")
    }
    assert answer["probabilities"] == pytest.approx(printed["probabilities"], abs=1e-5)


def test_a_page_of_what_is_no_digit_is_refused_and_not_guessed(other):
    client, *_ = other
    answer = client.post("/api/predict?many=true", content=SEVEN)
    assert (answer.status_code, answer.json()["reason"]) == (422, app.ONLY_DIGITS)


def test_the_health_of_the_service_is_ok(client):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_page_and_the_documentation_load_nothing_from_elsewhere(client):
    for address in ("/", "/docs"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert not re.search(r"(src|href)=\"?(https?:)?//", answer.text)
        assert "<style" not in answer.text
        assert not re.search(r"<script(?![^>]*src=)", answer.text)
        for linked in re.findall(r'(?:src|href)="([^"#?]+)', answer.text):
            assert client.get(f"/{linked}").status_code == 200


def test_the_documentation_names_all_routes_and_fields(client):
    text = client.get("/docs").text
    for word in (
        "POST /api/predict",
        "POST /api/inspect",
        "GET /api/model",
        "GET /healthz",
        "many",
        "frame",
        "probabilities",
        "503",
    ):
        assert word in text


def test_every_response_has_a_strict_content_security_policy(client):
    for answer in (
        client.get("/"),
        client.get("/docs"),
        client.get("/nothing"),
        client.post("/api/predict", content=b""),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_cors_headers_name_the_allowed_origins(fresh):
    client = fresh(origins=["https://digits.example"])
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    allowed = client.options("/api/predict", headers={"Origin": "https://digits.example", **asks})
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, "https://digits.example")
    answer = client.post("/api/predict", content=SEVEN, headers={"Origin": "https://digits.example"})
    assert (answer.json()["digit"], answer.headers["Access-Control-Allow-Origin"]) == (7, "https://digits.example")
    refused = client.options("/api/predict", headers={"Origin": "https://other.example", **asks})
    assert (refused.status_code, "Access-Control-Allow-Origin" in refused.headers) == (403, False)


def test_corrections_are_refused_without_collect(client):
    answer = client.post("/api/corrections?digit=7", content=SEVEN)
    assert (answer.status_code, "--collect" in answer.json()["reason"]) == (403, True)


def test_corrections_are_collected_without_the_metadata_of_the_camera(fresh, tmp_path):
    client = fresh(collect=tmp_path / "mine")
    exif = Image.Exif()
    exif[271] = "a camera"
    for digit, body in ((7, png(kind="JPEG", exif=exif)), (1, SEVEN)):
        answer = client.post(f"/api/corrections?digit={digit}", content=body)
        assert answer.status_code == 201
    with (tmp_path / "mine" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["digit"] for row in rows] == ["7", "1"]
    for row in rows:
        with Image.open(tmp_path / "mine" / row["path"]) as saved:
            assert (saved.format, saved.size, dict(saved.getexif())) == ("PNG", (200, 200), {})
        kept = client.post("/api/predict", content=(tmp_path / "mine" / row["path"]).read_bytes())
        assert kept.json()["digit"] == 7
    assert client.get("/api/model").json()["collect"] is True


def test_a_correction_names_a_class_of_the_model(fresh, tmp_path):
    answer = fresh(collect=tmp_path).post("/api/corrections?label=7", content=SEVEN)
    assert answer.status_code == 201
    assert (answer.json()["digit"], answer.json()["label"]) == (7, "7")


def test_a_second_service_goes_on_with_the_corrections(fresh, tmp_path):
    for _ in range(2):
        fresh(collect=tmp_path).post("/api/corrections?digit=7", content=SEVEN)
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("", SEVEN, 422),
        ("?digit=10", SEVEN, 422),
        ("?digit=7&label=7", SEVEN, 422),
        ("?label=shoe", SEVEN, 422),
        ("?digit=7", b"x", 415),
    ],
)
def test_a_correction_needs_a_digit_and_a_picture(fresh, tmp_path, query, body, status):
    answer = fresh(collect=tmp_path).post(f"/api/corrections{query}", content=body)
    assert answer.status_code == status
    assert len(list(tmp_path.iterdir())) == 1


def test_a_correction_that_cannot_be_saved_is_an_error(fresh, tmp_path):
    client = fresh(collect=tmp_path / "mine")
    (tmp_path / "mine" / "labels.csv").unlink()
    (tmp_path / "mine").rmdir()
    (tmp_path / "mine").write_text("a file where the folder was")
    answer = client.post("/api/corrections?digit=7", content=SEVEN)
    assert (answer.status_code, "could not be saved" in answer.json()["reason"]) == (507, True)


def test_no_picture_is_written_to_a_disk(client, monkeypatch):
    def refuse(*_):
        raise AssertionError("a temporary file was asked for")

    monkeypatch.setattr("tempfile._TemporaryFileWrapper", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    large = png(Image.effect_noise((1_500, 1_500), 100))
    assert len(large) > 1.5 * 1024**2
    answer = client.post("/api/predict", files={"a": ("noise.png", large)})
    assert answer.status_code == 200


def test_a_request_is_one_line_in_the_log_without_the_name_of_the_picture(client, caplog):
    broken = b"--bsecret"
    with caplog.at_level("INFO", "mnist_cli.serving.guard"):
        client.post("/api/predict?many=1", files={"a": ("secret.png", SEVEN)})
        client.post("/api/predict", content=broken, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert re.fullmatch(r"POST /api/predict  200  \d+ ms", caplog.messages[0])
    assert re.fullmatch(r"POST /api/predict  422  \d+ ms", caplog.messages[1])
    assert len(caplog.messages) == 2
