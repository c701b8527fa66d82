"""HEAD: what GET would answer, without the body (RFC 9110, 9.3.2)."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NO_BODY: Message = {"type": "http.response.body", "body": b""}


class AnswerHead:
    """Answers HEAD wherever there is a GET.

    What sends its body in parts is ended at the first one; else HEAD of the live stream would never be answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        goes_on = asyncio.Event()

        async def without_body(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif message.get("more_body"):
                goes_on.set()
                await asyncio.Event().wait()  # until it is cancelled
            else:
                await send(_NO_BODY)

        answering = asyncio.ensure_future(self._app({**scope, "method": "GET"}, receive, without_body))
        waiting = asyncio.create_task(goes_on.wait())
        try:
            await asyncio.wait({answering, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            ended_itself = answering.done()
            answering.cancel()
            await asyncio.wait({answering})
        if ended_itself:
            answering.result()
        else:
            await send(_NO_BODY)
