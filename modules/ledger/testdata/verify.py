#!/usr/bin/env python3
"""Verifies audittrail's evidence, written from docs/EVIDENCE.md with nothing but Python's own library.

    verify.py --key KEY [--key KEY ...] FILE ...     bundles and textual proofs
    verify.py --vectors vectors.json                 the document's test vectors

KEY is a verifier key, or a file with one a line. Exit status 0: all is proven; 3: something does not
prove what it says; 1: something can't be read. One line is printed for each file.
"""
import base64
import hashlib
import json
import sys


class Unreadable(Exception):
    """Not JSON, or not there: exit status 1."""


class NotProven(Exception):
    """Does not prove what it says: exit status 3."""


# --- Section 1: canonical form ----------------------------------------------------------------------

class Number:
    """A number by its text: a float would round it."""

    def __init__(self, text):
        self.text = text


class Object:
    """The members of an object, in the order of the text, names possibly repeated."""

    def __init__(self, members):
        self.members = members

    def strict(self):
        out = dict(self.members)
        if len(out) != len(self.members):
            raise NotProven("a member is named twice")
        return out


def refuse_constant(name):
    raise ValueError(name)


def parse_json(data):
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=Object, parse_int=Number, parse_float=Number,
                           parse_constant=refuse_constant)
        check_text(value)
        return value
    except (ValueError, RecursionError) as e:
        raise Unreadable("not JSON") from e


def check_text(value):
    """Refuses half of a surrogate pair, which Python's parser takes."""
    if isinstance(value, str):
        if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ValueError("surrogate")
    elif isinstance(value, Object):
        for name, member in value.members:
            check_text(name)
            check_text(member)
    elif isinstance(value, list):
        for element in value:
            check_text(element)


SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def canonical_string(s):
    out = []
    for c in s:
        if c == "\0":
            raise NotProven("the character U+0000")
        if c in SHORT:
            out.append(SHORT[c])
        elif c < " ":
            out.append("\\u%04x" % ord(c))
        else:
            out.append(c)
    return '"' + "".join(out) + '"'


def canonical_number(text):
    sign, digits = ("-", text[1:]) if text[0] == "-" else ("", text)
    digits, _, exponent = digits.lower().partition("e")
    whole, _, fraction = digits.partition(".")
    n = len(whole) + to_int(exponent or "0")
    digits = whole + fraction
    n -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    k = len(digits)
    if k == 0:
        return "0"
    if max(n, 1) + max(k - n, 0) > 1000:
        raise NotProven("a number of too many digits")
    if k <= n <= 21:
        return sign + digits + "0" * (n - k)
    if 0 < n <= 21:
        return sign + digits[:n] + "." + digits[n:]
    if -6 < n <= 0:
        return sign + "0." + "0" * -n + digits
    mantissa = digits if k == 1 else digits[0] + "." + digits[1:]
    return "%s%se%s%d" % (sign, mantissa, "+" if n > 0 else "-", abs(n - 1))


def to_int(text):
    """An exponent. Past twenty digits only its sign matters: no text is long enough to make up for it."""
    body = text.lstrip("+-").lstrip("0")
    value = int(body or "0") if len(body) <= 20 else 10 ** 20
    return -value if text.startswith("-") else value


def canonical(value, depth=0):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return canonical_string(value)
    if isinstance(value, Number):
        return canonical_number(value.text)
    if depth == 258:
        raise NotProven("nested too deeply")
    if isinstance(value, list):
        return "[" + ",".join(canonical(v, depth + 1) for v in value) + "]"
    members = sorted(value.strict().items(), key=lambda m: m[0].encode("utf-16-be"))
    return "{" + ",".join(canonical_string(n) + ":" + canonical(v, depth + 1) for n, v in members) + "}"


# --- Section 2: leaves ------------------------------------------------------------------------------

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(canonical_form):
    return sha256(b"\x00", canonical_form)


