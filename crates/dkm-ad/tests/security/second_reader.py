# Samba's own reading of security descriptors, a line in, a line out.
#
#   text DOMAIN SDDL        -> ok HEX
#   bytes HEX               -> ok HEX
#   sddl DOMAIN HEX         -> ok SDDL; only for what SDDL has words for, as Samba crashes on the rest
#   access HEX MASK SID,... -> ok BITS, each bit of MASK asked for by itself
#
# What Samba refuses is answered with "no REASON".
import sys

from samba import NTSTATUSError
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.security import access_check


def text(domain, written):
    descriptor = security.descriptor.from_sddl(written, security.dom_sid(domain))
    return ndr_pack(descriptor).hex()


def in_bytes(raw):
    return ndr_pack(ndr_unpack(security.descriptor, bytes.fromhex(raw))).hex()


def sddl(domain, raw):
    descriptor = ndr_unpack(security.descriptor, bytes.fromhex(raw))
    return descriptor.as_sddl(security.dom_sid(domain))


def access(raw, mask, sids):
    descriptor = ndr_unpack(security.descriptor, bytes.fromhex(raw))
    token = security.token()
    token.sids = [security.dom_sid(sid) for sid in sids.split(",")]
    token.num_sids = len(sids.split(","))
    granted = 0
    for bit in range(32):
        if int(mask) & 1 << bit:
            try:
                access_check(descriptor, token, 1 << bit)
                granted |= 1 << bit
            except NTSTATUSError:
                pass
    return str(granted)


CALLS = {"text": text, "bytes": in_bytes, "sddl": sddl, "access": access}
for line in sys.stdin:
    call, *arguments = line.rstrip("\n").split(" ")
    try:
        print("ok", CALLS[call](*arguments))
    except Exception as error:
        print("no", repr(error).replace("\n", " "))
