#!/usr/bin/env python3
"""Verifies evidence of audittrail, with nothing but Python's standard library (3.9 or newer).

It was written from docs/EVIDENCE.md alone; the numbers below are that page's sections.

    verify.py --key KEY [--key KEY ...] FILE ...      evidence bundles, textual proofs and exports
    verify.py --vectors FILE                          the test vectors of section 9

A KEY is a verifier key, or a file of them. One line is printed a file. Exit status 0: everything is
proven, or complete; 3: something does not prove what it says; 1: something can't be read, or is no JSON.
"""

import argparse
import base64
import functools
import hashlib
import json
import re
import sys
from collections import namedtuple


class Unproven(Exception):
    """It breaks a rule of the format: exit status 3."""


class Unreadable(Exception):
    """It is no JSON, or can't be read at all: exit status 1."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unbase64(text, what):
    """Base64 with padding, in the one spelling that an encoder makes."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Unproven(what + " is no base64")
    if base64.b64encode(data).decode() != text:
        raise Unproven(what + " is not base64 as an encoder writes it")
    return data


def hashes(texts):
    """The hashes of a proof, base64 each, 64 at most (3)."""
    if len(texts) > 64:
        raise Unproven("the proof has more than 64 hashes")
    found = [unbase64(text, "a hash of the proof") for text in texts]
    if any(len(h) != 32 for h in found):
        raise Unproven("a hash of the proof has not 32 bytes")
    return found


def whole_number(text, what):
    """Decimal digits without leading zeros, below 2^63."""
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text) or int(text) >= 1 << 63:
        raise Unproven(what + " is no whole number as this format writes it")
    return int(text)


# ---- 1. Canonical form -------------------------------------------------------------------------

Number = namedtuple("Number", "text form")  # as it was written; its canonical form
Bracket = namedtuple("Bracket", "char")

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
PLAIN = r'[^"\\\x00-\x1f]*'
STRING = re.compile(rf'"({PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{{4}}){PLAIN})*)"')
ESCAPE = re.compile(r"\\(?:u(....)|(.))")
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
SPACE = re.compile(r"[ \t\n\r]*")