def whole_number(value):
    """A whole number in digits alone, as an index has it."""
    if not isinstance(value, Number) or not value.text.isascii() or not value.text.isdigit() \
            or (value.text[0] == "0" and value.text != "0") or int(value.text) >= 2 ** 63:
        raise NotProven("an index that is none")
    return int(value.text)


def read_entry(entry):
    """The leaf of an entry as it is listed, and its position."""
    if not isinstance(entry, Object):
        raise NotProven("an entry that is no object")
    members = entry.strict()
    position = members.pop("position", None)
    if not isinstance(position, Number):
        raise NotProven("an entry without position")
    # The position's own spelling is free: it is a number of the entry.
    position = whole_number(Number(canonical_number(position.text)))
    return leaf_hash(canonical(Object(list(members.items()))).encode("utf-8")), position


# --- Section 3: the tree ----------------------------------------------------------------------------

def node(left, right):
    return sha256(b"\x01", left, right)


def root_of(leaves):
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node(root_of(leaves[:k]), root_of(leaves[k:]))


def included(leaf, index, size, proof, root):
    if not 0 <= index < size or len(proof) > 64:
        return False
    i, last, h = index, size - 1, leaf
    for p in proof:
        if last == 0:
            return False
        if i % 2 == 1 or i == last:
            h = node(p, h)
            while i % 2 == 0 and i != 0:
                i, last = i // 2, last // 2
        else:
            h = node(h, p)
        i, last = i // 2, last // 2
    return last == 0 and h == root


def consistent(start, end, start_root, end_root, proof):
    if not 0 < start <= end or len(proof) > 64:
        return False
    if start == end:
        return not proof and start_root == end_root
    if start & (start - 1) == 0:
        proof = [start_root] + proof
    if not proof:
        return False
    i, last = start - 1, end - 1
    while i % 2 == 1:
        i, last = i // 2, last // 2
    a = b = proof[0]
    for p in proof[1:]:
        if last == 0:
            return False
        if i % 2 == 1 or i == last:
            a, b = node(p, a), node(p, b)
            while i % 2 == 0 and i != 0:
                i, last = i // 2, last // 2
        else:
            b = node(b, p)
        i, last = i // 2, last // 2
    return last == 0 and a == start_root and b == end_root


# --- Ed25519 (RFC 8032) -----------------------------------------------------------------------------

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(s, p):
    q = (0, 1, 1, 0)
    while s > 0:
        if s & 1:
            q = add(q, p)
        p = add(p, p)
        s >>= 1
    return q


def decode_point(b):
    y = int.from_bytes(b, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def encode_point(p):
    z = pow(p[2], P - 2, P)
    x, y = p[0] * z % P, p[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def signed_by(public, message, signature):
    if len(signature) != 64:
        return False
    a = decode_point(public)
    s = int.from_bytes(signature[32:], "little")
    if a is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], a[2], P - a[3])
    return encode_point(add(multiply(s, BASE), multiply(k, minus_a))) == signature[:32]


# --- Section 4: keys, notes, checkpoints ------------------------------------------------------------

