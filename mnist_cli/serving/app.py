"""The routes of the service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import MnistError, input_fault
from mnist_cli.models.backends import LoadedModel
from mnist_cli.serving import uploads
from mnist_cli.serving.engine import Engine
from mnist_cli.serving.guard import Guard
from mnist_cli.serving.limits import Full, Limits, Shares
from mnist_cli.serving.replies import HealthReply, ModelReply, Reply, SavedReply, refuse
from mnist_cli.version import __version__

PAGE = Path(__file__).with_name("page")
DESCRIPTION = (
    "Which digit is in a picture? The results are those of `mnist predict --json`. No picture is logged, and none is "
    "stored but those sent to /api/corrections."
)
MEANINGS = {
    403: "not for this origin, or not collected",
    408: "the picture did not arrive in time",
    413: "too large",
    415: "not a picture in a format that is read",
    422: "corrupted, or no picture, or an invalid parameter",
    503: "too many requests; see Retry-After",
    507: "it could not be saved",
}
BINARY = {"type": "string", "format": "binary"}
PICTURES = {f"image/{kind}": {"schema": BINARY} for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff")}
FORM = {
    "multipart/form-data": {"schema": {"type": "object", "properties": {"picture": {"type": "array", "items": BINARY}}}}
}


def build(
    loaded: LoadedModel,
    collect: Path | None = None,
    origins: Sequence[str] = (),
    only_local: bool = True,
    workers: int = 1,
    limits: Limits | None = None,
) -> FastAPI:
    """Return the application that recognizes pictures with a model.

    Corrections are saved in the folder `collect`; requests may come from pages of `origins`, and with `only_local` under
    names of this machine only. So many `workers` may read the pictures of one client at once; there are more for pages and for others.

    Its state has the `engine`, the `limits`, and the `places` of the requests that are answered.
    """
    limits = limits or Limits()
    uploads.silence_form_parser()
    engine, places, memory = Engine(loaded, workers, limits), Shares(limits.requests), Shares(limits.memory_bytes)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        engine.stop()

    app = FastAPI(
        lifespan=running,
        # Even where FastAPI's OpenTelemetry is installed and switched on by the environment, nothing is exported.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        title="mnist",
        summary="A digit recogniser",
        description=DESCRIPTION,
        version=__version__,
        docs_url=None,  # FastAPI's page loads scripts from strangers
        redoc_url=None,
        exception_handlers=_HANDLERS,
        middleware=[
            Middleware(Guard, origins=origins, only_local=only_local),
            Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Content-Type"],
                expose_headers=["Retry-After"],
            ),
        ],
    )
    app.state.engine, app.state.limits, app.state.places = engine, limits, places
    corrections = Corrections(collect) if collect else None

    @app.post(
        "/api/predict",
        response_model=Reply | list[Reply],
        responses=_refusals(403, 408, 413, 415, 422, 503),
        openapi_extra=_takes(PICTURES | FORM),
    )
    async def predict(
        request: Request,
        many: Annotated[bool, Query(description="Look for several digits.")] = False,
        frame: Annotated[bool, Query(description="Add the 28x28 pixels that are the input of the model.")] = False,
    ) -> Response:
        """Read the digit in a picture: an object for a body or a form with one file, a list for several files."""
        address = _address(request)
        with memory.reserve(address) as take_memory, places.reserve(address) as take_places:
            files = await uploads.read(request, take_memory, limits.body_seconds)
            take_places(1)
            # One after another, so that a request has one picture in the queue at a time.
            results = [await engine.recognize(upload, many, address) for upload in files]
        values = [result.to_dict(many=many, frame=frame) for result, _ in results]
        if len(values) > 1:
            return JSONResponse(values)
        status = results[0][1]
        return JSONResponse(values[0], status, {"Retry-After": uploads.RETRY_AFTER} if status == 503 else None)

    @app.post(
        "/api/corrections",
        status_code=201,
        responses=_refusals(403, 408, 413, 415, 422, 503, 507),
        openapi_extra=_takes(PICTURES),
    )
    async def correct(
        request: Request, digit: Annotated[int, Query(ge=0, le=9, description="The digit in the picture.")]
    ) -> SavedReply:
        """Save a picture and its digit, if the service was started with --collect."""
        if corrections is None:
            raise HTTPException(403, "corrections are not collected; `mnist serve --collect FOLDER` does")
        address = _address(request)
        with memory.reserve(address) as take_memory, places.reserve(address) as take_places:
            upload, *_ = await uploads.read(request, take_memory, limits.body_seconds)
            take_places(1)
            path = await engine.save(corrections, upload, digit, address)
        return SavedReply(path=path.name, digit=digit)

    @app.get("/api/model")
    async def model() -> ModelReply:
        """Return the model in use."""
        return ModelReply(
            checkpoint=str(loaded.path),
            val_accuracy=loaded.val_accuracy,
            parameters=loaded.parameters,
            version=__version__,
            runtime=loaded.runtime,
            collect=corrections is not None,
        )

    @app.get("/healthz")
    async def healthz() -> HealthReply:
        """Return that the service runs."""
        return HealthReply(status="ok")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("mnist_cli", "serving"), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        return HTMLResponse(environment.get_template("docs.html").render(document=app.openapi(), base=request.base_url))

    # Not mounted, since a mount would answer wrong methods in the place of the routes.
    app.router.default = StaticFiles(directory=PAGE, html=True)
    return app


def _takes(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Reply, "description": MEANINGS[status]} for status in statuses}


async def _refuse(request: Request, error: Exception) -> Response:
    """Return the response to an HTTPException of ours, or of Starlette, which has no reason but its status."""
    assert isinstance(error, StarletteHTTPException)
    reason = error.detail
    if reason == HTTPStatus(error.status_code).phrase:
        reason = f"{reason.lower()}: {request.method} {request.url.path}; see /docs"
    return refuse(error.status_code, reason, error.headers)


async def _refuse_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first, *_ = error.errors()
    fault = input_fault(first["type"], first["input"], first["msg"], **first.get("ctx", {}))
    return refuse(422, f"the parameter {first['loc'][-1]} is wrong: {fault}; see /docs")


async def _fail(request: Request, error: Exception) -> Response:
    """Answer with the sentence of an error that whoever runs the service can mend, such as an unusable model."""
    return refuse(500, str(error))


async def _refuse_full(request: Request, error: Exception) -> Response:
    return await _refuse(request, uploads.busy())


def _address(request: Request) -> str:
    """Return the address that a request came from, which its connection tells, or without one its scope."""
    return getattr(request.state, "address", request.client.host if request.client else "")


async def _let_go(request: Request, error: Exception) -> Response:
    """Return the response to a sender who disconnected, which nobody receives."""
    return Response(status_code=400)


_HANDLERS: dict[Any, Any] = {
    StarletteHTTPException: _refuse,
    RequestValidationError: _refuse_parameter,
    ClientDisconnect: _let_go,
    MnistError: _fail,
    Full: _refuse_full,
}