class Reader:
    """Reads JSON strictly, keeping the text of numbers. What is no JSON raises Unreadable. What is
    JSON but has no canonical form goes into `doubt`, and is read on: other entries may follow."""

    def __init__(self, data):
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError as e:
            # Up to there it may break other rules first; a raw U+0000 is no JSON anywhere.
            self.text = data[: e.start].decode("utf-8") + "\0"
        self.at = 0
        self.fresh()

    def fresh(self):
        self.doubt, self.grown = None, 0

    def peek(self):
        self.at = SPACE.match(self.text, self.at).end()
        return self.text[self.at : self.at + 1]

    def take(self, char):
        if self.peek() != char:
            return False
        self.at += 1
        return True

    def need(self, char):
        if not self.take(char):
            raise Unreadable(f"no JSON: no {char!r} at character {self.at}")

    def end(self):
        if self.peek():
            raise Unreadable(f"no JSON: more at character {self.at}")

    def items(self, opening, closing):
        """Steps through what stands between brackets, with commas in between."""
        self.need(opening)
        if self.take(closing):
            return
        while True:
            yield
            if self.take(closing):
                return
            self.need(",")

    def token(self):
        """A value that is no array or object; of these only the bracket, as a Bracket."""
        char = self.peek()
        return Bracket(char) if char and char in "{[" else self.scalar(char)

    def value(self, depth=1):
        char = self.peek()
        if char == "" or char not in "{[":
            return self.scalar(char)
        if depth > 258:
            raise Unproven("nested deeper than 258")
        if char == "[":
            return [self.value(depth + 1) for _ in self.items("[", "]")]
        members = {}
        for _ in self.items("{", "}"):
            name = self.string()
            self.need(":")
            if name in members:
                self.doubt = f"two members are named {name!r}"
            members[name] = self.value(depth + 1)
        return members

    def scalar(self, char):
        if char == '"':
            return self.string()
        for literal, value in (("null", None), ("true", True), ("false", False)):
            if self.text.startswith(literal, self.at):
                self.at += len(literal)
                return value
        return self.number()

    def string(self):
        self.peek()
        found = STRING.match(self.text, self.at)
        if not found:
            raise Unreadable(f"no JSON at character {self.at}")
        self.at = found.end()
        text = found[1]
        if "\\" in text:
            text = ESCAPE.sub(lambda e: chr(int(e[1], 16)) if e[1] else ESCAPED.get(e[2], e[2]), text)
            try:  # Puts surrogate pairs together.
                text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            except UnicodeDecodeError:
                raise Unreadable("no JSON: half a surrogate pair")
        if "\0" in text:
            self.doubt = "a text holds U+0000"
        return text

    def number(self):
        found = NUMBER.match(self.text, self.at)
        if not found:
            raise Unreadable(f"no JSON at character {self.at}")
        self.at = found.end()
        whole, fraction, sign, exponent = (group or "" for group in found.groups())
        exponent = exponent.lstrip("0") or "0"
        digits = (whole + fraction).lstrip("0")
        n = len(whole) - (len(whole + fraction) - len(digits))
        digits = digits.rstrip("0")
        if not digits:
            return Number(found[0], "0")
        # No text is long enough to bring an exponent of more digits back to a plain 1,000.
        n += int(sign + exponent[:18])
        k = len(digits)
        plain = max(n, 1) + max(k - n, 0)
        if plain > 1000:
            self.doubt = "a number has more than 1,000 digits when it is written out plainly"
            return Number(found[0], None)
        form = "-" * found[0].startswith("-") + number_form(digits, k, n)
        self.grown += max(plain - len(form), 0)
        if self.grown > 1 << 20:
            self.doubt = "the numbers would grow too much when they are written out plainly"
        return Number(found[0], form)


def number_form(d, k, n):
    if k <= n <= 21:
        return d + "0" * (n - k)
    if 0 < n <= 21:
        return d[:n] + "." + d[n:]
    if -6 < n <= 0:
        return "0." + "0" * -n + d
    return d[0] + ("." + d[1:] if k > 1 else "") + f"e{n - 1:+d}"


NAMED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def string_form(text):
    return '"' + re.sub(r'["\\\x00-\x1f]', lambda c: NAMED.get(c[0]) or f"\\u{ord(c[0]):04x}", text) + '"'


def form(value):
    if isinstance(value, Number):
        return value.form
    if isinstance(value, str):
        return string_form(value)
    if isinstance(value, list):
        return "[" + ",".join([form(v) for v in value]) + "]"
    if isinstance(value, dict):
        # Big-endian UTF-16 sorts as its code units do.
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join([string_form(name) + ":" + form(value[name]) for name in names]) + "}"
    return {None: "null", True: "true", False: "false"}[value]


def read_json(data):
    """One JSON value with a canonical form, and nothing else."""
    reader = Reader(data)
    value = reader.value()
    reader.end()
    if reader.doubt:
        raise Unproven(reader.doubt)
    return value


# ---- 2. Entries and leaves ---------------------------------------------------------------------


def leaf_of(entry):
    return sha256(b"\0", form({n: v for n, v in entry.items() if n != "position"}).encode())


# ---- 3. The tree -------------------------------------------------------------------------------


