"""From the bytes of a picture to an answer, off the event loop."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mnist_cli import pages, predictions
from mnist_cli.answers import Answer
from mnist_cli.errors import ImageError
from mnist_cli.images import WORKING_SIZE, Picture
from mnist_cli.images.decode import decode
from mnist_cli.predictions import Prediction
from mnist_cli.runtimes import Model
from mnist_cli.serving.batching import Batcher
from mnist_cli.serving.uploads import Upload


class Engine:
    """Answers pictures with a model, several at once."""

    def __init__(self, model: Model) -> None:
        """Start no thread before it is needed."""
        self.model = model
        self._decoders = ThreadPoolExecutor(2)
        self._thinker = ThreadPoolExecutor(1)
        self._batcher: Batcher[Picture, Prediction] = Batcher(self._classify, self._thinker, 32, 0.002)

    def _classify(self, pictures: list[Picture]) -> list[Prediction]:
        return predictions.classify(self.model, pictures)

    async def answer(self, upload: Upload, many: bool) -> tuple[Answer, int]:
        """Return what there is to say about a picture, and the status of HTTP that goes with it."""
        loop = asyncio.get_running_loop()
        answer = Answer(Path(upload.name))
        longest = None if many else WORKING_SIZE
        try:
            picture = await loop.run_in_executor(self._decoders, decode, io.BytesIO(upload.body), longest)
        except ImageError as error:
            answer.error = str(error)
            return answer, 422
        if many:
            answer.found = await loop.run_in_executor(self._thinker, pages.find_digits, self.model, picture)
            answer.prediction = answer.found[0].prediction if len(answer.found) == 1 else None
        else:
            answer.prediction = await self._batcher.ask(picture)
        return answer, 200
