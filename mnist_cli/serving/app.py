"""The application: its routes, and the responses to errors."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import StringConstraints
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import MnistError, input_fault
from mnist_cli.labels import digit_in
from mnist_cli.models.backends import LoadedModel
from mnist_cli.models.interface import knows_digits_only
from mnist_cli.models.networks import Unit
from mnist_cli.pictures.distortions import MAX_BLUR, MAX_NOISE, MAX_ROTATION, MAX_THICKNESS, Distortion
from mnist_cli.serving import uploads
from mnist_cli.serving.engine import Engine
from mnist_cli.serving.guard import Guard
from mnist_cli.serving.limits import Full, Limits, SharedPool
from mnist_cli.serving.reading import Question
from mnist_cli.serving.replies import HealthReply, InspectionReply, ModelReply, Reply, SavedReply, refuse
from mnist_cli.serving.uploads import Upload
from mnist_cli.version import __version__

PAGE = Path(__file__).with_name("page")
DESCRIPTION = (
    "Which digit is in a picture? The results are those of `mnist predict --json`. No picture is logged, and none is "
    "stored but those sent to /api/corrections."
)
MEANINGS = {
    403: "origin not allowed, or corrections are not collected",
    404: "the network has no such class, layer or unit",
    408: "the picture did not arrive in time",
    413: "too large",
    415: "not a picture in a supported format",
    422: "a corrupted picture, no picture, or an invalid parameter",
    501: "the layers of the model cannot be shown",
    503: "too many requests; see Retry-After",
    507: "the picture could not be saved",
}
ONLY_DIGITS = "only digits are found on a page, and this model has other classes; leave many out"
MAX_OFF = 1_000  # units that are switched off in a request
LayerName = Annotated[str, StringConstraints(pattern=r"^\d{1,2}$")]
UnitName = Annotated[str, StringConstraints(pattern=r"^\d{1,2}\.\d{1,5}$")]
BINARY = {"type": "string", "format": "binary"}
PICTURES = {f"image/{kind}": {"schema": BINARY} for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff")}
FORM = {
    "multipart/form-data": {"schema": {"type": "object", "properties": {"picture": {"type": "array", "items": BINARY}}}}
}


@dataclass(frozen=True)
class Service:
    """What the routes and the server use, as `app.state.service`."""

    loaded: LoadedModel
    engine: Engine
    limits: Limits
    slots: SharedPool  # one for each request that is being answered
    memory: SharedPool  # bytes of the bodies that have arrived
    corrections: Corrections | None  # None without --collect
    compared: Sequence[LoadedModel]  # with the first model, whenever that is inspected


def build(
    loaded: LoadedModel,
    collect: Path | None = None,
    origins: Sequence[str] = (),
    only_local: bool = True,
    workers: int = 1,
    limits: Limits | None = None,
    compared: Sequence[LoadedModel] = (),
) -> FastAPI:
    """Return the application that recognizes pictures with a model.

    Corrections are saved in the folder `collect`; requests may come from pages of `origins`, and with `only_local` under
    names of this machine only. At most `workers` processes read the pictures of one client at once; there are more for pages and
    for other clients. An inspection also has the probabilities of the models that are `compared`, whose classes are the same.

    Its `state.service` is a Service.
    """
    limits = limits or Limits()
    uploads.silence_form_parser()
    app = FastAPI(
        lifespan=_running,
        # Even where FastAPI's OpenTelemetry is installed and switched on by the environment, nothing is exported.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        title="mnist",
        summary="A digit recogniser",
        description=DESCRIPTION,
        version=__version__,
        docs_url=None,  # FastAPI's page loads scripts from other sites
        redoc_url=None,
        exception_handlers=_HANDLERS,
        middleware=_middleware(origins, only_local),
    )
    engine = Engine(loaded, workers, limits, compared)
    corrections = Corrections(collect, loaded.model.classes) if collect else None
    slots, memory = SharedPool(limits.requests), SharedPool(limits.memory_bytes)
    app.state.service = Service(loaded, engine, limits, slots, memory, corrections, compared)
    app.include_router(router)
    # Not mounted: a mount would handle requests with a wrong method before the routes refuse them.
    app.router.default = StaticFiles(directory=PAGE, html=True)
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    engine: Engine = app.state.service.engine
    engine.start()
    yield
    engine.stop()


def _middleware(origins: Sequence[str], only_local: bool) -> list[Middleware]:
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type"],
        expose_headers=["Retry-After"],
    )
    return [Middleware(Guard, origins=origins, only_local=only_local), cors]


def _takes(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Reply, "description": MEANINGS[status]} for status in statuses}


async def _service(request: Request) -> Service:  # FastAPI would call one that is not async in a thread
    service: Service = request.app.state.service
    return service


def _within(most: float, description: str) -> Any:
    return Query(ge=-most, le=most, description=description)


def _unit(name: str) -> Unit:
    layer, _, index = name.partition(".")
    return Unit(int(layer), int(index) if index else None)


router = APIRouter()
InUse = Annotated[Service, Depends(_service)]


@router.post(
    "/api/predict",
    response_model=Reply | list[Reply],
    responses=_refusals(403, 408, 413, 415, 422, 503),
    openapi_extra=_takes(PICTURES | FORM),
)
async def predict(
    request: Request,
    service: InUse,
    many: Annotated[bool, Query(description="Look for several digits.")] = False,
    frame: Annotated[bool, Query(description="Add the 28x28 pixels that are the input of the model.")] = False,
) -> Response:
    """Read the digit in a picture: an object for a body or a form with one file, a list for several files."""
    if many and not knows_digits_only(service.loaded.model):
        raise HTTPException(422, ONLY_DIGITS)
    async with _received(request, service) as (files, address):
        # One after another, so that a request has one picture in the queue at a time.
        results = [await service.engine.recognize(upload, many, address) for upload in files]
    values = [result.to_dict(many=many, frame=frame) for result, _ in results]
    if len(values) > 1:
        return JSONResponse(values)
    status = results[0][1]
    return JSONResponse(values[0], status, {"Retry-After": uploads.RETRY_AFTER} if status == 503 else None)


@router.post(
    "/api/inspect",
    response_model=InspectionReply,
    responses=_refusals(403, 404, 408, 413, 415, 422, 501, 503),
    openapi_extra=_takes(PICTURES),
)
async def inspect(
    request: Request,
    service: InUse,
    off: Annotated[
        list[UnitName | LayerName],
        Query(
            max_length=MAX_OFF, description="A unit, such as `1.17`, or a layer, such as `1`, whose outputs become 0."
        ),
    ] = [],  # noqa: B006  (FastAPI copies it)
    unit: Annotated[
        UnitName | None, Query(description="The unit to show, such as `1.17`: layer and unit, from 0.")
    ] = None,
    chosen: Annotated[int | None, Query(alias="class", ge=0, description="The class whose evidence is shown.")] = None,
    thickness: Annotated[float, _within(MAX_THICKNESS, "Pixels added to every edge of the ink.")] = 0,
    rotation: Annotated[float, _within(MAX_ROTATION, "Degrees, clockwise.")] = 0,
    blur: Annotated[float, Query(ge=0, le=MAX_BLUR, description="Standard deviation of the blur in pixels.")] = 0,
    noise: Annotated[
        float, Query(ge=0, le=MAX_NOISE, description="Standard deviation of the noise; 1 is full ink.")
    ] = 0,
) -> Response:
    """Return what the network computes for the digit in a picture, from the ink to the probabilities.

    The frame can be changed first, and units can be switched off.
    """
    question = Question(
        Distortion(thickness, rotation, blur, noise), tuple(map(_unit, off)), chosen, _unit(unit) if unit else None
    )
    async with _received(request, service) as (files, address):
        content = await service.engine.inspect(files[0], question, address)
    return Response(content, media_type="application/json")


@router.post(
    "/api/corrections",
    status_code=201,
    responses=_refusals(403, 408, 413, 415, 422, 503, 507),
    openapi_extra=_takes(PICTURES),
)
async def correct(
    request: Request,
    service: InUse,
    digit: Annotated[int | None, Query(ge=0, le=9, description="The digit in the picture.")] = None,
    label: Annotated[str | None, Query(description="Its class, where the model has other classes than digits.")] = None,
) -> SavedReply:
    """Save a picture and its digit or other class, if the service was started with --collect."""
    if service.corrections is None:
        raise HTTPException(403, "corrections are not collected; `mnist serve --collect FOLDER` does")
    shown = label if digit is None else str(digit)
    if shown is None or (label is not None and digit is not None):
        raise HTTPException(422, "say what the picture shows: ?digit=7, or ?label=NAME for another class")
    if shown not in service.loaded.model.classes:
        raise HTTPException(422, f"the model has no class {shown!r}; GET /api/model lists its classes")
    async with _received(request, service) as (files, address):
        path = await service.engine.save(service.corrections, files[0], shown, address)
    return SavedReply(path=path.name, digit=digit_in(shown), label=shown)


@router.get("/api/model")
async def model(service: InUse) -> ModelReply:
    """Return the model in use."""
    loaded = service.loaded
    return ModelReply(
        checkpoint=str(loaded.path),
        val_accuracy=loaded.val_accuracy,
        parameters=loaded.parameters,
        classes=list(loaded.model.classes),
        version=__version__,
        runtime=loaded.runtime,
        collect=service.corrections is not None,
        compared=[str(other.path) for other in service.compared],
    )


@router.get("/healthz")
async def healthz() -> HealthReply:
    """Return that the service runs."""
    return HealthReply(status="ok")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnist_cli", "serving"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    document = request.app.openapi()
    return HTMLResponse(environment.get_template("docs.html").render(document=document, base=request.base_url))


@asynccontextmanager
async def _received(request: Request, service: Service) -> AsyncIterator[tuple[list[Upload], str]]:
    """Yield the files in a request and the address of its client, with memory and a slot reserved for it meanwhile."""
    address = _address(request)
    with service.memory.reserve(address) as take_memory, service.slots.reserve(address) as take_slots:
        files = await uploads.read(request, take_memory, service.limits.body_seconds)
        take_slots(1)
        yield files, address


def _address(request: Request) -> str:
    """Return the address that a request came from, which its connection sets, or without one its scope."""
    return getattr(request.state, "address", request.client.host if request.client else "")


async def _refuse(request: Request, error: Exception) -> Response:
    """Return the response to an HTTPException, raised here or by Starlette, whose only reason is its status."""
    assert isinstance(error, StarletteHTTPException)
    reason = error.detail
    if reason == HTTPStatus(error.status_code).phrase:
        reason = f"{reason.lower()}: {request.method} {request.url.path}; see /docs"
    return refuse(error.status_code, reason, error.headers)


async def _refuse_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first, *_ = error.errors()
    fault = input_fault(first["type"], first["input"], first["msg"], **first.get("ctx", {}))
    return refuse(422, f"the parameter {first['loc'][1]} is wrong: {fault}; see /docs")


async def _fail(request: Request, error: Exception) -> Response:
    """Return the message of an error that the operator of the service can correct, such as an unusable model."""
    return refuse(500, str(error))


async def _refuse_full(request: Request, error: Exception) -> Response:
    return await _refuse(request, uploads.busy())


async def _ignore_disconnect(request: Request, error: Exception) -> Response:
    """Return a response for a client that has disconnected; nobody receives it."""
    return Response(status_code=400)


_HANDLERS: dict[Any, Any] = {
    StarletteHTTPException: _refuse,
    RequestValidationError: _refuse_parameter,
    ClientDisconnect: _ignore_disconnect,
    MnistError: _fail,
    Full: _refuse_full,
}