def root_of(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256()
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\1", root_of(leaves[:k]), root_of(leaves[k:]))


def check_inclusion(leaf, index, size, proof, root):
    i, last, h = index, size - 1, leaf
    for p in proof:
        if last == 0:
            raise Unproven("the proof is too long")
        if i % 2 or i == last:
            h = sha256(b"\1", p, h)
            while i % 2 == 0 and i:
                i, last = i // 2, last // 2
        else:
            h = sha256(b"\1", h, p)
        i, last = i // 2, last // 2
    if last or h != root:
        raise Unproven("the proof does not lead from the entry to the checkpoint")


def check_consistency(start, end, proof, root, new_root):
    if start == 0 or start == end:
        if proof or root != (new_root if start else sha256()):
            raise Unproven("the roots differ")
        return
    if start & (start - 1) == 0:
        proof = [root] + proof
    if not proof:
        raise Unproven("the proof is empty")
    i, last = start - 1, end - 1
    while i % 2:
        i, last = i // 2, last // 2
    a = b = proof[0]
    for p in proof[1:]:
        if last == 0:
            raise Unproven("the proof is too long")
        if i % 2 or i == last:
            a, b = sha256(b"\1", p, a), sha256(b"\1", p, b)
            while i % 2 == 0 and i:
                i, last = i // 2, last // 2
        else:
            b = sha256(b"\1", b, p)
        i, last = i // 2, last // 2
    if last or a != root or b != new_root:
        raise Unproven("the proof does not lead from one root to the other")


# ---- 4. Keys, notes, checkpoints ---------------------------------------------------------------

# Ed25519 (RFC 8032, section 5.1). A point is (X, Y, Z, T): x = X/Z, y = Y/Z, x*y = T/Z.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, p)
        p, n = add(p, p), n >> 1
    return result


def encode(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    """The point that 32 bytes encode, or None."""
    y = int.from_bytes(data, "little")
    odd, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and odd):
        return None
    if x % 2 != odd:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=64)  # files often share a checkpoint
def signed(public, text, signature):
    a, s = decode(public), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ORDER
    minus_a = (P - a[0], a[1], 1, P - a[3])
    return encode(add(times(s, BASE), times(k, minus_a))) == signature[:32]


def valid_name(name):
    return name != "" and "+" not in name and not any(c.isspace() for c in name)


def key_id(name, public):
    return sha256(name.encode(), b"\n\1", public)[:4]


def read_key(text):
    """(name, id), public key."""
    name, ident, encoded = (text.split("+", 2) + ["", ""])[:3]
    key = unbase64(encoded, "the key")
    if not valid_name(name) or len(key) != 33 or key[0] != 1 or ident != key_id(name, key[1:]).hex():
        raise Unproven("not a verifier key")
    return (name, key_id(name, key[1:])), key[1:]


def read_keys(arguments):
    keys = {}
    for argument in arguments:
        lines = [argument]
        if not re.match(r"[^+]+\+[0-9a-f]{8}\+", argument):
            with open(argument, encoding="utf-8") as f:
                lines = f.read().split("\n")
        for line in map(str.strip, lines):
            if line and not line.startswith("#"):
                known, public = read_key(line)
                if keys.setdefault(known, public) != public:
                    raise Unproven("two keys have one name and id")
    return keys


LOGS = ("events", "access")

Checkpoint = namedtuple("Checkpoint", "origin size root")


def log_of(checkpoint):
    base, _, log = checkpoint.origin.rpartition("/")
    if not base or log not in LOGS:
        raise Unproven("the checkpoint is of no log of audittrail")
    return log


def open_checkpoint(note, keys):
    """What a trusted key has signed."""
    if len(note.encode()) > 262144 or re.search(r"[\x00-\x09\x0b-\x1f]", note):
        raise Unproven("the checkpoint is too long, or has control characters")
    text, parting, signatures = note.rpartition("\n\n")
    signatures = signatures.split("\n")
    if not parting or signatures.pop() != "" or not 1 <= len(signatures) <= 100:
        raise Unproven("the checkpoint is no signed note")
    text += "\n"

    known, verified = set(), set()
    for line in signatures:
        found = re.fullmatch("— ([^ ]+) ([^ ]+)", line)
        if not found or not valid_name(found[1]):
            raise Unproven("the checkpoint has a signature line of another form")
        name, signature = found[1], unbase64(found[2], "a signature")
        if len(signature) < 5:
            raise Unproven("a signature is too short")
        key = name, signature[:4]
        if key not in keys or key in known:
            continue
        known.add(key)
        if not signed(keys[key], text.encode(), signature[4:]):
            raise Unproven(f"the signature of {name} does not fit the checkpoint")
        verified.add(name)

    lines = text[:-1].split("\n")
    if len(lines) < 3 or "" in lines:
        raise Unproven("the checkpoint has not its three lines, or has an empty one")
    if lines[0] not in verified:
        raise Unproven(f"no key that is trusted, of {lines[0]}, has signed the checkpoint")
    size, root = whole_number(lines[1], "the checkpoint's size"), unbase64(lines[2], "the root")
    if len(root) != 32 or (size == 0 and root != sha256()):
        raise Unproven("the checkpoint's root can't be one")
    return Checkpoint(lines[0], size, root)


