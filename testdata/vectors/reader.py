#!/usr/bin/env python3
"""An independent reader of DKM's formats, and the judge of the test vectors.

Written from docs/format.md alone; section numbers in this file are that page's. It is meant to be read: whoever writes
a reader in another language finds every rule here once, in a short function. It needs Python 3.9 and the package
`cryptography`, which gives AEADs, HMAC and SHA-256; CBOR is read by hand, as strictly as the page wants it.

    python3 testdata/vectors/reader.py

opens every sound vector beside this file, refuses every faulty one with the class that it names, and ends with status 0
if all did. It is a reference for what is right, not a product: secrets are not erased, and nothing is fast.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import re
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Optional

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305


class Refused(Exception):
    """What must not be accepted, with its error class (section 11)."""

    def __init__(self, error_class: str, why: str = "") -> None:
        super().__init__(f"{error_class}: {why}" if why else error_class)
        self.error_class = error_class


def check(holds: bool, error_class: str, why: str = "") -> None:
    """Refuses unless something holds."""
    if not holds:
        raise Refused(error_class, why)


# ---------------------------------------------------------------------------------------------------------------------
# Section 2: conventions


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def kdf(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """Section 2.1: SP 800-108 in counter mode, HMAC-SHA-256, counter first, length in bits last."""
    fixed_input = label + b"\x00" + context + u32(8 * length)
    output = b""
    counter = 1
    while len(output) < length:
        output += hmac.new(key, u32(counter) + fixed_input, hashlib.sha256).digest()
        counter += 1
    return output[:length]


# ---------------------------------------------------------------------------------------------------------------------
# Section 3: context

PAIRS_MAX = 64
CONTEXT_LEN_MAX = 8192


def encode_context(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """The encoding of pairs in any order."""
    check(all(key for key, _ in pairs), "empty-key")
    check(len(pairs) <= PAIRS_MAX, "too-many-pairs")
    check(len({key for key, _ in pairs}) == len(pairs), "duplicate-key")
    check(2 + sum(4 + len(key) + len(value) for key, value in pairs) <= CONTEXT_LEN_MAX, "too-long")
    encoded = (u16(len(key)) + key + u16(len(value)) + value for key, value in sorted(pairs))
    return u16(len(pairs)) + b"".join(encoded)


def decode_context(encoding: bytes) -> list[tuple[bytes, bytes]]:
    """The pairs of an encoding; refuses what `encode_context` would not have written."""
    check(len(encoding) <= CONTEXT_LEN_MAX, "too-long")
    stream = io.BytesIO(encoding)

    def take(length: int) -> bytes:
        piece = stream.read(length)
        check(len(piece) == length, "not-canonical", "cut off")
        return piece

    def number() -> int:
        return int.from_bytes(take(2), "big")

    pairs: list[tuple[bytes, bytes]] = []
    for index in range(number()):
        key = take(number())
        value = take(number())
        check(not pairs or pairs[-1][0] <= key, "not-canonical", "unsorted")
        check(key != b"", "empty-key")
        check(index < PAIRS_MAX, "too-many-pairs")
        check(not pairs or pairs[-1][0] != key, "duplicate-key")
        pairs.append((key, value))
    check(stream.read() == b"", "not-canonical", "bytes left over")
    return pairs


# ---------------------------------------------------------------------------------------------------------------------
# Section 5: ids of keys

FAMILIES = {"native": 1, "windows": 2}


def key_id(group: bytes, family: int, material: bytes) -> bytes:
    return kdf(material, b"dkm key id", group + bytes([family]), 16)


def root_key_id(group: bytes, root_key: bytes) -> bytes:
    return kdf(root_key, b"dkm root id", group, 16)


# ---------------------------------------------------------------------------------------------------------------------
# Section 4: the blob

MAGIC = bytes.fromhex("d44b4db1")
SUITES: dict[int, Any] = {1: AESGCM, 2: ChaCha20Poly1305, 3: AESGCMSIV}
CHUNK_SIZES = (4096, 16384, 65536, 262144, 1048576)
HEADER_LEN = 76
PREFIX_LEN = 108
TAG_LEN = 16
BLOB_LEN_MAX = 2**48


class Key(NamedTuple):
    """What a reader knows of a key."""

    group: bytes
    family: int
    material: bytes

    def id(self) -> bytes:
        return key_id(self.group, self.family, self.material)


class Header(NamedTuple):
    """Section 4.1."""

    suite: int
    group: bytes
    key_id: bytes
    salt: bytes
    chunk_size: int

    def encode(self) -> bytes:
        fields = (MAGIC, b"\x01", u16(self.suite), b"\x00", self.group, self.key_id, self.salt, u32(self.chunk_size))
        return b"".join(fields)


def parse_header(blob: bytes) -> Header:
    """Checks 1 to 6 of section 4.6."""
    check(blob[:4] != b"" and MAGIC.startswith(blob[:4]), "not-a-blob")
    check(len(blob) >= HEADER_LEN, "truncated")
    check(blob[4] == 1, "unknown-version")
    suite = int.from_bytes(blob[5:7], "big")
    check(suite in SUITES, "unknown-suite")
    check(blob[7] == 0, "unknown-flags")
    chunk_size = int.from_bytes(blob[72:76], "big")
    check(chunk_size in CHUNK_SIZES, "bad-chunk-size")
    return Header(suite, blob[8:24], blob[24:40], blob[40:72], chunk_size)


def derive(material: bytes, suite: int, header: bytes, context_hash: bytes) -> tuple[bytes, bytes]:
    """Section 4.3: the AEAD key and the commitment."""
    both = kdf(material, u16(suite), header + context_hash, 64)
    return both[:32], both[32:]


def unlock(key: Key, context: bytes, prefix: bytes, header: Header) -> Any:
    """Checks 8 to 11 of section 4.6; the AEAD of the blob."""
    check(header.group == key.group, "wrong-group")
    check(header.key_id == key.id(), "wrong-key")
    check(key.family == FAMILIES["native"], "foreign-family")
    aead_key, commitment = derive(key.material, header.suite, prefix[:HEADER_LEN], sha256(context))
    check(hmac.compare_digest(commitment, prefix[HEADER_LEN:PREFIX_LEN]), "wrong-context")
    return SUITES[header.suite](aead_key)


def nonce(index: int, last: bool) -> bytes:
    """Section 4.4."""
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def open_chunk(aead: Any, index: int, last: bool, sealed: bytes) -> bytes:
    try:
        return aead.decrypt(nonce(index, last), sealed, None)
    except InvalidTag:
        raise Refused("corrupt", f"chunk {index}") from None


def blob_len(plaintext_len: int, chunk_size: int) -> tuple[int, int]:
    """Section 4.5: chunks and length of the blob of a plaintext."""
    chunks = max(1, -(-plaintext_len // chunk_size))
    length = PREFIX_LEN + plaintext_len + TAG_LEN * chunks
    check(length <= BLOB_LEN_MAX, "too-large")
    return chunks, length


def plaintext_len(length: int, chunk_size: int) -> tuple[int, int]:
    """Section 4.5, the other way: chunks and plaintext bytes of a blob."""
    check(length <= BLOB_LEN_MAX, "too-large")
    sealed = length - PREFIX_LEN
    full = chunk_size + TAG_LEN
    chunks = -(-sealed // full)
    check(sealed >= 0 and chunks > 0, "truncated")
    last = sealed - (chunks - 1) * full
    check(last >= TAG_LEN and (chunks == 1 or last > TAG_LEN), "truncated")
    return chunks, sealed - TAG_LEN * chunks


def seal(key: Key, header: Header, context: bytes, plaintext: bytes) -> bytes:
    """Makes a blob. The salt in the header must be fresh; only test vectors repeat one."""
    prefix = header.encode()
    aead_key, commitment = derive(key.material, header.suite, prefix, sha256(context))
    aead = SUITES[header.suite](aead_key)
    size = header.chunk_size
    chunks, _ = blob_len(len(plaintext), size)
    sealed = (
        aead.encrypt(nonce(i, i == chunks - 1), plaintext[i * size : (i + 1) * size], None) for i in range(chunks)
    )
    return prefix + commitment + b"".join(sealed)


def open_whole(key: Key, context: bytes, blob: bytes) -> bytes:
    """Section 4.6."""
    header = parse_header(blob)
    chunks, _ = plaintext_len(len(blob), header.chunk_size)
    aead = unlock(key, context, blob, header)
    full = header.chunk_size + TAG_LEN
    pieces = (blob[PREFIX_LEN + i * full : PREFIX_LEN + (i + 1) * full] for i in range(chunks))
    return b"".join(open_chunk(aead, i, i == chunks - 1, piece) for i, piece in enumerate(pieces))


def open_stream(key: Key, context: bytes, stream: Any) -> Iterator[bytes]:
    """Section 4.7: chunk by chunk. A refusal may come after chunks that were handed out."""
    prefix = stream.read(PREFIX_LEN)
    header = parse_header(prefix)
    check(len(prefix) == PREFIX_LEN, "truncated")
    aead = unlock(key, context, prefix, header)
    full = header.chunk_size + TAG_LEN
    index = 0
    piece = stream.read(full)
    while True:
        following = stream.read(full) if len(piece) == full else b""
        last = following == b""
        check(len(piece) >= TAG_LEN, "truncated")
        check(not (last and index > 0 and len(piece) == TAG_LEN), "corrupt")
        yield open_chunk(aead, index, last, piece)
        if last:
            return
        piece = following
        index += 1


class SeekingReader:
    """Section 4.8: any range, after the last chunk was opened."""

    def __init__(self, key: Key, context: bytes, blob: Any) -> None:
        self.blob = blob
        length = blob.seek(0, io.SEEK_END)
        blob.seek(0)
        prefix = blob.read(PREFIX_LEN)
        header = parse_header(prefix)
        self.chunk_size = header.chunk_size
        self.chunks, self.length = plaintext_len(length, self.chunk_size)
        self.aead = unlock(key, context, prefix, header)
        self.chunk(self.chunks - 1)

    def chunk(self, index: int) -> bytes:
        full = self.chunk_size + TAG_LEN
        self.blob.seek(PREFIX_LEN + index * full)
        return open_chunk(self.aead, index, index == self.chunks - 1, self.blob.read(full))

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the plaintext."""
        if start >= end:
            return b""
        first, last = start // self.chunk_size, (end - 1) // self.chunk_size
        joined = b"".join(self.chunk(index) for index in range(first, last + 1))
        return joined[start - first * self.chunk_size : end - first * self.chunk_size]


