"""The pictures in the body of a request."""

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile


@dataclass(frozen=True)
class Upload:
    """A picture file that came over the network."""

    name: str  # as the sender calls it, or `-` for a body without a name
    body: bytes


async def read_pictures(request: Request) -> list[Upload]:
    """Return the files of a request."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return [Upload("-", await request.body())]
    form = await request.form()
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    return [Upload(part.filename or "-", await part.read()) for part in files]