# ---- 5. The evidence bundle --------------------------------------------------------------------


def judged(read):
    """What was found wrong before a file ends unreadable counts, and is no less wrong at the file's end."""

    def check(data, keys):
        wrong, count = [], 0
        try:
            count = read(data, keys, wrong)
        except Unreadable as e:
            if not wrong:
                raise
            wrong.append(str(e))
        if wrong:
            raise Unproven("; ".join(wrong[:20]))
        return count

    return check


@judged
def check_bundle(data, keys, wrong):
    """Returns how many entries there are. An entry that does not fit does not keep the others from being
    looked at, and goes into `wrong`; whatever else is wrong ends the reading."""
    reader = Reader(data)
    head, count = {}, None
    for name in bundle_members(reader):
        if count is not None:
            raise Unproven("entries does not come last")
        if name != "entries":
            read_head(reader, head, name)
            continue
        if len(head) < 3:  # the others stand behind the entries: they are read first, from a file's second reading
            return check_entries(reader, check_head(head_around(data), keys), wrong)
        count = check_entries(reader, check_head(head, keys), wrong)
    if count is None:
        raise Unproven("there are no entries")
    reader.end()
    return count


def bundle_members(reader):
    if reader.token() != Bracket("{"):
        raise Unproven("not an evidence bundle")
    for _ in reader.items("{", "}"):
        yield reader.string()


def read_head(reader, head, name):
    if name in head or name not in ("format", "log", "checkpoint"):
        raise Unproven(f"a member {name!r} too many")
    reader.need(":")
    head[name] = reader.token()
    if not isinstance(head[name], str):
        raise Unproven(f"{name} is no text")


def entries_of(reader):
    reader.need(":")
    if reader.token() != Bracket("["):
        raise Unproven("entries is no array")
    for _ in reader.items("[", "]"):
        reader.fresh()
        yield reader.value(depth=0)  # so that the event in it is at depth 1


def head_around(data):
    """Returns the members before and behind the entries, of a file that is whole."""
    reader, head, seen = Reader(data), {}, False
    for name in bundle_members(reader):
        if name != "entries":
            read_head(reader, head, name)
        elif seen:
            raise Unproven("entries is there twice")
        else:
            seen = True
            for _ in entries_of(reader):
                pass
            reader.fresh()
    reader.end()
    return head


def check_entries(reader, checkpoint, wrong):
    indexes, count = set(), 0
    for entry in entries_of(reader):
        count += 1
        try:
            index = check_entry(entry, checkpoint, reader.doubt)
            if index in indexes:
                raise Unproven("it is there twice")
            indexes.add(index)
        except Unproven as e:
            wrong.append(f"entry {count}: {e}")
    return count


def check_head(head, keys):
    if len(head) < 3:
        raise Unproven("format, log or checkpoint is missing")
    if head["format"] != "audittrail-evidence/v1" or head["log"] not in LOGS:
        raise Unproven("the format or the log is another")
    checkpoint = open_checkpoint(head["checkpoint"], keys)
    if log_of(checkpoint) != head["log"]:
        raise Unproven("the checkpoint is of another log")
    return checkpoint


