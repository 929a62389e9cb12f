#!/usr/bin/env python3
"""An independent reader of Windows DKM blobs, version 1, and the judge of the test vectors beside it.

Written from the layout in docs/windows-dkm.md alone. It needs Python 3.9 and the package `cryptography`, which gives
AES-CBC; HMAC and SHA-256 are Python's own, DER is read by hand. No KDF of a library is used: those take the length that
goes into the derivation in bits, as the standard has it, and Windows has it in bytes.

    python3 testdata/windows/reader.py                          opens and refuses every vector
    python3 testdata/windows/reader.py KEY-FILE < blob          writes the plaintext of one blob

It is a reference for what is right, not a product: secrets are not erased.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import uuid
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7


class Refused(Exception):
    """What must not be opened, with its class."""

    def __init__(self, error_class: str, why: str = "") -> None:
        super().__init__(f"{error_class}: {why}" if why else error_class)
        self.error_class = error_class


def check(holds: bool, error_class: str, why: str = "") -> None:
    if not holds:
        raise Refused(error_class, why)


# ---------------------------------------------------------------------------------------------------------------------
# DER, as much as there is of it

OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06


def der_length(length: int) -> bytes:
    """The one form of a length."""
    if length < 128:
        return bytes([length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def der(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + der_length(len(content)) + content


def oid(dotted: str) -> bytes:
    """An object identifier in DER."""
    first, second, *others = map(int, dotted.split("."))
    content = b""
    for number in [40 * first + second, *others]:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(0x80 | number & 0x7F)
        content += bytes(reversed(digits))
    return der(OBJECT_IDENTIFIER, content)


class Bytes:
    """Bytes that are read from their front."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, count: int) -> bytes:
        check(count <= len(self.rest), "truncated")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def length(self) -> int:
        first = self.take(1)
        if first[0] < 0x80:
            return first[0]
        check(0x81 <= first[0] <= 0x84, "malformed", "a length that is indefinite or too long")
        digits = self.take(first[0] & 0x7F)
        length = int.from_bytes(digits, "big")
        check(der_length(length) == first + digits, "malformed", "a length that is not in its shortest form")
        return length

    def value(self, tag: int) -> bytes:
        check(self.take(1)[0] == tag, "malformed", "another tag")
        return self.take(self.length())

    def octets(self, count: int) -> bytes:
        value = self.value(OCTET_STRING)
        check(len(value) == count, "malformed", "another length")
        return value

    def algorithm(self, known: bytes) -> None:
        check(der(OBJECT_IDENTIFIER, self.value(OBJECT_IDENTIFIER)) == known, "unknown-algorithm")


# ---------------------------------------------------------------------------------------------------------------------
# The blob

SHA_256 = oid("2.16.840.1.101.3.4.2.1")
AES_128_CBC = oid("2.16.840.1.101.3.4.1.2")
BLOB_LEN_MAX = 16 * 1024 * 1024
MAC_LEN = 32
BLOCK_LEN = 16


class Blob(NamedTuple):
    """A blob's parts."""

    guid: bytes
    nonce: bytes
    iv: bytes
    ciphertext: bytes
    mac: bytes


def read(data: bytes) -> Blob:
    check(len(data) <= BLOB_LEN_MAX, "too-large")
    blob = Bytes(data)
    version = blob.number()
    check(version < 2**16, "not-a-windows-blob")
    check(version == 1, "unknown-version")
    check(blob.number() == 0, "unknown-method")
    guid = blob.octets(16)
    blob.algorithm(SHA_256)
    blob.algorithm(SHA_256)
    blob.algorithm(AES_128_CBC)
    nonce = blob.octets(32)
    iv = blob.octets(16)
    check(blob.length() == MAC_LEN, "malformed", "a MAC of another length")
    ciphertext_len = blob.length() - MAC_LEN
    check(ciphertext_len > 0 and ciphertext_len % BLOCK_LEN == 0, "malformed", "no whole blocks and a MAC")
    ciphertext = blob.take(ciphertext_len)
    mac = blob.take(MAC_LEN)
    check(blob.rest == b"", "trailing-bytes")
    return Blob(guid, nonce, iv, ciphertext, mac)


def fixed_input(nonce: bytes, unit: int = 1) -> bytes:
    """What follows the counter. The length of what is derived is 48 bytes, and stands there in bytes; `unit` 8 makes it
    the standard's, in bits."""
    return AES_128_CBC + SHA_256 + b"\x00" + nonce + (48 * unit).to_bytes(4, "big")


