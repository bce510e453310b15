"""Archives, pages and web archives made for one test."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from base64 import b32encode

PARAGRAPH = "The main text of a page goes on for a sentence or two, so that it is told apart from navigation. "
CHINESE = "在一个安静的早晨，人们走到河边看日出，孩子们在草地上玩，老人坐在树下说着从前的事情。"


def page(text: str, head: str = "") -> str:
    """A page whose main text is `text`."""
    menu = "<nav><ul><li><a href='/'>Home</a><li><a href='/x'>Contact</a></ul></nav>"
    top = f"<!DOCTYPE html><html><head>{head}<title>t</title></head>"
    return f"{top}<body>{menu}<main><article><p>{text}</p></article></main></body></html>"


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def record(kind: str, body: bytes, url: str = "http://example.com/", digest: str | None = None, mime: str = "") -> bytes:
    """One WARC record; `digest` replaces that of the body."""
    stated = digest or "sha1:" + b32encode(hashlib.sha1(body).digest()).decode()
    mime = mime or ("application/http; msgtype=response" if kind == "response" else "text/plain")
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000001>\r\nWARC-Block-Digest: {stated}\r\n"
        f"Content-Type: {mime}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def response(html: bytes, content_type: str = "text/html", status: str = "200 OK") -> bytes:
    """An HTTP response with this page."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(html)}\r\n\r\n".encode() + html


def members(*records: bytes) -> bytes:
    """A .warc.gz: each record a gzip member."""
    return b"".join(gzip.compress(each) for each in records)