def check_entry(entry, checkpoint, doubt):
    if doubt:
        raise Unproven(doubt)
    if not isinstance(entry, dict) or set(entry) != {"event", "index", "proof"}:
        raise Unproven("its members are not event, index, proof")
    event, index, proof = entry["event"], entry["index"], entry["proof"]
    if not isinstance(event, dict) or not isinstance(index, Number) or not isinstance(proof, list):
        raise Unproven("event, index or proof is of another type")
    position = event.get("position")
    if not isinstance(position, Number) or position.form != index.text:
        raise Unproven("the index is not the event's position")
    index = whole_number(index.text, "the index")
    if index >= checkpoint.size:
        raise Unproven("the index is beyond the checkpoint")
    if not all(isinstance(h, str) for h in proof):
        raise Unproven("a hash of the proof is no text")
    check_inclusion(leaf_of(event), index, checkpoint.size, hashes(proof), checkpoint.root)
    return index


# ---- 6. The textual proof ----------------------------------------------------------------------

TEXTUAL = b"c2sp.org/tlog-proof@v1\n"


def check_textual(data, keys):
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unproven("not UTF-8")
    head, parting, note = text.partition("\n\n")
    lines = head.split("\n")[1:]
    if not lines or not parting:
        raise Unproven("the textual proof is cut")
    extra = None
    if lines[0].startswith("extra "):
        extra = unbase64(lines.pop(0)[len("extra ") :], "extra")
    if not lines or not lines[0].startswith("index "):
        raise Unproven("the textual proof has no index")
    index = whole_number(lines[0][len("index ") :], "the index")
    proof = hashes(lines[1:])
    checkpoint = open_checkpoint(note, keys)
    log_of(checkpoint)
    if index >= checkpoint.size:
        raise Unproven("the index is beyond the checkpoint")
    if extra is None:
        raise Unproven("the textual proof does not show its entry")
    try:
        entry = read_json(extra)
    except Unreadable as e:
        raise Unproven(f"extra: {e}")
    if not isinstance(entry, dict) or "position" in entry or form(entry).encode() != extra:
        raise Unproven("extra is not an entry in canonical form without its position")
    check_inclusion(leaf_of(entry), index, checkpoint.size, proof, checkpoint.root)
    return 1


# ---- 7. The export -----------------------------------------------------------------------------

EXPORT = (b'{"eventId":', b'{"complete":')


def read_line(line):
    reader = Reader(line)
    value = reader.value()
    reader.end()
    return value, reader.doubt


def position_of(line):
    value, doubt = read_line(line)
    if doubt:
        raise Unproven(doubt)
    position = value.get("position") if isinstance(value, dict) else None
    if not isinstance(position, Number):
        raise Unproven("no event")
    return whole_number(position.form, "the position")


def read_trailer(line):
    """The trailer's members as texts, of the one spelling that it has."""
    value, _ = read_line(line)
    members = {n: v.text if isinstance(v, Number) else v for n, v in value.items()}
    whole_number(str(members.get("count")), "the count")
    if not re.fullmatch("[0-9a-f]{64}", str(members.get("sha256"))) or not isinstance(members.get("checkpoint"), str):
        raise Unproven("the trailer is of another form")
    spelled = '{"complete":true,"count":%s,"sha256":"%s","checkpoint":%s}\n' % (
        members["count"], members["sha256"], string_form(members["checkpoint"]))
    if spelled.encode() != line:
        raise Unproven("the trailer is of another form")
    return members


@judged
def check_export(data, keys, wrong):
    """Returns how many events there are. That they are genuine is not proven by this."""
    start, positions, count = 0, set(), 0
    while True:
        end = data.find(b"\n", start) + 1
        if end == 0:
            raise Unproven("the trailer is missing: the export was cut")
        line = data[start:end]
        if line.startswith(EXPORT[1]):
            break
        start, count = end, count + 1
        try:
            position = position_of(line)
            if position in positions:
                raise Unproven("it is there twice")
            positions.add(position)
        except Unproven as e:
            wrong.append(f"line {count}: {e}")
    trailer = read_trailer(line)
    if end != len(data):
        raise Unproven("something follows the trailer")
    if trailer["count"] != str(count):
        wrong.append(f"there are {count} events, but the trailer says {trailer['count']}")
    if trailer["sha256"] != hashlib.sha256(data[:start]).hexdigest():
        wrong.append("the lines are not those that the trailer was made for")
    if trailer["checkpoint"] != "":
        checkpoint = open_checkpoint(trailer["checkpoint"], keys)
        if log_of(checkpoint) != "events":
            raise Unproven("the checkpoint is of another log")
        if positions and max(positions) >= checkpoint.size:
            wrong.append("an event is beyond the checkpoint")
    return count