def blob_id(blob: bytes) -> bytes:
    """Section 4.9."""
    return sha256(blob[:PREFIX_LEN])


# ---------------------------------------------------------------------------------------------------------------------
# Section 6.1: deterministic CBOR


class Cbor:
    """Reads CBOR items one after the other, and notes whether all of it was canonical.

    What is not well-formed, or not of the type asked for, is refused as malformed. What is well-formed but has another
    encoding than the one allowed clears `canonical`: the caller decides when to refuse it.
    """

    UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.canonical = True

    def take(self, length: int) -> bytes:
        end = self.position + length
        check(end <= len(self.data), "malformed", "cut off")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def peek(self) -> int:
        """The first byte of the next item."""
        check(self.position < len(self.data), "malformed", "cut off")
        return self.data[self.position]

    def head(self) -> tuple[int, Optional[int]]:
        """Major type and argument; no argument for an indefinite length."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        if info == 31:
            check(major in (self.ARRAY, self.MAP), "malformed", "indefinite")
            self.canonical = False
            return major, None
        check(info <= 27, "malformed", "reserved")
        size = 1 << (info - 24)
        argument = int.from_bytes(self.take(size), "big")
        if major != self.SIMPLE and argument < (24 if size == 1 else 1 << (4 * size)):
            self.canonical = False  # A shorter form would have done.
        return major, argument

    def expect(self, wanted: int) -> Optional[int]:
        major, argument = self.head()
        check(major == wanted, "malformed", "another type")
        return argument

    def uint(self, limit: int = 2**64) -> int:
        number = self.expect(self.UINT)
        check(number is not None and number < limit, "malformed", "number too large")
        return int(number or 0)

    def bytes(self, least: int, most: int) -> bytes:
        length = self.expect(self.BYTES) or 0
        check(least <= length <= most, "malformed", "byte string of another length")
        return self.take(length)

    def text(self) -> str:
        try:
            return self.take(self.expect(self.TEXT) or 0).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("malformed", "not UTF-8") from None

    def boolean(self) -> bool:
        first = self.take(1)
        check(first in (b"\xf4", b"\xf5"), "malformed", "not a boolean")
        return first == b"\xf5"

    def items(self, length: Optional[int]) -> Iterator[int]:
        """Counts the items of an array or map whose head was read."""
        index = 0
        while length is None or index < length:
            if length is None and self.peek() == 0xFF:
                self.take(1)
                return
            yield index
            index += 1

    def skip(self) -> None:
        """Passes over one well-formed item."""
        major, argument = self.head()
        if major in (self.BYTES, self.TEXT):
            self.take(argument or 0)
        elif major == self.ARRAY:
            for _ in self.items(argument):
                self.skip()
        elif major == self.MAP:
            for _ in self.items(argument):
                self.skip()
                self.skip()
        elif major == self.TAG:
            self.skip()


Read = Callable[[Cbor], Any]


def a_u32(cbor: Cbor) -> int:
    return cbor.uint(2**32)


def a_u64(cbor: Cbor) -> int:
    return cbor.uint()


def a_text(cbor: Cbor) -> str:
    return cbor.text()


def a_bool(cbor: Cbor) -> bool:
    return cbor.boolean()


def a_bytes(length: int) -> Read:
    return lambda cbor: cbor.bytes(length, length)


def one_of(*values: int) -> Read:
    """An enumeration."""

    def read(cbor: Cbor) -> int:
        number = cbor.uint()
        check(number in values, "malformed", "unknown value of an enumeration")
        return number

    return read


def list_of(item: Read) -> Read:
    return lambda cbor: [item(cbor) for _ in cbor.items(cbor.expect(Cbor.ARRAY))]


class Field(NamedTuple):
    """One field of a map; its number is its place in the list."""

    name: str
    read: Read
    optional: bool = False


def map_of(fields: list[Field]) -> Read:
    """A map with these fields. Remembers where the last one's value begins."""

    def read(cbor: Cbor) -> dict[str, Any]:
        found: dict[str, Any] = {}
        before = -1
        for _ in cbor.items(cbor.expect(Cbor.MAP)):
            number = cbor.uint()
            if number <= before or number >= len(fields):
                cbor.canonical = False
            before = max(before, number)
            if number >= len(fields):
                cbor.skip()
            elif fields[number].optional and cbor.peek() == 0xF6:
                cbor.canonical = False
                cbor.take(1)
            else:
                start = cbor.position
                found[fields[number].name] = fields[number].read(cbor)
                found["last field at"] = start
                found.setdefault("fields at", {})[fields[number].name] = (start, cbor.position)
        for field in fields:
            check(field.optional or field.name in found, "malformed", f"{field.name} is missing")
        return found

    return read


