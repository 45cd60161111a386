"""The routes of the service."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from mnist_cli import __version__
from mnist_cli.answers import Answer
from mnist_cli.models import Classifier
from mnist_cli.runtimes import Loaded
from mnist_cli.serving.engine import Engine
from mnist_cli.serving.uploads import read_pictures

PAGE = Path(__file__).with_name("page")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def build(loaded: Loaded) -> FastAPI:
    """Return the application that answers with the model of a checkpoint."""
    app = FastAPI(title="mnist", version=__version__, docs_url=None, redoc_url=None)
    engine = Engine(loaded.model)

    @app.middleware("http")
    async def protect(request: Request, call_next: Callable[[Request], Any]) -> Any:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    @app.post("/api/predict")
    async def predict(
        request: Request, many: Annotated[bool, Query()] = False, frame: Annotated[bool, Query()] = False
    ) -> JSONResponse:
        """Read the digit in a picture."""
        answers = [await engine.answer(picture, many) for picture in await read_pictures(request)]
        values = [answer.values(many=many, frame=frame) for answer, _ in answers]
        if len(answers) > 1:
            return JSONResponse(values)
        return JSONResponse(values[0], answers[0][1])

    @app.get("/api/model")
    async def model() -> dict[str, Any]:
        assert isinstance(loaded.model, Classifier)
        return {
            "checkpoint": str(loaded.path),
            "val_accuracy": loaded.val_accuracy,
            "parameters": sum(weights.numel() for weights in loaded.model.parameters()),
            "version": __version__,
            "device": str(loaded.model.pixel_mean.device),
            "runtime": f"torch {torch.__version__}",
            "collect": False,
        }

    @app.post("/api/corrections")
    async def corrections(request: Request, digit: Annotated[int, Query(ge=0, le=9)]) -> JSONResponse:
        reason = "corrections are not collected; `mnist serve --collect DIR` does"
        return JSONResponse(Answer(Path("-"), error=reason).values(), 403)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app