# ---- 9. Test vectors ---------------------------------------------------------------------------


def check_vectors(path):
    with open(path, encoding="utf-8") as f:
        vectors = json.load(f)

    def same(got, want):
        if got != want:
            raise Unproven(f"vector: {got!r} is not {want!r}")

    seed = unbase64(vectors["signingKey"].split("+", 4)[4], "the signing key")[1:]
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ((1 << 254) - 8) | 1 << 254
    public, origin = encode(times(scalar, BASE)), vectors["origin"]
    same(vectors["signingKey"].split("+")[2:4], [origin, key_id(origin, public).hex()])
    for log, key in vectors["verifierKeys"].items():
        name = f"{origin}/{log}"
        same(read_key(key), ((name, key_id(name, public)), public))
    for text, want in vectors["numbers"]:
        same(form(read_json(text.encode())), want)
    for v in vectors["canonical"]:
        same(form(read_json(v["json"].encode())), v["canonical"])
    for text in vectors["withoutForm"]:
        try:
            refused = read_json(text.encode()) is None
        except (Unproven, Unreadable):
            refused = True
        same((text, refused), (text, True))
    for v in vectors["leaves"]:
        same(sha256(b"\0", v["canonical"].encode()), unbase64(v["leaf"], "leaf"))
        same(leaf_of(read_json(v["entry"].encode())), unbase64(v["leaf"], "leaf"))
    roots = {v["size"]: unbase64(v["root"], "root") for v in vectors["roots"]}
    leaves = [sha256(b"\0", i.to_bytes(8, "big")) for i in range(max(roots))]
    for size, root in roots.items():
        same(root_of(leaves[:size]), root)
    for v in vectors["inclusion"]:
        check_inclusion(leaves[v["index"]], v["index"], v["size"], hashes(v["proof"]), roots[v["size"]])
    for v in vectors["consistency"]:
        check_consistency(v["from"], v["to"], hashes(v["proof"]), roots[v["from"]], roots[v["to"]])
    keys = read_keys(vectors["verifierKeys"].values())
    for note in vectors["checkpoints"]:
        log_of(open_checkpoint(note, keys))


# ---- The command -------------------------------------------------------------------------------


def verify(path, keys):
    """What is to be said of a file that passes."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as e:
        raise Unreadable(e)
    if data.startswith(EXPORT):
        return f"complete, {check_export(data, keys)} events, which it does not prove"
    return f"proven, {(check_textual if data.startswith(TEXTUAL) else check_bundle)(data, keys)} entries"


def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(description="verifies evidence of audittrail")
    parser.add_argument("--key", action="append", default=[], help="a verifier key, or a file of them")
    parser.add_argument("--vectors", help="a file of test vectors")
    parser.add_argument("files", nargs="*", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.vectors:
        check_vectors(arguments.vectors)
        print("all vectors fit")
    if not arguments.vectors and not (arguments.files and arguments.key):
        parser.error("give --key and files, or --vectors")
    try:
        keys, status = read_keys(arguments.key), 0
    except (OSError, ValueError, Unproven):
        # The argument may be a private key by mistake: it is not printed.
        parser.error("--key is neither a verifier key nor a file of them that can be read")
    for path in arguments.files:
        try:
            print(f"{path}: {verify(path, keys)}")
        except Unproven as e:
            print(f"{path}: NOT PROVEN: {e}")
            status = 3
        except Unreadable as e:
            print(f"{path}: unreadable: {e}")
            status = status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