# ---------------------------------------------------------------------------------------------------------------------
# Sections 6.3 to 6.8: the kinds of records

DIGEST = a_bytes(32)
DIGESTS = list_of(DIGEST)
TEXTS = list_of(a_text)


def material(cbor: Cbor) -> Any:
    """Section 6.6: plain, or wrapped under a root key."""
    if cbor.peek() >> 5 == Cbor.ARRAY:
        check(cbor.expect(Cbor.ARRAY) == 3, "malformed", "wrapped material is not an array of three")
        return {
            "root_key_id": cbor.bytes(16, 16),
            "nonce": cbor.bytes(0, 64),
            "ciphertext": cbor.bytes(0, 4096),
        }
    return cbor.bytes(32, 32)


POLICY = map_of(
    [
        Field("rotation_period_ms", a_u64),
        Field("lead_window_ms", a_u64),
        Field("activation_delay_ms", a_u64),
        Field("refresh_interval_ms", a_u64),
        Field("refresh_jitter_permille", a_u32),
        Field("io_deadline_ms", a_u64),
        Field("replication_bound_ms", a_u64),
        Field("clock_skew_ms", a_u64),
        Field("offline_grace_ms", a_u64),
        Field("min_replicas", a_u32),
        Field("suite", a_u32),
        Field("chunk_size", a_u32),
        Field("unprotect_suites", list_of(a_u32)),
        Field("overdue_refuse_after_ms", a_u64, optional=True),
        Field("archive_recipients", TEXTS),
        Field("archive_before_use", a_bool),
        Field("destroy_grace_ms", a_u64),
        Field("cooling_off_ms", a_u64),
        Field("wrap", one_of(0, 1)),
        Field("owners", TEXTS, optional=True),
        Field("creators", TEXTS, optional=True),
    ]
)
PERSON = map_of([Field("id", a_text), Field("keys", TEXTS), Field("accounts", TEXTS)])
LEVEL = map_of([Field("name", a_text), Field("approvers", TEXTS), Field("quorum", a_u32)])
BREAK_GLASS = map_of(
    [
        Field("levels", list_of(LEVEL)),
        Field("duration_max_ms", a_u64),
        Field("review_within_ms", a_u64),
        Field("direct", a_bool),
    ]
)
ELEVATION = map_of(
    [
        Field("duration_max_ms", a_u64),
        Field("untouched_ms", a_u64),
        Field("activation_window_ms", a_u64),
        Field("revokers", TEXTS),
        Field("direct", list_of(LEVEL), optional=True),
        Field("break_glass", BREAK_GLASS, optional=True),
    ]
)
SIGNATURE = map_of([Field("person", a_text), Field("signature", a_text)])
CHAINED = [Field("version", a_u32), Field("previous", DIGESTS), Field("created_at_ms", a_u64)]