def strict_base64(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as e:
        raise NotProven("base64 that is none") from e
    if base64.b64encode(raw).decode() != text:
        raise NotProven("base64 in another spelling")
    return raw


def parse_key(text):
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NotProven("a key that is none")
    name, key_id, encoded = parts
    raw = strict_base64(encoded)
    if len(raw) != 33 or raw[0] != 1 or sha256(name.encode(), b"\n", raw)[:4].hex() != key_id:
        raise NotProven("a key that is none")
    return (name, bytes.fromhex(key_id)), raw[1:]


def read_keys(arguments):
    keys = {}
    for argument in arguments:
        try:
            found = [parse_key(argument)]
        except NotProven:
            with open(argument, encoding="utf-8") as f:
                lines = [line.strip() for line in f]
            found = [parse_key(line) for line in lines if line and not line.startswith("#")]
        keys.update(found)
    return keys


KNOWN = {}  # notes that were verified before, since a signature takes some milliseconds


def open_checkpoint(text, keys):
    """Origin, size and root of a signed checkpoint."""
    if text not in KNOWN:
        KNOWN[text] = verify_checkpoint(text, keys)
    return KNOWN[text]


def verify_checkpoint(text, keys):
    if len(text.encode("utf-8")) > 262144 or any(c < " " and c != "\n" for c in text) or not text.endswith("\n"):
        raise NotProven("a checkpoint that is no note")
    body, gap, signatures = text.rpartition("\n\n")
    if not gap or not signatures:
        raise NotProven("a checkpoint without signatures")
    body += "\n"
    lines = signatures.split("\n")[:-1]
    if len(lines) > 100:
        raise NotProven("too many signatures")
    signers, seen = set(), set()
    for line in lines:
        dash, name, encoded = (line.split(" ") + ["", ""])[:3]
        if dash != "\u2014" or line.count(" ") != 2 or not name or "+" in name or any(c.isspace() for c in name):
            raise NotProven("a signature line that is none")
        raw = strict_base64(encoded)
        if len(raw) < 5:
            raise NotProven("a signature that is too short")
        key = (name, raw[:4])
        if key not in keys or key in seen:
            continue
        seen.add(key)
        if not signed_by(keys[key], body.encode("utf-8"), raw[4:]):
            raise NotProven("the checkpoint was changed: its signature does not fit")
        signers.add(name)
    if not signers:
        raise NotProven("the checkpoint is not signed by a trusted key")
    return parse_checkpoint(body, signers)


def parse_checkpoint(body, signers):
    lines = body.split("\n")[:-1]
    if len(lines) < 3 or "" in lines:
        raise NotProven("a checkpoint that is none")
    origin, size, root = lines[0], whole_number(Number(lines[1])), strict_base64(lines[2])
    if len(root) != 32 or (size == 0 and root != sha256()):
        raise NotProven("a checkpoint's root that is none")
    if origin not in signers:
        raise NotProven("the checkpoint is signed by another log's key")
    return origin, size, root


# --- Sections 5 and 6: bundles and textual proofs ---------------------------------------------------

def read_hash(text):
    if not isinstance(text, str):
        raise NotProven("a hash that is none")
    raw = strict_base64(text)
    if len(raw) != 32:
        raise NotProven("a hash that is none")
    return raw


def verify_bundle(data, keys):
    bundle = parse_json(data)
    if not isinstance(bundle, Object):
        raise NotProven("no bundle")
    members = bundle.strict()
    if set(members) != {"format", "log", "checkpoint", "entries"} or bundle.members[-1][0] != "entries":
        raise NotProven("no bundle")
    if members["format"] != "audittrail-evidence/v1" or members["log"] not in ("events", "access"):
        raise NotProven("no bundle of this format")
    if not isinstance(members["checkpoint"], str) or not isinstance(members["entries"], list):
        raise NotProven("no bundle of this format")
    origin, size, root = open_checkpoint(members["checkpoint"], keys)
    base, slash, log = origin.rpartition("/")
    if log != members["log"] or not slash or not base:
        raise NotProven("a checkpoint of another log")
    indexes = set()
    for entry in members["entries"]:
        if not isinstance(entry, Object):
            raise NotProven("an entry that is none")
        e = entry.strict()
        if set(e) != {"event", "index", "proof"} or not isinstance(e["proof"], list):
            raise NotProven("an entry that is none")
        leaf, position = read_entry(e["event"])
        index = whole_number(e["index"])
        if index != position or index in indexes:
            raise NotProven("an index that is wrong")
        indexes.add(index)
        if not included(leaf, index, size, [read_hash(h) for h in e["proof"]], root):
            raise NotProven("the entry at %d is not in the log as it is shown" % index)
    return len(indexes)


def verify_text(data, keys):
    try:
        head, gap, checkpoint = data.decode("utf-8").partition("\n\n")
    except ValueError as e:
        raise NotProven("no textual proof") from e
    lines = head.split("\n")
    if not gap or len(lines) < 3 or lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra ") \
            or not lines[2].startswith("index "):
        raise NotProven("no textual proof that carries its entry")
    extra, index = strict_base64(lines[1][len("extra "):]), whole_number(Number(lines[2][len("index "):] or "x"))
    try:
        entry = parse_json(extra)
        if not isinstance(entry, Object) or "position" in entry.strict() or canonical(entry).encode() != extra:
            raise NotProven("an entry that is not in canonical form")
    except Unreadable as e:
        raise NotProven("an entry that is not JSON") from e
    origin, size, root = open_checkpoint(checkpoint, keys)
    if not origin.endswith(("/events", "/access")) or origin in ("/events", "/access"):
        raise NotProven("a checkpoint of another log")
    if not included(leaf_hash(extra), index, size, [read_hash(h) for h in lines[3:]], root):
        raise NotProven("the entry at %d is not in the log as it is shown" % index)
    return 1


def verify_file(name, keys):
    try:
        with open(name, "rb") as f:
            data = f.read()
    except OSError as e:
        raise Unreadable("can't be read") from e
    if data.startswith(b"c2sp.org/tlog-proof@v1\n"):
        return verify_text(data, keys)
    return verify_bundle(data, keys)


# --- Section 8: test vectors ------------------------------------------------------------------------

def check_vectors(name):
    with open(name, "rb") as f:
        vectors = json.load(f)
    for text, want in vectors["numbers"]:
        assert canonical_number(text) == want, text
    for v in vectors["canonical"]:
        assert canonical(parse_json(v["json"].encode())) == v["canonical"], v
    for text in vectors["withoutForm"]:
        try:
            canonical(parse_json(text.encode()))
        except (Unreadable, NotProven):
            continue
        raise AssertionError(text)
    for v in vectors["leaves"]:
        entry = parse_json(v["entry"].encode())
        leaf, _ = read_entry(entry)
        rest = Object([m for m in entry.members if m[0] != "position"])
        assert canonical(rest) == v["canonical"] and leaf == read_hash(v["leaf"]), v
    leaves = [leaf_hash(i.to_bytes(8, "big")) for i in range(max(v["size"] for v in vectors["roots"]))]
    roots = {v["size"]: read_hash(v["root"]) for v in vectors["roots"]}
    for size, root in roots.items():
        assert root_of(leaves[:size]) == root, size
    for v in vectors["inclusion"]:
        proof = [read_hash(h) for h in v["proof"]]
        assert included(leaves[v["index"]], v["index"], v["size"], proof, roots[v["size"]]), v
        assert not included(leaves[v["index"]], v["index"], v["size"], proof + [leaves[0]], roots[v["size"]]), v
    for v in vectors["consistency"]:
        proof = [read_hash(h) for h in v["proof"]]
        assert consistent(v["from"], v["to"], roots[v["from"]], roots[v["to"]], proof), v
        assert not consistent(v["from"], v["to"], leaves[0], roots[v["to"]], proof) or v["from"] == 1, v
    keys = read_keys(vectors["verifierKeys"].values())
    for text in vectors["checkpoints"]:
        open_checkpoint(text, keys)
    print("all vectors fit")


def main(arguments):
    keys, files = [], []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--vectors":
            check_vectors(arguments.pop(0))
            return 0
        if argument == "--key":
            keys.append(arguments.pop(0))
        else:
            files.append(argument)
    trusted, status = read_keys(keys), 0
    for name in files:
        try:
            print("%s: proven, %d entries" % (name, verify_file(name, trusted)))
        except NotProven as e:
            print("%s: NOT PROVEN: %s" % (name, e))
            status = 3
        except Unreadable as e:
            print("%s: unreadable: %s" % (name, e))
            status = status or 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
