"""Passes a request on to another server and streams its answer back."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence

import httpx
from starlette.requests import Request
from starlette.responses import StreamingResponse

from pulsar_app.server.errors import UnfinishedAnswer

logger = logging.getLogger(__name__)

Header = tuple[bytes, bytes]


async def pass_on(
    client: httpx.AsyncClient, request: Request, url: httpx.URL | str, headers: Sequence[Header]
) -> httpx.Response:
    """The other server's answer, whose body is not read yet.

    Args:
        client: the way to it.
        request: its method, and the body of a POST or PUT, are passed on as they come.
        url: the address to ask for.
        headers: all that the other server is told.

    Raises:
        httpx.HTTPError: it does not answer.
    """
    body = request.stream() if request.method in ("POST", "PUT") else None
    sent = client.build_request(request.method, url, headers=headers, content=body)
    return await client.send(sent, stream=True)


def pass_back(answer: httpx.Response, keeps: Callable[[bytes], bool]) -> StreamingResponse:
    """The answer as it comes, still encoded as the other server sent it.

    Args:
        answer: from `pass_on`; it is closed at the end.
        keeps: whether a header (its name in small letters) goes to the client.
    """
    reply = StreamingResponse(_body(answer), answer.status_code)
    named = ((name.lower(), value) for name, value in answer.headers.raw)
    reply.raw_headers = [(name, value) for name, value in named if keeps(name)]
    return reply


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    except httpx.HTTPError as error:  # the answer has begun: it can only be left unfinished, which the client notices
        logger.warning("a server broke off in the middle of an answer: %s", type(error).__name__)
        raise UnfinishedAnswer from None
    finally:
        await answer.aclose()