KINDS: dict[int, tuple[str, Read]] = {
    1: (
        "group",
        map_of(
            [
                Field("name", a_text),
                Field("created_at_ms", a_u64),
                Field("repository", a_bytes(16)),
                Field("roster_genesis", DIGEST, optional=True),
                Field("description", a_text, optional=True),
            ]
        ),
    ),
    2: ("policy", map_of(CHAINED + [Field("policy", POLICY)])),
    3: (
        "roster",
        map_of(
            CHAINED
            + [
                Field("persons", list_of(PERSON)),
                Field("levels", list_of(LEVEL)),
                Field("change_delay_ms", a_u64),
                Field("signatures", list_of(SIGNATURE)),
                Field("elevation", ELEVATION, optional=True),
            ]
        ),
    ),
    4: (
        "key",
        map_of(
            [
                Field("id", a_bytes(16)),
                Field("family", one_of(1, 2)),
                Field("origin", one_of(0, 1, 2)),
                Field("created_at_ms", a_u64),
                Field("activates_at_ms", a_u64),
                Field("predecessor", a_bytes(16), optional=True),
                Field("attempt", a_u32),
                Field("material", material),
                Field("guid", a_bytes(16), optional=True),
            ]
        ),
    ),
    5: (
        "status",
        map_of(
            [
                Field("key", a_bytes(16)),
                Field("change", one_of(0, 1, 2, 3, 4)),
                Field("purpose", one_of(0, 1, 2)),
                Field("reason", a_text),
                Field("epoch", a_u32),
                Field("answers", DIGESTS),
                Field("when_ms", a_u64),
            ]
        ),
    ),
    6: (
        "exposed",
        map_of(
            [Field("from_ms", a_u64), Field("until_ms", a_u64), Field("who", a_text), Field("grant", a_text)],
        ),
    ),
}

RESUMED, SUSPENDED = 0, 1
ORDINARY, COOLING_OFF, IN_USE = 0, 1, 2
ROLLED, RESTORED, IMPORTED = 0, 1, 2


def valid(holds: bool, why: str) -> None:
    check(holds, "invalid", why)


def valid_text(text: str, limit: int, what: str) -> None:
    """Section 6.1: a text for people."""
    valid(len(text.encode()) <= limit, f"{what} is too long")
    controls = (c for c in text if ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F)
    valid(all(c in "\n\t" for c in controls), f"{what} holds control characters")


def valid_sorted(items: list[Any], what: str) -> None:
    """Sorted by bytes, each once."""
    keys = [item.encode() if isinstance(item, str) else item for item in items]
    valid(all(a < b for a, b in zip(keys, keys[1:])), f"{what}: not sorted and distinct")