def derive(material: bytes, nonce: bytes, unit: int = 1) -> tuple[bytes, bytes]:
    """Key of the cipher and of the MAC: SP 800-108 in counter mode, HMAC-SHA-256, a counter of 32 bits in front."""
    output = b"".join(
        hmac.new(material, counter.to_bytes(4, "big") + fixed_input(nonce, unit), hashlib.sha256).digest()
        for counter in (1, 2)
    )
    return output[:16], output[16:48]


def names(blob: Blob, guid: uuid.UUID) -> bool:
    """Windows lays a GUID out with its first three numbers little-endian; the order of its text is taken too."""
    return blob.guid in (guid.bytes_le, guid.bytes)


def open_blob(data: bytes, material: bytes, guid: Optional[uuid.UUID] = None) -> bytes:
    blob = read(data)
    check(guid is None or names(blob, guid), "wrong-key")
    key, mac_key = derive(material, blob.nonce)
    mac = hmac.new(mac_key, blob.iv + blob.ciphertext, hashlib.sha256).digest()
    check(hmac.compare_digest(mac, blob.mac), "wrong-mac")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(blob.iv)).decryptor()
    padded = decryptor.update(blob.ciphertext) + decryptor.finalize()
    try:
        remover = PKCS7(8 * BLOCK_LEN).unpadder()
        return remover.update(padded) + remover.finalize()
    except ValueError:
        raise Refused("bad-padding") from None


def seal(guid_bytes: bytes, material: bytes, nonce: bytes, iv: bytes, plaintext: bytes) -> bytes:
    key, mac_key = derive(material, nonce)
    padder = PKCS7(8 * BLOCK_LEN).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    mac = hmac.new(mac_key, iv + ciphertext, hashlib.sha256).digest()
    head = (1).to_bytes(4, "big") + (0).to_bytes(4, "big") + der(OCTET_STRING, guid_bytes)
    head += SHA_256 + SHA_256 + AES_128_CBC + der(OCTET_STRING, nonce) + der(OCTET_STRING, iv)
    return head + der_length(len(mac)) + der_length(len(ciphertext + mac)) + ciphertext + mac


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


def try_derivation(case: Case) -> None:
    material, nonce = given(case["material"]), given(case["nonce"])
    equal("fixed input", fixed_input(nonce), given(case["fixed_input"]))
    equal("keys", derive(material, nonce), (given(case["aes_key"]), given(case["mac_key"])))
    bits = derive(material, nonce, unit=8)
    equal("keys with the length in bits", bits, (given(case["not_aes_key"]), given(case["not_mac_key"])))
    if derive(material, nonce) == bits:
        raise Failed("the unit of the length makes no difference")


def try_blob(case: Case) -> None:
    guid, material, plaintext = uuid.UUID(case["guid"]), given(case["material"]), given(case["plaintext"])
    guid_bytes = guid.bytes if case.get("guid_order") == "text" else guid.bytes_le
    blob = seal(guid_bytes, material, given(case["nonce"]), given(case["iv"]), plaintext)
    if "blob" in case:
        equal("blob", blob, given(case["blob"]))
    else:
        equal("prefix", blob[:120], given(case["blob_prefix"]))
        equal("length", len(blob), case["blob_len"])
        equal("SHA-256", hashlib.sha256(blob).digest(), given(case["blob_sha256"]))
    equal("plaintext", open_blob(blob, material, guid), plaintext)


def try_refused(case: Case) -> None:
    open_blob(given(case["blob"]), given(case["material"]), uuid.UUID(case["guid"]))


TOPICS: dict[str, tuple[Callable[[Case], None], int]] = {
    "derivations": (try_derivation, 5),
    "blobs": (try_blob, 15),
    "blobs-refused": (try_refused, 400),
}


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


def judge() -> int:
    passed = failed = 0
    if {path.stem for path in FOLDER.glob("*.json")} != set(TOPICS):
        print("FAILED the files are not those that this reader knows")
        failed += 1
    for topic, (attempt, least) in TOPICS.items():
        with open(FOLDER / f"{topic}.json", encoding="utf-8") as file:
            cases = json.load(file)["cases"]
        if len(cases) < least:
            print(f"FAILED {topic}: {len(cases)} vectors, at least {least} are expected")
            failed += 1
        before = failed
        for case in cases:
            fault = outcome(attempt, case)
            if fault is None:
                passed += 1
            else:
                print(f"FAILED {topic}/{case['name']}: {fault}")
                failed += 1
        refusals = sum("error" in case for case in cases)
        print(f"{topic:<18} {len(cases):>4} vectors, {refusals:>4} of them to be refused, {failed - before} failed")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 else 1


def main() -> int:
    if len(sys.argv) == 1:
        return judge()
    try:
        material = Path(sys.argv[1]).read_bytes()
        sys.stdout.buffer.write(open_blob(sys.stdin.buffer.read(), material))
        return 0
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
