"""Answers one JSON request a line about a Samba domain controller's own database.

Runs beside the server, as the system account, on the same files: a change costs milliseconds, where a start of
samba-tool costs a second. Ends with its standard input. Arguments: smb.conf, and the database; without a database it
only exports keytabs, which Samba can't do in a process that has the database open.
"""

import base64
import json
import os
import sys

import ldb
import samba.dckeytab  # noqa: F401  (gives Net its export_keytab)
from samba import dsdb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.dcerpc import misc, security
from samba.ndr import ndr_pack, ndr_unpack
from samba.net import Net
from samba.param import LoadParm
from samba.samdb import SamDB

# Samba's own messages must not get between the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

lp = LoadParm()
lp.load(sys.argv[1])
creds = Credentials()
creds.guess(lp)
if len(sys.argv) > 2:
    db = SamDB(url=sys.argv[2], session_info=system_session(lp), credentials=creds, lp=lp)
    domain_sid = security.dom_sid(db.get_domain_sid())
SCOPES = {"base": ldb.SCOPE_BASE, "one": ldb.SCOPE_ONELEVEL, "sub": ldb.SCOPE_SUBTREE}


def quoted(name):
    return ldb.binary_encode(name)


def identity(name):
    found = db.search(db.get_default_basedn(), ldb.SCOPE_SUBTREE, "(sAMAccountName=%s)" % quoted(name), ["objectSid"])
    if len(found) != 1:
        raise ValueError("%d accounts are called %s" % (len(found), name))
    sid = ndr_unpack(security.dom_sid, found[0]["objectSid"][0])
    return {"dn": str(found[0].dn), "sid": str(sid), "rid": sid.split()[1]}


def replace(dn, attribute, values):
    message = ldb.Message(ldb.Dn(db, dn))
    message[attribute] = ldb.MessageElement(values, ldb.FLAG_MOD_REPLACE, attribute)
    db.modify(message)


def change(dn, attribute, value, flag):
    message = ldb.Message(ldb.Dn(db, dn))
    message[attribute] = ldb.MessageElement(value, flag, attribute)
    db.modify(message)


def add_users(users):
    db.transaction_start()
    try:
        for user in users:
            db.newuser(user["name"], user["password"], userou=user.get("ou"))
        db.transaction_commit()
    except BaseException:
        db.transaction_cancel()
        raise
    return [identity(user["name"]) for user in users]


def add_group(name, ou):
    db.newgroup(name, groupou=ou)
    return identity(name)


def add_ou(dn):
    db.create_ou(dn)


def add_member(group, member):
    change(group, "member", member, ldb.FLAG_MOD_ADD)


def remove_member(group, member):
    change(group, "member", member, ldb.FLAG_MOD_DELETE)


def set_primary_group(dn, rid):
    replace(dn, "primaryGroupID", str(rid))


def set_enabled(dn, enabled):
    flags = int(db.search(dn, ldb.SCOPE_BASE, attrs=["userAccountControl"])[0]["userAccountControl"][0])
    flags = flags & ~dsdb.UF_ACCOUNTDISABLE if enabled else flags | dsdb.UF_ACCOUNTDISABLE
    replace(dn, "userAccountControl", str(flags))


def set_password(name, password):
    db.setpassword("(sAMAccountName=%s)" % quoted(name), password)


def export_keytab(path, principal):
    # Samba adds to a keytab that is there; old keys would stay.
    if os.path.exists(path):
        os.unlink(path)
    Net(creds, lp).export_keytab(keytab=path, principal=principal)


# What Samba's own repair of a database gets: the schema and objects of the directory's own classes may be changed.
RELAXED = ["relax:0", "local_oid:%s:0" % dsdb.DSDB_CONTROL_DBCHECK]


def ldif(text, relaxed=False):
    controls = RELAXED if relaxed else []
    db.transaction_start()
    try:
        for kind, message in db.parse_ldif(text):
            if kind in (ldb.CHANGETYPE_NONE, ldb.CHANGETYPE_ADD):
                db.add(message, controls)
            elif kind == ldb.CHANGETYPE_MODIFY:
                db.modify(message, controls)
            elif kind == ldb.CHANGETYPE_DELETE:
                db.delete(message.dn, controls)
            else:
                raise ValueError("this kind of LDIF change is not understood here")
        db.transaction_commit()
    except BaseException:
        db.transaction_cancel()
        raise


def search(base, scope, filter, attributes, controls):
    found = db.search(base, SCOPES[scope], filter, attributes or None, controls=controls)
    return [
        {
            "dn": str(entry.dn),
            "attributes": {
                name: [base64.b64encode(bytes(value)).decode() for value in entry[name]]
                for name in entry.keys()
                if name != "dn"
            },
        }
        for entry in found
    ]


def descriptor(dn):
    found = db.search(dn, ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=["show_deleted:1", "sd_flags:1:15"])
    return binary_to_sddl(base64.b64encode(bytes(found[0]["nTSecurityDescriptor"][0])).decode())


def binary_to_sddl(binary):
    return ndr_unpack(security.descriptor, base64.b64decode(binary)).as_sddl(domain_sid)


def sddl_to_binary(sddl):
    return base64.b64encode(ndr_pack(security.descriptor.from_sddl(sddl, domain_sid))).decode()


def set_descriptor(dn, sddl):
    message = ldb.Message(ldb.Dn(db, dn))
    binary = ndr_pack(security.descriptor.from_sddl(sddl, domain_sid))
    message["nTSecurityDescriptor"] = ldb.MessageElement(binary, ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor")
    db.modify(message, ["sd_flags:1:7"])


def delete(dn, tree):
    db.delete(dn, ["tree_delete:1"] if tree else [])


def rename(dn, to):
    db.rename(dn, to)


def name_controller(host, names):
    dn = "CN=%s,OU=Domain Controllers,%s" % (host.upper(), db.get_default_basedn())
    present = db.search(dn, ldb.SCOPE_BASE, attrs=["servicePrincipalName"])[0].get("servicePrincipalName", [])
    present = {str(name).lower() for name in present}
    missing = [name for name in names if name.lower() not in present]
    if missing:
        change(dn, "servicePrincipalName", missing, ldb.FLAG_MOD_ADD)


def controllers():
    found = db.search(db.get_config_basedn(), ldb.SCOPE_SUBTREE, "(objectClass=nTDSDSA)", ["objectGUID"])
    return {
        entry.dn.get_component_value(1).lower(): str(ndr_unpack(misc.GUID, entry["objectGUID"][0])) for entry in found
    }


def facts():
    return {"sid": str(domain_sid), "invocation_id": db.get_invocation_id()}


def answer(line):
    request = json.loads(line)
    return globals()[request.pop("do")](**request)


for line in sys.stdin:
    try:
        reply = {"ok": answer(line)}
    except Exception as error:
        reply = {"error": "%s: %s" % (type(error).__name__, error)}
    answers.write(json.dumps(reply) + "\n")
    answers.flush()