def valid_name(name: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    valid(1 <= len(name) <= 128 and set(name) <= allowed, "name of a group")


def valid_group(body: dict[str, Any]) -> None:
    """Section 6.3."""
    valid_name(body["name"])
    valid_text(body.get("description", ""), 1024, "description")


def valid_chain(body: dict[str, Any]) -> None:
    """Section 6.4, fields 0 and 1."""
    valid_sorted(body["previous"], "previous")
    valid(len(body["previous"]) <= 16, "more than 16 predecessors")
    valid(body["version"] >= 1 and (body["version"] == 1) == (not body["previous"]), "version and predecessors")


DURATION_MAX_MS = 3_155_760_000_000


def valid_policy(body: dict[str, Any]) -> None:
    """Section 6.4."""
    valid_chain(body)
    p = body["policy"]
    for name, value in p.items():
        valid(not name.endswith("_ms") or value <= DURATION_MAX_MS, f"{name} is beyond a hundred years")
    refresh_max = p["refresh_interval_ms"] + p["refresh_interval_ms"] * p["refresh_jitter_permille"] // 1000
    skews = 2 * p["clock_skew_ms"]
    delay_min = p["replication_bound_ms"] + refresh_max + 2 * p["io_deadline_ms"] + skews
    rotation_min = p["lead_window_ms"] + p["activation_delay_ms"] + p["io_deadline_ms"] + skews
    valid(p["refresh_interval_ms"] >= 100, "refresh_interval")
    valid(p["refresh_jitter_permille"] <= 1000, "refresh_jitter")
    valid(p["io_deadline_ms"] >= 1, "io_deadline")
    valid(p["activation_delay_ms"] >= delay_min, "activation_delay")
    valid(p["lead_window_ms"] >= max(1, 20 * p["replication_bound_ms"]), "lead_window")
    valid(p["rotation_period_ms"] >= rotation_min, "rotation_period")
    valid(p["offline_grace_ms"] >= refresh_max + p["io_deadline_ms"], "offline_grace")
    cooling_min = p["offline_grace_ms"] + refresh_max + p["replication_bound_ms"] + skews
    valid(p["cooling_off_ms"] >= cooling_min, "cooling_off")
    valid(p["min_replicas"] <= 16, "min_replicas")
    valid(p["suite"] in (1, 2, 3), "suite")
    valid(p["chunk_size"] in CHUNK_SIZES, "chunk_size")
    valid(p["suite"] in p["unprotect_suites"] and len(p["unprotect_suites"]) <= 16, "unprotect_suites")
    valid_sorted(p["unprotect_suites"], "unprotect_suites")
    for name in ("archive_recipients", "owners", "creators"):
        names = p.get(name, [])
        valid(len(names) <= 64 and all(1 <= len(n.encode()) <= 1024 for n in names), name)
        valid_sorted(names, name)
    valid(not p["archive_before_use"] or bool(p["archive_recipients"]), "archive_before_use")


def valid_levels(levels: list[dict[str, Any]], ids: list[str]) -> None:
    """Section 6.5."""
    valid(len(levels) <= 16, "too many levels")
    for level in levels:
        valid(level["name"] != "", "level without name")
        valid_text(level["name"], 128, "name of a level")
        valid_sorted(level["approvers"], "approvers")
        valid(set(level["approvers"]) <= set(ids), "approver who is not in the roster")
        valid(1 <= level["quorum"] <= len(level["approvers"]), "quorum")
    names = [level["name"] for level in levels]
    valid(len(set(names)) == len(names), "level twice")


def valid_roster(body: dict[str, Any]) -> None:
    """Section 6.5."""
    valid_chain(body)
    persons, levels = body["persons"], body["levels"]
    valid(len(persons) <= 256, "too many persons")
    ids = [person["id"] for person in persons]
    valid_sorted(ids, "persons")
    for person in persons:
        valid(person["id"] != "" and len(person["keys"]) <= 16, "person")
        valid_text(person["id"], 128, "id of a person")
        valid_sorted(person["keys"], "keys")
        valid_sorted(person["accounts"], "accounts")
    keys = [key for person in persons for key in person["keys"]]
    words = [tuple(word for word in re.split("[ \\t\\n\\f\\r]", key) if word)[:2] for key in keys]
    valid(len(set(words)) == len(words), "a key twice")
    accounts = [account for person in persons for account in person["accounts"]]
    valid(len(set(accounts)) == len(accounts), "an account of two persons")
    valid_levels(levels, ids)
    if "elevation" in body:
        rules = body["elevation"]
        valid(min(rules["duration_max_ms"], rules["untouched_ms"], rules["activation_window_ms"]) > 0, "a time of 0")
        valid_sorted(rules["revokers"], "revokers")
        valid(set(rules["revokers"]) <= set(ids), "revoker who is not in the roster")
        valid(rules.get("direct") != [], "direct access without levels")
        valid_levels(levels + rules.get("direct", []), ids)
        if "break_glass" in rules:
            emergency = rules["break_glass"]
            valid(emergency["levels"] != [] and emergency["duration_max_ms"] > 0, "emergency without levels or time")
            valid(not emergency["direct"] or "direct" in rules, "direct access in an emergency only")
            valid_levels(emergency["levels"], ids)
    signatures = [(s["person"].encode(), s["signature"].encode()) for s in body["signatures"]]
    valid_sorted(signatures, "signatures")


def valid_key(body: dict[str, Any]) -> None:
    valid((body["family"] == FAMILIES["windows"]) == ("guid" in body), "a GUID belongs to keys of Windows")


def valid_status(body: dict[str, Any]) -> None:
    """Section 6.7."""
    valid_text(body["reason"], 4096, "reason")
    valid_sorted(body["answers"], "answers")
    needed = {COOLING_OFF: SUSPENDED, IN_USE: RESUMED}.get(body["purpose"])
    valid(needed is None or body["change"] == needed, "purpose and change")


def valid_exposed(body: dict[str, Any]) -> None:
    """Section 6.8."""
    valid(body["from_ms"] < body["until_ms"], "interval")
    valid_text(body["who"], 256, "who")
    valid_text(body["grant"], 256, "grant")


VALID: dict[str, Callable[[dict[str, Any]], None]] = {
    "group": valid_group,
    "policy": valid_policy,
    "roster": valid_roster,
    "key": valid_key,
    "status": valid_status,
    "exposed": valid_exposed,
}


class Record(NamedTuple):
    kind: str
    group: bytes
    body: dict[str, Any]
    stored: bytes

    def up_to_last_field(self) -> bytes:
        """The stored bytes before the last field's value."""
        return self.stored[: self.body["last field at"]]

    def with_empty_list(self, name: str) -> bytes:
        """The stored bytes, with an empty list as the value of a field."""
        start, end = self.body["fields at"][name]
        return self.stored[:start] + b"\x80" + self.stored[end:]


RECORD_LEN_MAX = 65536


def read_record(stored: bytes) -> Record:
    """Section 6.2."""
    check(len(stored) <= RECORD_LEN_MAX, "too-large")
    cbor = Cbor(stored)
    length = cbor.expect(Cbor.ARRAY)
    check(length is not None, "not-canonical", "indefinite array")
    check(cbor.uint() == 1, "unknown-version")
    check(length == 4, "malformed", "not an array of four")
    kind = cbor.uint()
    group = cbor.bytes(16, 16)
    check(cbor.peek() >> 5 == Cbor.MAP, "malformed", "the body is not a map")
    check(cbor.peek() != 0xBF, "not-canonical", "indefinite map")
    check(kind in KINDS, "unknown-kind")
    name, read = KINDS[kind]
    body = read(cbor)
    check(cbor.canonical and cbor.position == len(stored), "not-canonical")
    VALID[name](body)
    return Record(name, group, body, stored)


# ---------------------------------------------------------------------------------------------------------------------
# Section 7: rooms and slots


def room(record: Record) -> str:
    """Section 7.1."""
    in_use = record.kind == "status" and record.body["purpose"] == IN_USE
    return "keys" if record.kind == "key" or in_use else "control"


def derived_slot(kind: str, data: bytes) -> str:
    digest = sha256(b"dkm slot\x00" + kind.encode() + b"\x00" + data)
    return f"{kind}-{digest[:16].hex()}"


def key_slot(predecessor: Optional[bytes], attempt: int) -> str:
    return derived_slot("key", (predecessor or bytes(16)) + u32(attempt))


def chained_slot(kind: str, previous: list[bytes], attempt: int) -> str:
    return derived_slot(kind, b"".join(previous) + u32(attempt))


def first_slot(record: Record) -> str:
    """Section 7.2: the record's slot, the first one where attempts are counted outside of the record."""
    body = record.body
    if record.kind == "group":
        return chained_slot("group", [], 0)
    if record.kind in ("policy", "roster"):
        return chained_slot(record.kind, body["previous"], 0)
    if record.kind == "key" and body["origin"] == ROLLED:
        return key_slot(body.get("predecessor"), body["attempt"])
    if record.kind == "key":
        return {RESTORED: "restored-", IMPORTED: "imported-"}[body["origin"]] + body["id"].hex()
    return f"{record.kind}-{sha256(record.stored)[:16].hex()}"


def read_slot(text: str) -> str:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    check(1 <= len(text) <= 64 and set(text) <= allowed, "not-a-slot-name")
    return text


# ---------------------------------------------------------------------------------------------------------------------
# Section 8: wrapped key material


def wrap_aad(repository: bytes, record: Record) -> bytes:
    """The record up to its material, which is its last field, and null in the material's place."""
    return b"dkm wrap\x00" + repository + record.up_to_last_field() + b"\xf6"


def unwrap(repository: bytes, root_key: bytes, record: Record) -> bytes:
    """The material of a key record, with a root key that we hold ourselves."""
    wrapped = record.body["material"]
    check(len(wrapped["nonce"]) == 12 and len(wrapped["ciphertext"]) == 48, "wrap-mismatch")
    try:
        plain = AESGCM(root_key).decrypt(wrapped["nonce"], wrapped["ciphertext"], wrap_aad(repository, record))
    except InvalidTag:
        raise Refused("wrap-mismatch") from None
    check(key_id(record.group, record.body["family"], plain) == record.body["id"], "key-id-mismatch")
    return plain


# ---------------------------------------------------------------------------------------------------------------------
# Section 10: the archive

ARCHIVE_LEN_MAX = 2**29
ENTRIES_MAX = 400_000
ROOMS = ("control", "keys")


class Entry(NamedTuple):
    room: str
    slot: str
    creator: str
    created_ms: int
    template_ok: bool
    kind: str
    record: bytes


class Archive(NamedTuple):
    repository: bytes
    group: bytes
    name: str
    exported_at_ms: int
    entries: list[Entry]


def archived_kind(group: bytes, stored: bytes) -> str:
    """Checks the record of an entry; its kind, or `unknown` for one of a newer program."""
    try:
        record = read_record(stored)
    except Refused as refused:
        if refused.error_class in ("unknown-version", "unknown-kind"):
            return "unknown"
        raise Refused("bad-record", str(refused)) from None
    check(record.group == group, "wrong-group")
    if record.kind == "key":
        plain = record.body["material"]
        check(isinstance(plain, bytes), "key-not-plain")
        check(key_id(group, record.body["family"], plain) == record.body["id"], "key-id-mismatch")
    return record.kind


def read_entry(cbor: Cbor, group: bytes) -> Entry:
    check(cbor.expect(Cbor.ARRAY) == 6, "malformed", "not an array of six")
    number = cbor.uint()
    check(number < len(ROOMS), "malformed", "room")
    try:
        slot = read_slot(cbor.text())
    except Refused as refused:
        raise Refused("malformed", str(refused)) from None
    creator = cbor.text()
    check(len(creator.encode()) <= 1024, "invalid", "creator")
    created_ms, template_ok = cbor.uint(), cbor.boolean()
    stored = cbor.bytes(0, ARCHIVE_LEN_MAX)
    return Entry(ROOMS[number], slot, creator, created_ms, template_ok, archived_kind(group, stored), stored)


def archive_items(cbor: Cbor) -> int:
    """The number of items of what begins as an archive does."""
    try:
        items = cbor.expect(Cbor.ARRAY)
        if items is not None and cbor.text() == "dkm archive":
            return items
    except Refused:
        pass
    raise Refused("not-an-archive")


def read_archive(payload: bytes) -> Archive:
    """What `age -d` gave out."""
    check(len(payload) <= ARCHIVE_LEN_MAX, "too-large")
    cbor = Cbor(payload)
    items = archive_items(cbor)
    check(cbor.uint() == 1, "unknown-version")
    check(items == 7, "malformed", "not an array of seven")
    repository, group = cbor.bytes(16, 16), cbor.bytes(16, 16)
    name, exported_at_ms = cbor.text(), cbor.uint()
    count = cbor.expect(Cbor.ARRAY)
    check(count is not None, "not-canonical", "indefinite array")
    check(int(count or 0) <= ENTRIES_MAX, "too-many-entries")
    entries = [read_entry(cbor, group) for _ in range(int(count or 0))]
    valid_name(name)
    order = [(ROOMS.index(entry.room), entry.slot.encode(), sha256(entry.record)) for entry in entries]
    ascending = all(a < b for a, b in zip(order, order[1:]))
    check(ascending and cbor.canonical and cbor.position == len(payload), "not-canonical")
    return Archive(repository, group, name, exported_at_ms, entries)


# ---------------------------------------------------------------------------------------------------------------------
# The vectors. README.md beside this file says what their fields mean.

FOLDER = Path(__file__).resolve().parent
Case = dict[str, Any]


class Failed(Exception):
    """A vector does not come to what it says."""


def equal(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        shown = found.hex() if isinstance(found, bytes) else found
        raise Failed(f"{what} is {str(shown)[:200]}")


def given(value: Any) -> bytes:
    """Bytes in one of the notations."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    ((notation, content),) = value.items()
    notations: dict[str, Callable[[Any], bytes]] = {
        "text": lambda text: text.encode(),
        "hex": bytes.fromhex,
        "base64": lambda text: base64.b64decode(text, validate=True),
        "counting": lambda length: (bytes(range(251)) * (length // 251 + 1))[:length],
        "zeros": bytes,
    }
    return notations[notation](content)


def given_pairs(case: Case, name: str = "context") -> list[tuple[bytes, bytes]]:
    return [(given(key), given(value)) for key, value in case[name]]


def given_key(case: Case) -> Key:
    return Key(given(case["group"]), FAMILIES[case["family"]], given(case["material"]))


def load(topic: str) -> list[Case]:
    with open(FOLDER / f"{topic}.json", encoding="utf-8") as file:
        return json.load(file)["cases"]


def try_derivation(case: Case) -> None:
    if case["of"] == "key-id":
        found = key_id(given(case["group"]), FAMILIES[case["family"]], given(case["material"]))
        check(found == given(case["id"]), "key-id-mismatch")
    elif case["of"] == "root-key-id":
        equal("id", root_key_id(given(case["group"]), given(case["root_key"])), given(case["id"]))
    else:
        header, context_hash = given(case["header"]), given(case["context_hash"])
        fixed_input = u16(case["suite"]) + b"\x00" + header + context_hash + u32(512)
        equal("fixed input", fixed_input, given(case["fixed_input"]))
        aead_key, commitment = derive(given(case["material"]), case["suite"], header, context_hash)
        equal("AEAD key", aead_key, given(case["aead_key"]))
        equal("commitment", commitment, given(case["commitment"]))
        equal("blob id", blob_id(header + commitment), given(case["blob_id"]))


def try_context(case: Case) -> None:
    pairs = given_pairs(case, "pairs")
    encoding = encode_context(pairs)
    equal("encoding", encoding, given(case["encoding"]))
    equal("hash", sha256(encoding), given(case["hash"]))
    equal("pairs", decode_context(encoding), sorted(pairs))


def try_refused_context(case: Case) -> None:
    if "encoding" in case:
        decode_context(given(case["encoding"]))
    else:
        encode_context(given_pairs(case, "pairs"))


def try_length(case: Case) -> None:
    if "error" in case and "blob_len" in case:
        plaintext_len(case["blob_len"], case["chunk_size"])
        return
    chunks, length = blob_len(case["plaintext_len"], case["chunk_size"])
    equal("chunks and length", (chunks, length), (case["chunks"], case["blob_len"]))
    back = plaintext_len(length, case["chunk_size"])
    equal("chunks and plaintext", back, (chunks, case["plaintext_len"]))


def seek_all(key: Key, context: bytes, blob: bytes) -> bytes:
    """The whole plaintext through ranges, from its end to its beginning."""
    reader = SeekingReader(key, context, io.BytesIO(blob))
    step = max(1000, reader.length // 8)
    ranges = [(start, min(start + step, reader.length)) for start in range(0, reader.length, step)]
    pieces = [reader.read(start, end) for start, end in reversed(ranges)]
    return b"".join(reversed(pieces))


WAYS: dict[str, Callable[[Key, bytes, bytes], bytes]] = {
    "whole": open_whole,
    "streaming": lambda key, context, blob: b"".join(open_stream(key, context, io.BytesIO(blob))),
    "seeking": seek_all,
}


def try_blob(case: Case) -> None:
    key, context, plaintext = given_key(case), encode_context(given_pairs(case)), given(case["plaintext"])
    header = Header(case["suite"], key.group, key.id(), given(case["salt"]), case["chunk_size"])
    equal("key id", key.id(), given(case["key_id"]))
    blob = seal(key, header, context, plaintext)
    if "blob" in case:
        equal("blob", blob, given(case["blob"]))
    else:
        equal("prefix", blob[:PREFIX_LEN], given(case["blob_prefix"]))
        equal("length", len(blob), case["blob_len"])
        equal("SHA-256", sha256(blob), given(case["blob_sha256"]))
    equal("blob id", blob_id(blob), given(case["blob_id"]))
    for way, open_blob in WAYS.items():
        equal(way, open_blob(key, context, blob), plaintext)


SAMPLES: dict[str, bytes] = {}


def given_blob(case: Case) -> bytes:
    """A blob that is written out, or put together from pieces of sound ones."""
    if "pieces" not in case["blob"]:
        return given(case["blob"])
    if not SAMPLES:
        SAMPLES.update((sample["name"], given(sample["blob"])) for sample in load("blobs"))
    pieces = case["blob"]["pieces"]
    return b"".join(SAMPLES[p["of"]][p["from"] : p["to"]] if "of" in p else given(p) for p in pieces)


def try_refused_blob(case: Case) -> None:
    """Every way of reading must refuse; the last one's refusal is the caller's to compare."""
    key, context, blob = given_key(case), encode_context(given_pairs(case)), given_blob(case)
    equal("SHA-256", sha256(blob), given(case["blob_sha256"]))
    for way, open_blob in WAYS.items():
        expected = case.get("error_streaming", case["error"]) if way == "streaming" else case["error"]
        try:
            open_blob(key, context, blob)
        except Refused as refused:
            equal(f"error when {way}", refused.error_class, expected)
        else:
            raise Failed(f"{way} accepts it instead of {expected}")
    raise Refused(case["error"])


def shown(value: Any) -> Any:
    """A body as the vectors show it: bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items() if name not in ("last field at", "fields at")}
    return value


def try_record(case: Case) -> None:
    record = read_record(given(case["record"]))
    equal("kind", record.kind, case["kind"])
    equal("group", record.group, given(case["group"]))
    equal("fields", shown(record.body), case["fields"])
    equal("room", room(record), case["room"])
    equal("slot", read_slot(first_slot(record)), case["slot"])
    equal("digest", sha256(record.stored), given(case["digest"]))
    if record.kind == "roster":
        equal("signed bytes", record.with_empty_list("signatures"), given(case["signed_bytes"]))


def try_slot(case: Case) -> None:
    of = case["of"]
    if of == "rolled-key":
        predecessor = case["predecessor"]
        found = key_slot(predecessor and given(predecessor), case["attempt"])
    elif of in ("restored-key", "imported-key"):
        found = f"{of[: -len('-key')]}-{case['key']}"
    elif of in ("status", "exposed"):
        found = f"{of}-{case['digest'][:32]}"
    else:
        found = chained_slot(of, [given(digest) for digest in case["previous"]], case["attempt"])
    equal("slot", read_slot(found), case["slot"])


def try_wrapping(case: Case) -> None:
    record, repository, root_key = read_record(given(case["record"])), given(case["repository"]), given(case["root_key"])
    plain = unwrap(repository, root_key, record)
    equal("material", plain, given(case["material"]))
    equal("AAD", wrap_aad(repository, record), given(case["aad"]))
    equal("root key id", root_key_id(record.group, root_key), given(case["root_key_id"]))
    equal("root key id of the record", record.body["material"]["root_key_id"], given(case["root_key_id"]))


def try_archive(case: Case) -> None:
    archive = read_archive(given(case["payload"]))
    equal("repository", archive.repository, given(case["repository"]))
    equal("group", archive.group, given(case["group"]))
    equal("name", archive.name, case["group_name"])
    equal("exported at", archive.exported_at_ms, case["exported_at_ms"])
    entries = [{**entry._asdict(), "digest": sha256(entry.record).hex()} for entry in archive.entries]
    for entry in entries:
        del entry["record"]
    equal("entries", entries, case["entries"])


class Topic(NamedTuple):
    """A file of vectors, how each of its cases is tried, and how many there are at least."""

    name: str
    attempt: Callable[[Case], None]
    least: int


TOPICS = [
    Topic("derivations", try_derivation, 17),
    Topic("contexts", try_context, 10),
    Topic("contexts-refused", try_refused_context, 20),
    Topic("lengths", try_length, 12),
    Topic("lengths-refused", try_length, 12),
    Topic("blobs", try_blob, 40),
    Topic("blobs-large", try_blob, 15),
    Topic("blobs-refused", try_refused_blob, 150),
    Topic("records", try_record, 25),
    Topic("records-refused", lambda case: read_record(given(case["record"])) and None, 150),
    Topic("slots", try_slot, 15),
    Topic("slots-refused", lambda case: read_slot(case["slot"]) and None, 9),
    Topic("wrapping", try_wrapping, 3),
    Topic("wrapping-refused", try_wrapping, 14),
    Topic("archives", try_archive, 5),
    Topic("archives-refused", lambda case: read_archive(given(case["payload"])) and None, 20),
]


def outcome(attempt: Callable[[Case], None], case: Case) -> Optional[str]:
    """Nothing for a vector that came to what it says, otherwise what it came to."""
    expected = case.get("error")
    try:
        attempt(case)
    except Refused as refused:
        return None if refused.error_class == expected else f"refused with {refused}, expected {expected or 'success'}"
    except Failed as failed:
        return str(failed)
    except Exception as error:  # A reader that breaks down has not refused anything.
        return f"{type(error).__name__}: {error}"
    return f"accepted instead of {expected}" if expected else None


def main() -> int:
    passed = failed = 0
    known = {f"{topic.name}.json" for topic in TOPICS}
    for path in sorted(FOLDER.glob("*.json")):
        if path.name not in known:
            print(f"FAILED {path.name}: this reader does not know the file")
            failed += 1
    for topic in TOPICS:
        cases = load(topic.name)
        if len(cases) < topic.least:
            print(f"FAILED {topic.name}: {len(cases)} vectors, at least {topic.least} are expected")
            failed += 1
        before = failed
        for case in cases:
            fault = outcome(topic.attempt, case)
            if fault is None:
                passed += 1
            else:
                print(f"FAILED {topic.name}/{case['name']}: {fault}")
                failed += 1
        refusals = sum("error" in case for case in cases)
        print(f"{topic.name:<18} {len(cases):>4} vectors, {refusals:>4} of them to be refused, {failed - before} failed")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
