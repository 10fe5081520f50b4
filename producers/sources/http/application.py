"""The HTTP intake's paths: who may ask what, bounds before work, and each answer as JSON. What is taken in, `reception` does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from producers.sources.http.answers import DECLARATIONS, Answer, Health, refused
from producers.sources.http.openapi import describe
from producers.sources.http.reception import Reception, Submission
from producers.sources.http.tokens import Tokens
from schemas.errors import PanjError, Problem, SettingsError, UnavailableError, UsageError, shown

BODY_SECONDS = 30.0  # in which a whole body must have come
_BUSY_SECONDS = 1
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_CERTIFIED = "client certificate"  # who came by one, and without a token: TLS has let nobody else in

log = structlog.get_logger()

_Handler = Callable[[Request], Awaitable[Answer]]


class _Refusal(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Counter:
    """Where requests come in: `tokens` is None where client certificates alone let in. Runs in one event loop."""

    def __init__(self, reception: Reception, tokens: Tokens | None, *, max_body_bytes: int, max_in_flight: int) -> None:
        self._reception = reception
        self._tokens = tokens
        self._max_body_bytes = max_body_bytes
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._description = describe(with_tokens=tokens is not None)

    def application(self) -> Starlette:
        """Give the ASGI application."""
        routes = [
            Route(DECLARATIONS, _answering(self._declare), methods=["POST"]),
            Route(f"{DECLARATIONS}/{{event_id}}", _answering(self._fates), methods=["GET"]),
            Route("/openapi.json", _answering(self._describe), methods=["GET"]),
            Route("/healthz", _answering(self._health), methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _elsewhere, Exception: _surprised})

    async def _declare(self, request: Request) -> Answer:
        client = self._client(request, writes=True)
        key = _key_of(request)
        _check_encoding(request)
        self._check_length(request)
        if self._in_flight >= self._max_in_flight:
            text = f"{self._in_flight} requests are being taken in, and that is the most: send this one again a little later"
            raise _refusal(429, UnavailableError("http-busy", text), {"Retry-After": str(_BUSY_SECONDS)})
        self._in_flight += 1
        try:
            body = await self._body(request)
            submission = Submission(client, body, request.headers.get("content-type", ""), key)
            return await run_in_threadpool(self._reception.take, submission)
        finally:
            self._in_flight -= 1

    async def _fates(self, request: Request) -> Answer:
        self._client(request, writes=False)
        return await run_in_threadpool(self._reception.fates, request.path_params["event_id"])

    async def _describe(self, request: Request) -> Answer:
        return Answer(200, self._description)

    async def _health(self, request: Request) -> Answer:
        well = await run_in_threadpool(self._reception.is_well)
        return Answer(200 if well else 503, Health(status="ok" if well else "outbox away").model_dump())

    def _client(self, request: Request, *, writes: bool) -> str:
        """Who asks; 401 where that is nobody we know, 403 where they may only ask for fates."""
        if self._tokens is None:
            return _CERTIFIED
        scheme, _, said = request.headers.get("authorization", "").partition(" ")
        try:
            token = self._tokens.find(said.strip()) if scheme.lower() == "bearer" else None
        except SettingsError as error:
            log.error("tokens.unusable", code=error.code, reason=str(error))  # noqa: TRY400 - a wrong file, not a surprise
            away = UnavailableError("http-tokens-away", "nobody can be let in until the operator has mended the file of tokens")
            raise _refusal(503, away, {"Retry-After": "60"}) from None
        if token is None:
            text = "send a token that is known here: Authorization: Bearer …"
            raise _refusal(401, UsageError("http-unauthorized", text), {"WWW-Authenticate": "Bearer"})
        if writes and token.read_only:
            text = "this token may ask for fates only, and not hand in"
            raise _refusal(403, UsageError("http-forbidden", text, value=token.name), {})
        return token.name

    def _check_length(self, request: Request) -> None:
        said = request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > self._max_body_bytes:
            raise self._too_large(said)

    async def _body(self, request: Request) -> bytes:
        """The whole body, bounded in bytes and in time."""
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    if len(body) + len(part) > self._max_body_bytes:
                        raise self._too_large(len(body) + len(part))
                    body += part
        except TimeoutError:
            slow = UsageError("http-body-slow", f"the body did not come within {BODY_SECONDS:.0f} s", value=f"{len(body)} bytes so far")
            raise _refusal(408, slow, {"Connection": "close"}) from None
        return bytes(body)

    def _too_large(self, size: object) -> _Refusal:
        text = f"a body has at most {self._max_body_bytes:,} bytes here: hand in fewer declarations at once"
        return _refusal(413, UsageError("http-body-too-large", text, value=size), {"Connection": "close"})


def _key_of(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        text = "1 to 200 visible ASCII characters, such as a UUID"
        raise _refusal(400, UsageError("idempotency-key-form", text, field="Idempotency-Key", value=key), {})
    return key


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        text = "bodies are taken as they are, not packed"
        raise _refusal(
            415, UsageError("http-content-encoding", text, field="Content-Encoding", value=encoding), {"Accept-Encoding": "identity"}
        )


def _refusal(status: int, error: PanjError, headers: dict[str, str]) -> _Refusal:
    return _Refusal(refused(status, error.problems[0], headers))


def _answering(handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return _response(await handler(request))
        except _Refusal as refusal:
            log.info("request.refused", status=refusal.answer.status, path=shown(request.url.path))
            return _response(refusal.answer)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it any more

    return answer


def _response(answer: Answer) -> Response:
    return JSONResponse(answer.document, answer.status, {"Cache-Control": "no-store", **answer.headers})


async def _elsewhere(request: Request, error: Exception) -> Response:
    """No such path, or no such method there."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    problem = Problem(code="http-elsewhere", text="nothing answers this here: see /openapi.json", value=shown(request.url.path))
    return _response(refused(status, problem, dict(headers)))


async def _surprised(request: Request, error: Exception) -> Response:
    """A defect of ours: it is told in the log, and the one who asks learns that it was not their fault."""
    log.error("request.surprised", path=shown(request.url.path), exc_info=error)
    problem = Problem(code="http-surprised", text="this should not have happened: send it again later, and tell the post's operator")
    return _response(refused(500, problem))
